"""What the facts about Acumatica leave open, and in which ways sites differ."""

from typing import Literal

from pydantic import Field

from local.fakes.switches import Switches


class AcumaticaSwitches(Switches):
    """The ways in which a site of Acumatica may behave."""

    read_only: set[str] = Field(default_factory=set)
    """Entities that the API user's role may only read: a write answers 200 with the old values, and nothing is written.

    Rights count from the sign-in on, for as long as the session lasts (hallboys/acumatica-claude-kit, seen on 2025 R2).
    """

    forbidden: set[str] = Field(default_factory=set)
    """Entities to whose forms the API user has no access: 403. Rights count from the sign-in on (the same source)."""

    missing: Literal["precondition", "no_entity"] = "precondition"
    """What an update of a record that is not there answers: 412, or 500 with NoEntitySatisfiesTheCondition.

    The topic Update of a Record has 412 for If-Match; a GET by key answers the other (kborovik/acumatica-cli, 26.101).
    """

    hidden: set[str] = Field(default_factory=set)
    """Ids of records that the endpoint does not find, although their rows are in the inquiry.

    A NoteID column of another table does this (inferred), and so does a record that the API user may not see.
    """
