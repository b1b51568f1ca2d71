"""Which rows a sweep gives an event (or tells a receiver of): what `[backfill]` says, so that nobody gets mail unasked.

A row that has its event is none of these: whatever it is by now, the event follows it. Only where settings or an edited
mapping would put it into another mailbox, as at the end of a trial, it is one more event that nobody has asked for.
"""

from handlers.sync.errors import Permanent
from handlers.sync.event import CalendarEvent, calendar_event
from handlers.sync.link import Entry, EventLink
from handlers.sync.mapping import Days, Mapping
from handlers.sync.plan import wanted_event
from handlers.sync.scope import Scope
from handlers.sync.template import Row

WHEN = "when"


def why_none(link: EventLink | None, row: Row, mapping: Mapping, scope: Scope, now: float) -> str | None:
    """Why a row (of picked columns) gets no event by a sweep (`when`, `unusable`, `past`, `would-invite`); None: it does.

    By a relay (`when`, `not-asked-for`): why nobody is told of it.
    """
    made = link.live if link and link.live and _may_be_there(link.live) else None
    told = link is not None and link.stands and mapping.relay is not None
    if not mapping.matches(row):
        return None if made or told else WHEN
    if mapping.relay:
        return None if told or mapping.backfill.rows == "all" else "not-asked-for"
    try:
        event = calendar_event(mapping, row, scope)
    except Permanent:
        return None if made else "unusable"
    if link and made and (made.mailbox == event.mailbox or _was_right(link, made, mapping, scope)):
        return None
    if _is_past(event, mapping, now):
        return "past"
    returns = link is not None and not link.live and link.generation > link.first_generation  # it had an event once
    invites = event.body.get("attendees") and not (mapping.backfill.invite or returns)
    return "would-invite" if invites else None


def _may_be_there(event: Entry) -> bool:
    return bool(event.id or event.adopt or event.unsure or event.tried)


def _was_right(link: EventLink, made: Entry, mapping: Mapping, scope: Scope) -> bool:
    """Whether the event is where it belonged until the row changed: it is the row then that moves it."""
    try:
        known = wanted_event(link, mapping, scope)
    except Permanent:
        return False
    return known is not None and known.mailbox == made.mailbox


def _is_past(event: CalendarEvent, mapping: Mapping, now: float) -> bool:
    rows = mapping.backfill.rows
    if isinstance(rows, Days):
        return event.moment("start") < now - rows.days * 86_400
    return rows == "future" and event.moment("end") <= now
