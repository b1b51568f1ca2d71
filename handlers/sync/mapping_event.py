"""The [event] table of a mapping file: the properties of Graph's event, by Graph's names."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, ConfigDict, Discriminator, Field, Tag, model_validator

from handlers.sync.mapping_values import (
    IMPORTANCE,
    SENSITIVITY,
    SHOW_AS,
    AttendeeType,
    Column,
    Flag,
    Hours,
    Importance,
    Minutes,
    Sensitivity,
    Shift,
    ShowAs,
    Shown,
    Table,
    Text,
)
from handlers.sync.template import Template


class DateAndTime(Table):
    """A date and perhaps a time in columns of their own, perhaps shifted."""

    date: Text = Field(description="Column with the date, or with date and time.")
    time: Text | None = Field(
        None, description="Column with the time (its date, if it has one, does not count), or a time such as `09:00`."
    )
    days: Shift | None = Field(
        None, description="Days after that, or before it (`-30`): a whole number, or a column with one."
    )
    minutes: Shift | None = Field(None, description="Minutes after that, or before it; without effect on whole days.")


class Duration(Table):
    """An end that is told by a length, in one of these ways."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    minutes: Minutes | None = Field(
        None, description="Length in minutes: a number, a column with numbers, or text as `1:30`."
    )
    hours: Hours | None = Field(None, description="Length in hours: the same, with decimals as `2.5`.")
    time_span: Column | None = Field(
        None, description="Column with a time span as Acumatica shows it: text of digits, `hhmm` or `dddhhmm`."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(map(bool, (self.minutes, self.hours, self.time_span))) != 1:
            raise ValueError("has to hold one of minutes, hours, time_span")
        return self

    @property
    def template(self) -> Template:
        """What the length is made of."""
        return self.minutes or self.hours or self.time_span or Template("", ())


class Body(Table):
    """https://learn.microsoft.com/graph/api/resources/itembody."""

    contentType: Literal["text", "html"] = Field("text", description="`text` or `html`.")
    content: Shown = Field(description="Template; in HTML, what columns hold is escaped.")


class Attendee(Table):
    """https://learn.microsoft.com/graph/api/resources/attendee."""

    address: Text = Field(description="One e-mail address, or several with `;` or `,` between them; `Name <address>` too.")
    name: Shown | None = Field(None, description="Name that is shown; counts where there is one address.")
    type: AttendeeType = Field(Template.parse("required"), description="`required`, `optional` or `resource`.")


def _form(value: Any) -> str:
    if isinstance(value, Duration) or (isinstance(value, dict) and not value.keys() & {"date", "time"}):
        return "length"
    return "table" if isinstance(value, dict | DateAndTime) else "text"


type _Start = Annotated[
    Annotated[Text, Tag("text")] | Annotated[DateAndTime, Tag("table")],
    Discriminator(lambda value: "table" if isinstance(value, dict | DateAndTime) else "text"),
]
type _End = Annotated[
    Annotated[Text, Tag("text")] | Annotated[DateAndTime, Tag("table")] | Annotated[Duration, Tag("length")],
    Discriminator(_form),
]
type _Body = Annotated[
    Body,
    BeforeValidator(
        lambda value: {"content": value} if isinstance(value, str) else value, json_schema_input_type=str | Body
    ),
]
type _Attendee = Annotated[
    Attendee,
    BeforeValidator(
        lambda value: {"address": value} if isinstance(value, str) else value, json_schema_input_type=str | Attendee
    ),
]


class EventChanges(Table):
    """Properties of `[event]` that are other ones in this shape."""

    subject: Shown | None = Field(None, description="At most 255 characters; longer ones are cut.")
    body: _Body | None = Field(None, description='Text, or `{ contentType = "html", content = "…" }`.')
    start: _Start | None = Field(
        None,
        description="Date and time column, or `{ date = …, time = …, days = …, minutes = … }` (all but `date` optional).",
    )
    end: _End | None = Field(
        None,
        description="The same, or a length: `{ minutes = … }`, `{ hours = … }` or `{ time_span = … }`. Without one "
        "(or where it is empty), `default_minutes` counts.",
    )
    isAllDay: Flag | None = Field(
        None, description="`true`: only the dates of start and end count; the end's day is the last one."
    )
    location: Shown | None = Field(
        None, description="Its display name: one line of at most 255 characters; longer ones are cut."
    )
    attendees: list[_Attendee] = Field(
        default_factory=list,
        description="Who is invited: addresses or `{ address = …, name = …, type = … }`. **Outlook mails them; nothing can "
        "suppress that.**",
    )
    showAs: ShowAs | None = Field(None, description=f"`{'`, `'.join(SHOW_AS)}`.")
    sensitivity: Sensitivity | None = Field(None, description=f"`{'`, `'.join(SENSITIVITY)}`.")
    importance: Importance | None = Field(None, description=f"`{'`, `'.join(IMPORTANCE)}`.")
    categories: list[Shown] = Field(
        default_factory=list, description="Names of categories; those that the mailbox has show in their colour."
    )
    isReminderOn: Flag | None = Field(
        None, description="`true` or `false`. What a sweep makes after its begin has no reminder."
    )
    reminderMinutesBeforeStart: Minutes | None = Field(
        None,
        description="A whole number: 1440 is a day. Of whole days it counts from midnight: 900 is 9:00 on the day before.",
    )
    hideAttendees: Flag | None = Field(None, description="`true`: attendees do not see each other.")
    isOnlineMeeting: Flag | None = Field(
        None, description="`true`: a Teams meeting. It stays one, and its body is written once, when the event is made."
    )


class EventTemplate(EventChanges):
    """Properties of Graph's event (https://learn.microsoft.com/graph/api/resources/event), by Graph's names."""

    subject: Shown = Field(description=EventChanges.model_fields["subject"].description)
    start: _Start = Field(description=EventChanges.model_fields["start"].description)
    isAllDay: Flag = Field(Template.parse("false"), description=EventChanges.model_fields["isAllDay"].description)

    def changed(self, changes: EventChanges, known: set[str]) -> Self:
        """With the properties of a shape; of the `known` ones, what neither names is as Graph has it where nothing is said.

        A row may go from one shape to another, and a PATCH that does not name a property leaves what is there.
        """
        own = {name: getattr(changes, name) for name in changes.model_fields_set}
        unsaid = known - own.keys() - self.model_fields_set
        return self.model_copy(update={name: _UNSAID[name] for name in unsaid if name in _UNSAID} | own)


_NOTHING = Template.parse("")
_UNSAID: dict[str, Any] = {
    "body": Body(content=_NOTHING),
    "location": _NOTHING,
    "attendees": [Attendee(address=_NOTHING)],
    "showAs": _NOTHING,
    "sensitivity": _NOTHING,
    "importance": _NOTHING,
    "categories": [_NOTHING],
    "isReminderOn": Template.parse("true"),
    "reminderMinutesBeforeStart": _NOTHING,
    "hideAttendees": _NOTHING,
    "isOnlineMeeting": _NOTHING,
}
