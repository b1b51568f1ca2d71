"""What the facts about Acumatica leave open, and in which ways sites differ."""

from typing import Literal

from pydantic import Field, PositiveInt

from local.fakes.switches import Switches


class AcumaticaSwitches(Switches):
    """The ways in which a site of Acumatica may behave."""

    abandoned_calls: Literal["count", "ignore"] = "count"
    """Whether a request that its client has given up, and that still runs, is one of those that use its session at a time.

    A client's time-out does not end a request: the site may queue it for ten minutes and carry it out (topic Limitation of
    API Connections), and requests of one session are carried out one after the other (hallboys/acumatica-claude-kit).
    """

    read_only: set[str] = Field(default_factory=set)
    """Entities that the API user's role may only read: a write answers 200 with the old values, and nothing is written.

    Rights count from the sign-in on, for as long as the session lasts (hallboys/acumatica-claude-kit, seen on 2025 R2).
    """

    forbidden: set[str] = Field(default_factory=set)
    """Entities to whose forms the API user has no access: 403. Rights count from the sign-in on (the same source)."""

    written_fields: Literal["supplied", "all"] = "supplied"
    """Which fields the record in the answer to a write has: those of the request (and of $select), or all of the entity.

    Update of a Record says the first. Details and linked entities come only where $expand asks for them, either way.
    """

    written_custom: Literal["asked", "supplied"] = "asked"
    """Which custom fields the record in the answer to a write has: those that $custom names, or those of the request too.

    The samples (topic Custom Fields) name in $custom what they write, and do not say what comes without it.
    """

    missing: Literal["precondition", "no_entity"] = "precondition"
    """What an update of a record that is not there answers: 412, or 500 with NoEntitySatisfiesTheCondition.

    The topic Update of a Record has 412 for If-Match; a GET by key answers the other (kborovik/acumatica-cli, 26.101).
    """

    hidden: set[str] = Field(default_factory=set)
    """Ids of records that the endpoint does not find, although their rows are in the inquiry.

    A NoteID column of another table does this (inferred), and so does a record that the API user may not see.
    """

    maintenance: bool = False
    """The site is locked out: whatever a user asks who is no administrator, the token endpoint too, is redirected.

    302 to ~/Frames/Maintenance.aspx, as in the Global.asax of sites (public copies).
    """

    user: Literal["active", "locked", "disabled"] = "active"
    """What has become of the API user; `locked` and `disabled` refuse the right password as well."""

    lock_after: PositiveInt | None = 3
    """How many refused sign-ins in a row lock the user; None: any number. The policy is the site's own (inferred)."""

    language: Literal["en", "de", "fr", "ja"] = "en"
    """The language of what a refused sign-in says.

    In English these texts are known (micwallace/acustock-acumatica); that they are localised is inferred, and so is how.
    """
