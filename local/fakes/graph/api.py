"""The requests about the events and calendars of one mailbox.

https://learn.microsoft.com/graph/api/resources/calendar-overview
"""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from local.fakes.calls import Call, Refused, Reply
from local.fakes.graph import events, query
from local.fakes.graph.errors import refused
from local.fakes.graph.events import Body
from local.fakes.graph.outlook import Calendar, Item, Mailbox, Outlook
from local.fakes.graph.query import prefers_immutable
from local.fakes.graph.switches import GraphSwitches


class Api:
    """Carries requests out."""

    def __init__(self, outlook: Outlook, switches: GraphSwitches) -> None:
        self._outlook = outlook
        self._switches = switches

    def route(self, call: Call, box: Mailbox, rest: list[str]) -> Reply:
        """`/events/{id}` is any event of the mailbox; POST to `/events` fills the default calendar."""
        calendar: Calendar | None = None
        if (call.method, rest) == ("GET", ["calendars"]):
            return self._list_calendars(call, box)
        match rest:
            case ["calendar", *rest]:
                calendar = box.default
            case ["calendars", calendar_id, *rest]:
                calendar = self._calendar(box, calendar_id)
        match call.method, rest:
            case "GET", [] if calendar:
                owner = {"name": box.owner or box.address, "address": box.owner or box.address}
                return Reply(200, {"id": calendar.id, "name": calendar.name, "owner": owner})
            case "POST", ["events"]:
                return self._create(call, box, calendar or box.default)
            case "GET", ["events" | "calendarView" as collection]:
                return self._list(call, box, calendar, collection)
            case "GET", ["events", event_id]:
                item = self._find(call, box, event_id, calendar)
                return Reply(200, self._answered(call, box, item), {"ETag": item.etag})
            case "PATCH", ["events", event_id]:
                return self._update(call, box, self._find(call, box, event_id, calendar))
            case "DELETE", ["events", event_id]:
                return self._delete(call, box, self._find(call, box, event_id, calendar))
            case "POST", ["events", event_id, "cancel"]:
                return self._cancel(box, self._find(call, box, event_id, calendar))
            case _, ["events"] | ["events", _] | ["calendarView"]:
                raise refused(405, "Request_BadRequest", f"Specified HTTP method {call.method} is not allowed here.")
        raise refused(400, "BadRequest", f"Resource not found for the segment '{(rest or ['users'])[0]}'.")

    # -- calendars and lists -------------------------------------------------------------------------------------------

    def _calendar(self, box: Mailbox, calendar_id: str) -> Calendar:
        calendar = box.calendars.get(calendar_id)
        if calendar is None:
            raise self._no_such(box, calendar_id)
        if calendar.broken:
            raise refused(404)
        return calendar

    def _no_such(self, box: Mailbox, id_: str) -> Refused:
        """Ids are bound to a mailbox, and those of another one are no use here."""
        owner = self._outlook.owner(id_)
        if owner is None or owner is box or self._switches.foreign_ids == "unknown":
            return refused(404)
        if owner.server != box.server:
            message = f"Cross Server access is not allowed for mailbox {owner.address}."
            return refused(503, "ErrorMailboxMoveInProgress", message)
        return refused(
            404, "ErrorInvalidMailboxItemId", f"Item '{id_}' doesn't belong to the targeted mailbox '{box.address}'."
        )

    def _list_calendars(self, call: Call, box: Mailbox) -> Reply:
        """https://learn.microsoft.com/graph/api/user-list-calendars."""
        query.options(call)
        listed = [
            {"id": known.id, "name": known.name, "isDefaultCalendar": known is box.default}
            for known in box.calendars.values()
            if known.listed
        ]
        return Reply(200, self._paged(call, listed))

    def _list(self, call: Call, box: Mailbox, calendar: Calendar | None, collection: str) -> Reply:
        options = query.options(call)
        if self._switches.listing == "default_calendar":
            calendar = calendar or box.default
        known = box.view if box.view is not None and collection == "calendarView" else list(box.items.values())
        items = [item for item in known if not item.deleted and (not calendar or item.folder == calendar.id)]
        if collection == "calendarView":
            items = list(query.in_window(items, options))
        if condition := options.get("$filter"):
            items = query.filtered(items, condition)
        body: Body = {"@odata.context": f"{call.origin}/v1.0/$metadata#users('{box.address}')/{collection}"}
        body |= self._paged(call, items)
        body["value"] = [self._answered(call, box, item) for item in body["value"]]
        if options.get("$count") == "true":
            body["@odata.count"] = len(items)
        return Reply(200, body)

    def _paged(self, call: Call, items: list[Any]) -> Body:
        page, link = query.page(call, items, self._switches.largest_page)
        return {"value": page} | ({"@odata.nextLink": link} if link else {})

    # -- one event -----------------------------------------------------------------------------------------------------

    def _create(self, call: Call, box: Mailbox, calendar: Calendar) -> Reply:
        event = events.merged({}, events.normalise(call.body, create=True))
        transaction = event.get("transactionId")
        item = self._made_before(box, transaction)
        if item is None:
            item = self._outlook.add(box, calendar, event)
            if self._switches.online_meetings:
                item.meet_online({})
            if transaction:
                box.transactions[transaction] = item
        elif self._is_used_up(item, event):
            # https://learn.microsoft.com/graph/api/resources/event#properties: transactionId
            message = "Your request can't be completed. The TransactionId specified in the request has already been used to"
            more = {"@event.existingEventId": _id(call, item)} if self._switches.tells_existing_id else {}
            raise refused(400, "ErrorDuplicateTransactionId", f"{message} create a different event.", **more)
        location = f"{call.origin}/v1.0/users/{quote(box.address)}/events/{quote(_id(call, item))}"
        return Reply(201, self._answered(call, box, item, created=True), {"Location": location, "ETag": item.etag})

    def _made_before(self, box: Mailbox, transaction: str | None) -> Item | None:
        """The event that was made with a transactionId; the mailbox remembers them, not the calendar."""
        item = box.transactions.get(transaction) if transaction else None
        return None if item and item.deleted and self._switches.transactions == "forgotten" else item

    def _is_used_up(self, item: Item, event: Body) -> bool:
        """Whether a creation is refused because of the event that its transactionId has made."""
        if item.deleted and self._switches.transactions == "refused":
            return True
        return event != (item.event if self._switches.repeats == "current" else item.original)

    def _update(self, call: Call, box: Mailbox, item: Item) -> Reply:
        if isinstance(call.body, dict) and "transactionId" in call.body:
            message = "Your request can't be completed. ClientId/TransactionId is immutable and cannot be updated."
            raise refused(400, "ErrorInvalidRequest", message)
        changes = events.normalise(call.body, create=False)
        _check_etag(call, item)
        stamps = {stamp["id"]: stamp for stamp in item.event.get("singleValueExtendedProperties") or ()}
        if new := changes.get("singleValueExtendedProperties"):
            changes["singleValueExtendedProperties"] = [*(stamps | {stamp["id"]: stamp for stamp in new}).values()]
        before = item.attendees
        item.event = events.merged(item.event, changes)
        if self._switches.online_meetings:
            item.meet_online(changes)
        item.version += 1
        item.modified = datetime.now(UTC)
        # https://learn.microsoft.com/graph/api/event-update: where only attendees change, only those who changed get mail
        after = item.attendees
        self._outlook.invite("cancellation", box, item, before - after)
        self._outlook.invite("request", box, item, after - before)
        self._outlook.invite("update", box, item, after & before if changes.keys() != {"attendees"} else set())
        return Reply(200, self._answered(call, box, item), {"ETag": item.etag})

    def _delete(self, call: Call, box: Mailbox, item: Item) -> Reply:
        """An organizer's DELETE sends cancellations: https://learn.microsoft.com/graph/api/event-delete."""
        _check_etag(call, item)
        if item.deleted:
            raise refused(403, "ErrorCannotDeleteObject", "Object cannot be deleted.")
        self._outlook.invite("cancellation", box, item, item.attendees)
        self._outlook.move(box, item)
        return Reply(204)

    def _cancel(self, box: Mailbox, item: Item) -> Reply:
        """https://learn.microsoft.com/graph/api/event-cancel: for meetings, by their organizer."""
        if not item.attendees:
            message = "Your request can't be completed. You need to be an organizer to cancel a meeting."
            raise refused(400, "ErrorInvalidRequest", message)
        self._outlook.invite("cancellation", box, item, item.attendees)
        self._outlook.move(box, item)
        return Reply(202)

    def _find(self, call: Call, box: Mailbox, event_id: str, calendar: Calendar | None) -> Item:
        """By default id; by immutable id where the request prefers those, and then also in Deleted Items.

        https://learn.microsoft.com/graph/outlook-immutable-id
        """
        item = box.items.get(event_id)
        if item and item.deleted:
            item = None
        if item is None and prefers_immutable(call):
            item = next((known for known in box.items.values() if known.immutable_id == event_id), None)
        if item is None or (calendar and item.folder != calendar.id):
            raise self._no_such(box, event_id)
        return item

    @staticmethod
    def _answered(call: Call, box: Mailbox, item: Item, *, created: bool = False) -> Body:
        """An event as Prefer, $select and $expand want it. The answer to a creation keeps the zone that was sent."""
        preference = re.search(r'outlook\.timezone\s*=\s*"([^"]*)"', call.headers.get("prefer", ""))
        text = re.search(r'outlook\.body-content-type\s*=\s*"?text', call.headers.get("prefer", ""))
        zone = None if created else preference[1] if preference else "UTC"
        body = item.shown(box.address, zone, text=bool(text)) | {"id": _id(call, item)}
        options = query.options(call)
        if select := options.get("$select"):
            names = query.selected(select) | {"@odata.etag", "id"}
            body = {name: value for name, value in body.items() if name in names}
        if expand := options.get("$expand"):
            name = query.expanded(expand)
            value = item.extended(events.property_id(name))
            if value is not None:
                body["singleValueExtendedProperties"] = [{"id": name, "value": value}]
        return body


def _id(call: Call, item: Item) -> str:
    return item.immutable_id if prefers_immutable(call) else item.id


def _check_etag(call: Call, item: Item) -> None:
    if call.headers.get("if-match", "*") not in {"*", item.etag}:
        raise refused(412)
