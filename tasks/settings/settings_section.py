"""What all settings share: they are immutable, refuse unknown keys and know which of them shape a result."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticUndefined

LARGEST_SEED = 2**63 - 1
"""Seeds of rows are 64-bit integers with a sign."""
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
"""A seed in settings; scikit-learn takes no larger one."""


def operational(default: Any = PydanticUndefined, **arguments: Any) -> Any:
    """A setting that changes how a stage runs but not what it makes; it is left out of the stage's digest."""
    return Field(default, json_schema_extra={"operational": True}, **arguments)


class Section(BaseModel):
    """Base of all settings: immutable, unknown keys refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def for_digest(self) -> dict[str, Any]:
        """The settings that shape the result, as JSON values."""
        kept: dict[str, Any] = {}
        for name, field in type(self).model_fields.items():
            if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("operational"):
                continue
            value = getattr(self, name)
            kept[name] = (
                value.for_digest() if isinstance(value, Section) else self.model_dump(mode="json", include={name})[name]
            )
        return kept
