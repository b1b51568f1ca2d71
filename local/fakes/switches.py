"""Switches: where the facts about a service leave two readings, or where one site is this way and another that way.

A fake that agrees with the code proves nothing. Tests turn each switch both ways; the default is what is harder on the code.
`GET /_fake/switches` shows them with their meaning, `POST /_fake/switches {"name": value}` turns them.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Switches(BaseModel):
    """The switches of one fake. A name or value that does not exist is refused, in Python and through the control API."""

    model_config = ConfigDict(validate_assignment=True, extra="forbid", use_attribute_docstrings=True)

    def turn(self, values: dict[str, Any]) -> None:
        """Turn several at once, or none of them. Raises ValueError."""
        checked = type(self).model_validate(self.model_dump() | values)
        for name in values:
            setattr(self, name, getattr(checked, name))

    def told(self) -> dict[str, Any]:
        """Each switch with its value and its meaning, as the control API shows them."""
        values, fields = self.model_dump(mode="json"), type(self).model_fields
        return {name: {"value": value, "meaning": fields[name].description} for name, value in values.items()}
