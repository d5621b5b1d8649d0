"""The shape that every record and event shares."""

import os
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticSerializationError

# Before its first model pydantic reads the metadata of all installed packages to find plugins: 0.05 s of CPU, for none.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")


class Record(BaseModel):
    """An immutable value that travels between services as JSON.

    Unknown fields are ignored, so that a newer producer does not stop an older consumer; what people write
    by hand (`task.submitted`) forbids them instead, because there an unknown field is a typing error.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, ser_json_inf_nan="strings")

    def to_json(self) -> bytes:
        """Encode as UTF-8 JSON."""
        try:
            return self.model_dump_json().encode()
        except PydanticSerializationError:  # a copy with changes was never checked: its text may be no Unicode
            return type(self).model_validate(self.model_dump()).model_dump_json().encode()

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return self.model_dump(mode="json")
