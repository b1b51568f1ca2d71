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
    ShowAs,
    Table,
    Text,
)
from handlers.sync.template import Template


class DateAndTime(Table):
    """A date and a time in columns of their own."""

    date: Text = Field(description="Column with the date.")
    time: Text = Field(description="Column with the time; its date, if it has one, does not count.")


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
    content: Text = Field(description="Template; in HTML, what columns hold is escaped.")


class Attendee(Table):
    """https://learn.microsoft.com/graph/api/resources/attendee."""

    address: Text = Field(description="One e-mail address, or several with `;` or `,` between them; `Name <address>` too.")
    name: Text | None = Field(None, description="Name that is shown; counts where there is one address.")
    type: AttendeeType = Field(Template.parse("required"), description="`required`, `optional` or `resource`.")


def _form(value: Any) -> str:
    if isinstance(value, Duration) or (isinstance(value, dict) and value.keys() & Duration.model_fields):
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


class EventTemplate(Table):
    """Properties of Graph's event (https://learn.microsoft.com/graph/api/resources/event), by Graph's names."""

    subject: Text = Field(description="At most 255 characters; longer ones are cut.")
    body: _Body | None = Field(None, description='Text, or `{ contentType = "html", content = "…" }`.')
    start: _Start = Field(description="Date and time column, or `{ date = …, time = … }`.")
    end: _End | None = Field(
        None,
        description="The same, or a length: `{ minutes = … }`, `{ hours = … }` or `{ time_span = … }`. Without one "
        "(or where it is empty), `default_minutes` counts.",
    )
    isAllDay: Flag = Field(
        Template.parse("false"), description="`true`: only the dates of start and end count; the end's day is the last one."
    )
    location: Text | None = Field(
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
    categories: list[Text] = Field(
        default_factory=list, description="Names of categories; those that the mailbox has show in their colour."
    )
    isReminderOn: Flag | None = Field(
        None, description="`true` or `false`. What a sweep makes after its begin has no reminder."
    )
    reminderMinutesBeforeStart: Minutes | None = Field(None, description="A whole number.")
    hideAttendees: Flag | None = Field(None, description="`true`: attendees do not see each other.")
