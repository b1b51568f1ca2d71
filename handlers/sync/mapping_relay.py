"""The [relay] table of a mapping file: who is told of changes of rows, in which form, and of what in them."""

from typing import Literal

from pydantic import Field

from handlers.sync.mapping_values import Shown, Table

type ChangeType = Literal["row.inserted", "row.updated", "row.removed"]

INSERTED: ChangeType = "row.inserted"
UPDATED: ChangeType = "row.updated"
REMOVED: ChangeType = "row.removed"


class RelayTemplate(Table):
    """Who is told of changes, in place of `[event]`: a flow of Power Automate, a Zap, any address of https."""

    url: str = Field(
        pattern=r"^RELAY_[A-Z0-9_]*[A-Z0-9]$",
        description="Name of the app setting that holds the address (`https://…`), which is a secret: `RELAY_` and more.",
        examples=["RELAY_CRM"],
    )
    format: Literal["standard", "cloudevents", "cloudevents-binary"] = Field(
        "standard",
        description="`standard`: as Standard Webhooks has it; `cloudevents`, `cloudevents-binary`: CloudEvents 1.0, "
        "structured (all of it in the body) or binary (its attributes in headers).",
    )
    auth: Literal["signature", "entra", "none"] = Field(
        "signature",
        description="`signature`: of Standard Webhooks, with the secret in the app setting of the same name and `_SECRET`; "
        "`entra`: a token of the app's identity; `none`: the address alone.",
    )
    audience: str = Field(
        "https://service.flow.microsoft.com/",
        min_length=1,
        description="Whom a token of `entra` is for; without it, Power Automate.",
    )
    fields: dict[str, Shown] = Field(
        default_factory=dict,
        description="What a message tells of the row, by the names that it gets there; without it, the whole row. One "
        "`{Column}` alone keeps its type, all else is text.",
    )
    types: list[ChangeType] = Field(
        default_factory=lambda: [INSERTED, UPDATED, REMOVED],
        min_length=1,
        description="Which changes are told; all, unless it names some.",
    )

    @property
    def secret(self) -> str:
        """Name of the app setting with the secrets of signatures."""
        return f"{self.url}_SECRET"
