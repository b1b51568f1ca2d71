"""What the facts about Acumatica leave open, and in which ways sites differ."""

from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, PositiveInt

from local.fakes.switches import Switches


def _zone(name: str) -> str:
    try:
        return ZoneInfo(name).key
    except ZoneInfoNotFoundError:
        raise ValueError("has to be an IANA time zone") from None


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

    site_time_zone: Annotated[str, AfterValidator(_zone)] = "America/New_York"
    """The zone of the dates in pushes and on forms, which no document tells (IANA name). By OData, dates are UTC."""

    odata: Literal["4", "3", "both"] = "both"
    """Which versions the site has: 4 from 2024 R2 on, 3 before (kborovik/acumatica-cli)."""

    odata_cookie: Literal["refused", "accepted"] = "refused"
    """Whether a session that was signed in by cookie may read inquiries; sources have seen 401, and success."""

    odata_denied: Literal["403", "no_rows"] = "403"
    """What an inquiry in `forbidden` answers: the list of inquiries shows it to every user (inferred how it is refused)."""

    odata_filter: Literal["applied", "ignored"] = "applied"
    """Some inquiries ignore $filter without a word (sasen84/sasenmcp4acumatica)."""

    odata_labels: set[str] = Field(default_factory=set)
    """Columns that are drop-downs: rows show labels, a filter means codes, so that a label finds nothing."""

    odata_calculated: set[str] = Field(default_factory=set)
    """Columns of a formula: to filter or sort by them is answered with 200 and an empty body (seen on 2025 R2)."""

    odata_skip: Literal["applied", "ignored"] = "applied"
    """Some servers ignore $skip: the same page for ever (sasen84/sasenmcp4acumatica)."""

    odata_shift: int = 0
    """By how many rows what follows the first page has moved: rows came before it (and repeat), or left (and are missed)."""

    odata_page: PositiveInt | None = None
    """How many rows the server shows at a time at most, whatever $top says."""

    odata_next: Literal["link", "nothing"] = "link"
    """Whether a page that the server has cut says so, by an address of the next one."""

    odata_padded: bool = True
    """Whether text in key columns is padded with blanks, as in Acumatica's own samples."""

    odata_numbers: Literal["numbers", "text"] = "text"
    """Decimals: numbers, or text with six places, as in a sample of "To Retrieve Data by Using a Generic Inquiry"."""

    odata_dates: Literal["midnight_utc", "moment"] = "midnight_utc"
    """A date without a time: its midnight with Z, or the moment of the site's midnight (inferred, both)."""

    odata_duplicates: Literal["numbered", "vanish"] = "numbered"
    """Of two equal captions, the second becomes X_2, or vanishes."""

    odata3_form: Literal["light", "verbose"] = "light"
    """The form of JSON in version 3: "value", or "d" with old dates."""
