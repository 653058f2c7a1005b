"""What can go wrong with data at rest, said so that a person knows what to do."""

from __future__ import annotations

import errno

TRANSIENT_ERRORS = frozenset({errno.EIO, errno.EAGAIN, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY, errno.ENFILE})
"""Errors of the operating system that may be gone a moment later, on network file systems above all."""


class EinthovenError(Exception):
    """An error whose message names the file, record or setting and what to do; shown without a traceback."""


class SourceError(EinthovenError):
    """A dataset cannot be read: missing folder, wrong columns, nothing left after quarantine."""


class WarehouseError(EinthovenError):
    """The warehouse cannot be read or written: permission, full disk, damaged dataset."""


class ReleaseError(EinthovenError):
    """A release was refused or does not verify."""
