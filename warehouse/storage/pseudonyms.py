"""Pseudonyms of recordings and patients: keyed digests that only the holder of the warehouse's key can recompute.

The key lies in `_secrets/pseudonym.key` inside the warehouse, readable by its owner only. It is made once, at random;
the environment variable EINTHOVEN_PSEUDONYM_KEY (hexadecimal) overrides it. Folders whose name starts with `_` are no
datasets: `Store.committed` skips them, and no release can reach them. With another key the same recording gets another
pseudonym, so keep the key as long as the warehouse.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import uuid
from pathlib import Path

from warehouse.errors import WarehouseError
from warehouse.storage.store import Store
from warehouse.storage.whole_files import writing

KEY_VARIABLE = "EINTHOVEN_PSEUDONYM_KEY"
KEY_BYTES = 32
SHORTEST_KEY_BYTES = 16
DIGITS = 20
"""Hexadecimal digits of a pseudonym: 80 bits, so that a billion recordings collide with a chance below 10⁻⁶."""


class Pseudonyms:
    """Makes pseudonyms with one key."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def recording(self, source: str, record: str) -> str:
        """The id of a recording: 20 hexadecimal digits of HMAC-SHA256 over source and record."""
        return self._digest("recording", source, record)

    def patient(self, source: str, patient: str) -> str:
        """The key of a patient; equal for all recordings of one patient of a source."""
        return self._digest("patient", source, patient)

    def fold(self, source: str, patient: str) -> int:
        """A patient's fold from 1 to 10, for sources that have no folds of their own."""
        return int(self._digest("fold", source, patient), 16) % 10 + 1

    def _digest(self, *parts: str) -> str:
        # The purpose is part of the message, so a record and a patient of the same number get unrelated pseudonyms.
        return hmac.new(self._key, "\0".join(parts).encode(), hashlib.sha256).hexdigest()[:DIGITS]


def pseudonyms_of(store: Store) -> Pseudonyms:
    """The pseudonyms of a warehouse; its key is made on first use.

    Raises:
        WarehouseError: the key is malformed, or cannot be read or written.
    """
    if stated := os.environ.get(KEY_VARIABLE):
        return Pseudonyms(_parse(stated, f"environment variable {KEY_VARIABLE}"))
    path = store.root / "_secrets" / "pseudonym.key"
    if not path.exists():
        _create(path)
    with writing(path):
        return Pseudonyms(_parse(path.read_text("ascii", "replace"), str(path)))


def _create(path: Path) -> None:
    """Write a random key; of several processes that try at once, one succeeds and all read its key."""
    with writing(path):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
        try:
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(KEY_BYTES) + "\n")
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, fails when the name is taken.
            os.link(partial, path)
        except FileExistsError:
            return
        finally:
            partial.unlink(missing_ok=True)


def _parse(text: str, place: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        raise WarehouseError(f"{place} is not a hexadecimal key; restore it from a backup") from None
    if len(key) < SHORTEST_KEY_BYTES:
        raise WarehouseError(f"{place} is shorter than {SHORTEST_KEY_BYTES * 2} hexadecimal digits; give a longer key")
    return key
