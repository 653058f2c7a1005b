"""Settings: documented, strict, and digests that depend on what shapes a result only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ValidationError

from tasks.settings import Settings

MINIMAL = {"source": {"kind": "simulated"}}


def fields_of(model: type[BaseModel], path: str = "") -> Iterator[tuple[str, object]]:
    for name, field in model.model_fields.items():
        yield f"{path}{name}", field
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from fields_of(field.annotation, f"{path}{name}.")


@pytest.mark.parametrize(("path", "field"), fields_of(Settings), ids=lambda one: one if isinstance(one, str) else "")
def test_every_setting_is_documented(path: str, field: object) -> None:
    assert getattr(field, "description", None), f"{path} has no description"


@pytest.mark.parametrize("section", ["", "training", "training.diffusion.physics", "training.autoencoder.architecture"])
def test_unknown_keys_are_refused(section: str) -> None:
    raw: dict = {"source": {"kind": "simulated"}}
    target = raw
    for key in filter(None, section.split(".")):
        target = target.setdefault(key, {})
    target["no_such_key"] = 1
    with pytest.raises(ValidationError, match="no_such_key"):
        Settings.model_validate(raw)


def test_operational_settings_stay_out_of_the_digest() -> None:
    plain = Settings.model_validate(MINIMAL)
    tuned = Settings.model_validate({**MINIMAL, "cohort": {"batch_size": 3, "workers": 2}})
    larger = Settings.model_validate({**MINIMAL, "cohort": {"size": 3}})
    assert plain.cohort.for_digest() == tuned.cohort.for_digest()
    assert plain.cohort.for_digest() != larger.cohort.for_digest()


def test_settings_cannot_be_changed_after_they_were_read() -> None:
    settings = Settings.model_validate(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        settings.cohort.size = 3  # type: ignore[misc]
