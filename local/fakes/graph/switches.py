"""What the facts about Microsoft Graph leave open."""

from typing import Literal

from pydantic import PositiveInt

from local.fakes.switches import Switches


class GraphSwitches(Switches):
    """The two (or three) ways in which Graph may behave."""

    listing: Literal["default_calendar", "mailbox"] = "default_calendar"
    """What `/users/{id}/events` and `/users/{id}/calendarView` list: the default calendar, or all calendars of the mailbox.

    Microsoft's schema says the first, its page of the list says the second, and its beta twin the first again
    (https://learn.microsoft.com/graph/api/user-list-events, https://github.com/microsoftgraph/microsoft-graph-docs/issues/21978).
    An event of another calendar can be read, changed and removed at `/users/{id}/events/{id}` either way.
    """

    largest_page: PositiveInt | None = None
    """How many calendars or events an answer holds at most, whatever $top asks for; the rest is behind @odata.nextLink.

    Services may page as they like (https://learn.microsoft.com/graph/paging), and `/calendars` does
    (https://learn.microsoft.com/graph/api/user-list-calendars). None: as $top says, else ten.
    """

    foreign_ids: Literal["named", "unknown"] = "named"
    """What is said of an id of another mailbox: that it belongs elsewhere (404 ErrorInvalidMailboxItemId), or just 404.

    Public clients have seen the first; for events it is inferred, from messages
    (issue 80 of BusinessApplicationPlatform-Connectors-public). Where the other mailbox is on
    another server (`add_mailbox(server=…)`), the first is 503 ErrorMailboxMoveInProgress, every time, with "Cross Server
    access is not allowed"; a mailbox that is really being moved (`start_move`) gives this code without that phrase.
    """

    transactions: Literal["remembered", "refused", "forgotten"] = "remembered"
    """What becomes of a transactionId when its event is deleted, or a person deletes it: no source says.

    It may be remembered as before, so that the identical POST answers 201 with the deleted event and makes none; refused
    with ErrorDuplicateTransactionId whatever the body; or forgotten, so that a new event is made. No time limit is stated
    for living events, and a clash with events of long ago was seen (https://github.com/alcionai/corso/issues/2490).
    """

    tells_existing_id: bool = True
    """Whether ErrorDuplicateTransactionId names the event, as public clients expect and no page of Microsoft's says."""

    repeats: Literal["current", "original"] = "current"
    """What a creation is compared with whose transactionId is used up: the event as it is now, or as it was made.

    An identical body gives the same event, another one an error (https://blog.rykoma.net/2020/10/05/1559,
    https://github.com/alcionai/corso/issues/2490); identical with what is not said.
    """

    online_meetings: bool = True
    """Whether the calendars' owners may meet in Teams. Where they may not, isOnlineMeeting is ignored without a word: 201,
    and no joinUrl (seen by a public command-line client; `allowedOnlineMeetingProviders` of the calendar tells).
    """
