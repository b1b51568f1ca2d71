"""What people did in Outlook: what a calendar shows of a row's event, held against what the row asks for. Pure.

| the event                                  | is                    | leads to, by [on] moved and deleted               |
|--------------------------------------------|-----------------------|---------------------------------------------------|
| under its id, at its times                 | unchanged             | told where something else, or a response, was     |
| under its id, at other times               | moved                 | restore: its content counts as not known          |
| under another id, its own being gone       | as its times say      | the same, and its stamp is looked up              |
| nowhere in the mailbox                     | deleted               | restore: its stamp is looked up, then made again  |

What counts is whether it is there, and when. People may add to text and place: the row's next change writes those anyway. A
copy has the stamp too, under an id of its own: as long as the event is there under its id, nobody looks at the copy.

An event that was moved to another calendar of the mailbox has a new id, and so has a copy whose original was deleted: the
two look the same, here as for `FindEvent`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

from handlers.sync.change import PERSON, RowChange
from handlers.sync.errors import Permanent
from handlers.sync.event import CalendarEvent
from handlers.sync.link import Entry, EventLink, InOutlook
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.plan import settled, wanted_event
from handlers.sync.scope import Scope
from handlers.sync.text import cut
from handlers.sync.times import zone_of
from handlers.sync.values import translated
from handlers.sync.zones import Zone, find_zone

AHEAD = timedelta(days=400)
DAY = timedelta(days=1)
_AROUND = timedelta(days=7)  # most are moved by less, and a view is cheaper than a look at each
_CLOSE = timedelta(minutes=1)  # calendars need not keep seconds
_RESPONSES = 250  # characters
_ANSWERS = {"accepted": "accepted", "tentativelyAccepted": "tentative", "declined": "declined"}

type Window = tuple[datetime, datetime]


class Times(NamedTuple):
    """When an event is, in UTC; whole days from midnight to midnight, whatever the zone."""

    start: datetime
    end: datetime
    whole_days: bool

    def near(self, other: "Times") -> bool:
        """Whether it is the same time for people."""
        same = abs(self.start - other.start) < _CLOSE and abs(self.end - other.end) < _CLOSE
        return same and self.whole_days == other.whole_days


@dataclass(frozen=True)
class Item:
    """An event as Graph shows it."""

    id: str
    stamp: str
    times: Times
    responses: str


@dataclass(frozen=True)
class Expected:
    """An event that should stand in a calendar.

    `as_written`: it was last written as the row asks for it now; `responses`: its record is told who comes.
    """

    link: EventLink
    entry: Entry
    times: Times
    zone: Zone
    as_written: bool
    responses: bool

    @property
    def stamp(self) -> str:
        """As Graph may show it."""
        return self.link.stamp(self.entry.generation).lower()


@dataclass(frozen=True)
class Finding:
    """What has become of an event. `elsewhere`: its id is another one by now."""

    seen: InOutlook
    elsewhere: bool = False


def is_looked_at(mapping: SyncMapping) -> bool:
    """Whether a mapping wants to know what people do in Outlook."""
    return {mapping.on.moved, mapping.on.deleted} != {"ignore"}


def expected(link: EventLink, mapping: SyncMapping, scope: Scope, now: float) -> Expected | None:
    """What to look for; None where nobody wants to know, the event is over or far off, or the row is not in order itself."""
    entry = link.live
    if not (is_looked_at(mapping) and entry and entry.id) or link.claimed(now) or link.unknown(mapping):
        return None
    wanted = _wanted(link, mapping, scope)
    if not wanted:
        return None
    times, moment = _times(wanted.body), datetime.fromtimestamp(now, UTC)
    if times.end <= moment or times.start >= moment + AHEAD or not settled(link, wanted, mapping, now):
        return None
    zone = zone_of(mapping, translated(mapping, link.row))
    as_written = entry.fingerprint == wanted.fingerprint
    return Expected(link, entry, times, zone, as_written, "responses" in mapping.results)


def is_owed(link: EventLink, mapping: SyncMapping, scope: Scope, now: float) -> bool:
    """Whether an earlier look has marked the link, and the message that was to follow got lost: nobody else works on it."""
    entry = link.live
    if not (is_looked_at(mapping) and entry and entry.id) or link.claimed(now) or link.unknown(mapping):
        return False
    untold = link.in_outlook != link.outlook_told
    if link.last_error or link.buried or not (untold or entry.sought or entry.fingerprint is None):
        return False
    return needs_a_message(link, mapping, scope, now)


def needs_a_message(link: EventLink, mapping: SyncMapping, scope: Scope, now: float) -> bool:
    """Whether the ordinary rules have something to do for a link."""
    wanted = _wanted(link, mapping, scope)
    return wanted is not None and not settled(link, wanted, mapping, now)


def window(events: Iterable[Expected], now: float) -> Window:
    """What a view has to show for all of these, and a week around it; today - 1 to + 400 days at most."""
    found = [one.times for one in events]
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    first, last = min(times.start for times in found), max(times.end for times in found)
    return max(first - _AROUND, today - DAY), min(last + _AROUND, today + AHEAD)


def item(event: Mapping[str, Any]) -> Item | None:
    """An event of Graph's; None where it is not in Graph's form."""
    stamps = event.get("singleValueExtendedProperties")
    try:
        times = _times(event)
        stamp = str(stamps[0]["value"]) if stamps else ""
    except (KeyError, TypeError, ValueError):
        return None
    return Item(str(event["id"]), stamp.lower(), times, _responses(event))


def first_look(event: Expected, found: Item | None, stamps: Iterable[str], mapping: SyncMapping) -> Finding | None:
    """What a view alone tells; None where it is news that has to be confirmed, since a view may lag behind.

    `found`: what the view shows under the event's id; `stamps`: all that it shows.
    """
    told = event.link.in_outlook
    if found and found.stamp == event.stamp:
        finding = _finding(event, found)
        known = finding.seen.status == "unchanged" or mapping.on.moved == "ignore" or finding.seen == told
        return finding if known else None
    if not found and told and told.status == "deleted" and event.stamp not in stamps:
        return Finding(told)
    return None


def second_look(event: Expected, found: Item | None, *, elsewhere: bool) -> Finding | None:
    """What a look at the one event tells, under its id or (`elsewhere`) the one that its stamp has now.

    None: what has the id is not ours.
    """
    if not found:
        return Finding(InOutlook("deleted", "", "", ""))
    if found.stamp != event.stamp:
        return None
    return replace(_finding(event, found), elsewhere=elsewhere)


def marked(event: Expected, finding: Finding, mapping: SyncMapping) -> EventLink:
    """The link that knows of a finding, as far as the mapping wants that; the ordinary rules do the rest."""
    link, entry, seen = event.link, event.entry, finding.seen
    match _policy(seen.status, mapping):
        case "restore":
            sought = finding.elsewhere or seen.status == "deleted"
            return link.with_entry(replace(entry, fingerprint=None, sought=entry.sought or sought))
        case "report" if link.in_outlook or seen.status != "unchanged" or seen.responses:
            return replace(link, in_outlook=seen)
    return link


def message(link: EventLink, now: float) -> RowChange:
    """What lets the ordinary rules look at a link: a removal that is no news, since a row that is there wins over it."""
    timestamp = link.version.timestamp if link.version else 0
    return RowChange(link.company, link.mapping, link.row_key, timestamp, None, "calendar sweep", now, origin=PERSON)


def _policy(status: str, mapping: SyncMapping) -> Literal["restore", "report", "ignore"]:
    match status:
        case "moved":
            return mapping.on.moved
        case "deleted":
            return mapping.on.deleted
    return "report"


def _wanted(link: EventLink, mapping: SyncMapping, scope: Scope) -> CalendarEvent | None:
    try:
        return wanted_event(link, mapping, scope)
    except Permanent:
        return None  # a person knows of it


def _finding(event: Expected, found: Item) -> Finding:
    moved = event.as_written and not found.times.near(event.times)
    start, end = _told(found.times, event.zone)
    responses = found.responses if event.responses else ""
    return Finding(InOutlook("moved" if moved else "unchanged", start, end, responses))


def _told(times: Times, zone: Zone) -> tuple[str, str]:
    """As Acumatica tells times: on the wall, without an offset; of whole days, the end is the last one."""
    if times.whole_days:
        return times.start.date().isoformat(), (times.end - DAY).date().isoformat()
    start, end = (moment.astimezone(zone.clock).replace(tzinfo=None) for moment in (times.start, times.end))
    return start.isoformat(timespec="seconds"), end.isoformat(timespec="seconds")


def _times(event: Mapping[str, Any]) -> Times:
    whole_days = event["isAllDay"] is True
    return Times(_moment(event["start"], whole_days), _moment(event["end"], whole_days), whole_days)


def _moment(told: Mapping[str, Any], whole_days: bool) -> datetime:  # noqa: FBT001
    """Whole days float: Graph shows their midnight in whatever zone it is asked for."""
    moment = datetime.fromisoformat(told["dateTime"]).replace(tzinfo=UTC)
    return moment if whole_days else moment.replace(tzinfo=find_zone(told["timeZone"]).clock).astimezone(UTC)


def _responses(event: Mapping[str, Any]) -> str:
    """Who has answered what, as a record is told."""
    found = []
    for person in event.get("attendees") or ():
        answer = _ANSWERS.get(str((person.get("status") or {}).get("response")))
        address = str((person.get("emailAddress") or {}).get("address") or "")
        found += [f"{address} {answer}"] if answer and address else []
    return cut("; ".join(sorted(found)), _RESPONSES)
