"""When an event is: zones, dates, lengths, whole days, daylight saving."""

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from tzlocal.windows_tz import tz_win, win_tz

from handlers.sync.errors import Permanent
from handlers.sync.event import calendar_event
from handlers.sync.mapping import Mapping
from handlers.sync.mapping_file import load_mapping
from handlers.sync.template import kind_of
from handlers.sync.zones import Zone, find_zone
from local.sample import ROW, TEXT, changed
from tests.sync.least import LEAST, SHORT, SITE, body, event, least, reason, refused, times


@pytest.fixture(scope="module")
def mapping() -> Mapping:
    return load_mapping("m", TEXT)


@pytest.mark.parametrize(
    ("written", "windows", "iana"),
    [
        ("Eastern Standard Time", "Eastern Standard Time", "America/New_York"),
        ("eastern standard time", "Eastern Standard Time", "America/New_York"),
        ("America/New_York", "Eastern Standard Time", "America/New_York"),
        ("America/Detroit", "Eastern Standard Time", "America/New_York"),
        ("Europe/Berlin", "W. Europe Standard Time", "Europe/Berlin"),
        ("Europe/Madrid", "Romance Standard Time", "Europe/Paris"),
        ("Asia/Kolkata", "India Standard Time", "Asia/Kolkata"),
        ("UTC", "UTC", "UTC"),
        ("utc", "UTC", "UTC"),
        ("Etc/UTC", "UTC", "UTC"),
        ("GMT", "UTC", "UTC"),
        ("Etc/GMT", "UTC", "UTC"),
        ("EST5EDT", "Eastern Standard Time", "America/New_York"),
    ],
)
def test_zones(written: str, windows: str, iana: str) -> None:
    """Graph gets the Windows name; offsets are converted by the zone that it stands for."""
    mapping = load_mapping("m", changed(("Eastern Standard Time", written), ('end = "{MeetingEnd}"\n', "")))
    start = event(mapping, MeetingStart="2026-07-01T12:00:00Z").body["start"]
    there = datetime(2026, 7, 1, 12, tzinfo=UTC).astimezone(ZoneInfo(iana))
    assert start == {"dateTime": f"{there:%Y-%m-%dT%H:%M:%S}", "timeZone": windows}


def test_every_zone_can_be_used() -> None:
    """Every Windows name has a zone of the database, and every IANA name a Windows name that is known."""
    assert [name for name in win_tz if not ZoneInfo(win_tz[name]).key] == []
    assert set(tz_win.values()) - set(win_tz) == set()
    no_places = {"Factory", "localtime"}
    for name in available_timezones() - no_places:
        assert find_zone(name).clock.key in {name, "Etc/UTC"}


# Where clocks go another way than in the Windows zone that stands for them, as of 2026 and as of coming laws.
OWN_WAYS = ["America/Scoresbysund", "Antarctica/Casey", "Antarctica/Vostok", "Antarctica/Troll"]


@pytest.mark.parametrize("zone", [*OWN_WAYS, "Europe/Berlin", "America/Detroit", "Africa/Casablanca", "Asia/Gaza"])
@pytest.mark.parametrize(
    "start", ["2026-01-15T09:30:00", "2026-07-15T09:30:00", "2026-03-29T00:30:00", "2026-10-25T00:30:00"]
)
def test_what_graph_is_told_is_the_moment_that_was_meant(zone: str, start: str) -> None:
    """By the clock of the named place, in the Windows zone where that shows the same, else in UTC."""
    found = body(load_mapping("m", LEAST.replace("America/New_York", zone)), Start=start)
    meant = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(zone)).timestamp()
    for name, moment in (("start", meant), ("end", meant + 3600)):
        told = found[name]
        clock = ZoneInfo({**win_tz, "UTC": "UTC"}[told["timeZone"]])
        assert datetime.fromisoformat(told["dateTime"]).replace(tzinfo=clock).timestamp() == moment
    if zone in {"Europe/Berlin", "America/Detroit"}:
        assert found["start"] == {"dateTime": start, "timeZone": find_zone(zone).windows}


def test_a_gap_of_the_windows_zone_alone_is_told_in_utc() -> None:
    """Noumea has an hour that Norfolk leaves out; whoever reads that hour as Norfolk's is an hour late."""
    zone = Zone(ZoneInfo("Pacific/Noumea"), "Norfolk Standard Time", ZoneInfo("Pacific/Norfolk"))
    gap = datetime(2026, 10, 4, 2, 30, tzinfo=zone.clock)
    assert [zone.is_told_by(gap + timedelta(hours=hours)) for hours in (-1, 0, 1)] == [True, False, False]


@pytest.mark.parametrize(
    ("sent", "wall_clock"),
    [
        ("2026-02-03T09:30:00", "2026-02-03T09:30:00"),
        ("2026-02-03T09:30", "2026-02-03T09:30:00"),
        ("2026-02-03 09:30:00", "2026-02-03T09:30:00"),
        ("2026-02-03T09:30:00.1", "2026-02-03T09:30:00"),
        ("2026-02-03T09:30:00.103", "2026-02-03T09:30:00"),
        ("2026-02-03T09:30:59.9999999", "2026-02-03T09:30:59"),
        (" 2026-02-03T09:30:00  ", "2026-02-03T09:30:00"),
        ("2026-02-03", "2026-02-03T00:00:00"),
        ("2026-02-03T00:00:00", "2026-02-03T00:00:00"),
        ("2026-02-03T14:30:00Z", "2026-02-03T09:30:00"),
        ("2026-02-03T14:30:00.000+00:00", "2026-02-03T09:30:00"),
        ("2026-02-03T17:30:00+03:00", "2026-02-03T09:30:00"),
        ("2026-02-03T04:30:00Z", "2026-02-02T23:30:00"),
        ("2026-07-03T13:30:00Z", "2026-07-03T09:30:00"),
        # the hour that is left out in spring: 02:00 to 03:00 on 8 March
        ("2026-03-08T06:59:59Z", "2026-03-08T01:59:59"),
        ("2026-03-08T07:00:00Z", "2026-03-08T03:00:00"),
        ("2026-03-08T02:30:00", "2026-03-08T03:30:00"),
        # the hour that comes twice in autumn: 01:00 to 02:00 on 1 November
        ("2026-11-01T04:59:59Z", "2026-11-01T00:59:59"),
        ("2026-11-01T05:30:00Z", "2026-11-01T01:30:00"),
        ("2026-11-01T07:00:00Z", "2026-11-01T02:00:00"),
    ],
)
def test_dates(mapping: Mapping, sent: str, wall_clock: str) -> None:
    """Wall-clock time of the mapping's zone, converted where there is an offset, without fractions."""
    start = event(mapping, MeetingStart=sent, MeetingEnd="2027-01-01T00:00:00").body["start"]
    assert start == {"dateTime": wall_clock, "timeZone": "Eastern Standard Time"}


@pytest.mark.parametrize(
    "sent",
    [
        "garbage",
        "02/03/2026 09:30:00",
        "2026-02-30T09:30:00",
        "2026-02-03T25:00:00",
        "2026-02-03T09:30:00 EST",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "٢٠٢٦",
        5,
        True,
        1.5,
        {"a": 1},
    ],
)
def test_dates_that_are_none(mapping: Mapping, sent: Any) -> None:
    """The column is named, the value is not."""
    assert (
        refused(mapping, MeetingStart=sent)
        == f"The mapping's start, made of MeetingStart ({kind_of(sent)}), is no ISO date and time in this row."
    )
    assert (
        refused(mapping, MeetingEnd=sent)
        == f"The mapping's end, made of MeetingEnd ({kind_of(sent)}), is no ISO date and time in this row."
    )


@pytest.mark.parametrize("sent", [None, "", "  "])
def test_empty_dates(mapping: Mapping, sent: Any) -> None:
    """Are told apart from wrong ones."""
    assert refused(mapping, MeetingStart=sent) == "The mapping's start, made of MeetingStart, is empty in this row."


def test_the_end_is_not_before_the_start(mapping: Mapping) -> None:
    """An event without duration is one; a negative one is refused, also across offsets."""
    assert event(mapping, MeetingEnd=ROW["MeetingStart"]).body["end"]["dateTime"] == "2026-02-03T09:30:00"
    assert (
        refused(mapping, MeetingEnd="2026-02-03T09:29:59")
        == "The mapping's end, made of MeetingEnd (text), is before the start in this row."
    )
    assert (
        refused(mapping, MeetingEnd="2026-02-03T14:29:59Z")
        == "The mapping's end, made of MeetingEnd (text), is before the start in this row."
    )


@pytest.mark.parametrize(
    "end", ["", 'end = "{End}"', 'end = { minutes = "{End}" }', 'end = { date = "{End}", time = "{End}" }']
)
def test_an_event_without_an_end_has_the_default_length(end: str) -> None:
    assert times(least(end), End=None) == ("2026-02-03 09:30", "2026-02-03 10:30")
    assert times(least(end, "default_minutes = 15"), End="") == ("2026-02-03 09:30", "2026-02-03 09:45")


@pytest.mark.parametrize(
    ("length", "end"),
    [(90, "11:00"), ("90", "11:00"), ("1:30", "11:00"), ("01:30:00", "11:00"), (0, "09:30"), (45.0, "10:15")],
)
def test_an_end_by_its_length(length: Any, end: str) -> None:
    assert times(least('end = { minutes = "{Length}" }'), Length=length)[1] == f"2026-02-03 {end}"


def test_a_length_of_the_mapping() -> None:
    assert times(least("end = { minutes = 20 }"))[1] == "2026-02-03 09:50"


@pytest.mark.parametrize("length", [-5, 1.5, "soon", True, "1:75", 10**9, "-5", "1.5", "1:30:15", [30]])
def test_what_is_no_length(length: Any) -> None:
    assert "is no length in minutes" in reason(least('end = { minutes = "{Length}" }'), Length=length)


@pytest.mark.parametrize("digits", ["130", "0130", "090", "1440", "0010130", "100000"])
@pytest.mark.parametrize("unit", ["minutes", "hours"])
def test_digits_of_a_length_are_never_guessed(digits: str, unit: str) -> None:
    """130 is 2 h 10 as minutes, and 1 h 30 as Acumatica shows a time span; a number of JSON has no such form."""
    said = reason(least(f'end = {{ {unit} = "{{Length}}" }}'), Length=digits)
    assert f"holds digits that may be {unit} or a time span (hhmm)" in said
    assert digits not in said
    if unit == "minutes":
        assert times(least('end = { minutes = "{Length}" }'), Length=130)[1] == "2026-02-03 11:40"


def test_digits_of_a_reminder_are_never_guessed_either() -> None:
    mapping = least('reminderMinutesBeforeStart = "{Before}"')
    assert body(mapping, Before=120)["reminderMinutesBeforeStart"] == 120
    assert body(mapping, Before="45")["reminderMinutesBeforeStart"] == 45
    assert "may be minutes or a time span (hhmm)" in reason(mapping, Before="120")


@pytest.mark.parametrize(
    ("span", "end"),
    [
        ("0130", "2026-02-03 11:00"),
        (" 130", "2026-02-03 11:00"),
        ("  30", "2026-02-03 10:00"),
        ("5", "2026-02-03 09:35"),
        ("2400", "2026-02-04 09:30"),
        ("0000", "2026-02-03 09:30"),
        ("0010130", "2026-02-04 11:00"),
        ("  10130", "2026-02-04 11:00"),
        ("1002359", "2026-05-15 10:29"),
        ("1:30", "2026-02-03 11:00"),
        ("", "2026-02-03 10:30"),
        (None, "2026-02-03 10:30"),
    ],
)
def test_an_end_by_a_time_span(span: Any, end: str) -> None:
    """Digits as Acumatica shows them: hhmm or dddhhmm, with blanks in front."""
    assert times(least('end = { time_span = "{Span}" }'), Span=span)[1] == end


@pytest.mark.parametrize("span", ["190", "0199", "12345678", "1 2 30", "soon", "-130", "1.5", True])
def test_what_is_no_time_span(span: Any) -> None:
    assert "is no time span as Acumatica shows it" in reason(least('end = { time_span = "{Span}" }'), Span=span)


def test_a_number_is_no_time_span() -> None:
    """Acumatica keeps them as minutes: 130 as a number might be either."""
    said = reason(least('end = { time_span = "{Span}" }'), Span=130)
    assert "made of Span (a number), holds digits that may be minutes or a time span (hhmm)" in said


@pytest.mark.parametrize(
    ("hours", "end"),
    [(2.5, "12:00"), (1, "10:30"), ("2.5", "12:00"), ("2", "11:30"), ("1:15", "10:45"), (0.33, "09:50"), (0, "09:30")],
)
def test_an_end_by_hours(hours: Any, end: str) -> None:
    """With decimals, to the minute."""
    assert times(least('end = { hours = "{Hours}" }'), Hours=hours)[1] == f"2026-02-03 {end}"


@pytest.mark.parametrize("hours", [-1, "soon", True, 10**6, "2,5", "1e2"])
def test_what_is_no_number_of_hours(hours: Any) -> None:
    assert "is no length in hours" in reason(least('end = { hours = "{Hours}" }'), Hours=hours)


def test_hours_of_the_mapping_and_over_whole_days() -> None:
    assert times(least("end = { hours = 1.5 }"))[1] == "2026-02-03 11:00"
    assert times(least("end = { hours = 48 }\nisAllDay = true")) == ("2026-02-03 00:00", "2026-02-05 00:00")
    assert times(least('end = { time_span = "{Span}" }\nisAllDay = true'), Span="0020001")[1] == "2026-02-06 00:00"


# -- what is probably not meant -------------------------------------------------------------------------------------------

MIDNIGHT = "The start is at midnight: if its column holds a date without a time, say isAllDay = true."
YEAR_1900 = "The start is in the year 1900, as of a time without a date: use { date = …, time = … }."


@pytest.mark.parametrize(
    ("event", "row", "notes"),
    [
        ("", {"Start": "2026-02-03"}, [MIDNIGHT]),
        ("", {"Start": "2026-02-03T00:00:00"}, [MIDNIGHT]),
        ("end = { minutes = 30 }", {"Start": "2026-02-03T00:00:00"}, [MIDNIGHT]),
        ('end = "{End}"', {"Start": "2026-02-03T00:00:00", "End": "2026-02-05T00:00:00"}, [MIDNIGHT]),
        ('end = "{End}"', {"Start": "2026-02-03T00:00:00", "End": "2026-02-03T06:00:00"}, []),
        ("", {"Start": "2026-02-03T09:30:00"}, []),
        ("", {"Start": "2026-02-03T05:00:00Z"}, []),
        ("isAllDay = true", {"Start": "2026-02-03T00:00:00"}, []),
        ("", {"Start": "1900-01-01T08:00:00"}, [YEAR_1900]),
    ],
)
def test_a_date_or_a_time_alone_is_noted(event: str, row: dict[str, Any], notes: list[str]) -> None:
    """It becomes what it says; the preview and the runs page tell what may be wrong."""
    assert list(calendar_event(least(event), SHORT | row, SITE).notes) == notes


def test_midnight_in_a_time_column_is_meant() -> None:
    mapping = least(start='start = { date = "{Day}", time = "{Clock}" }')
    row = {"Day": "2026-02-03T00:00:00", "Clock": "1900-01-01T00:00:00"}
    assert calendar_event(mapping, SHORT | row, SITE).notes == ()


@pytest.mark.parametrize(
    "clock",
    [
        "1900-01-01T14:05:00",
        "2026-07-09T14:05:00",
        "14:05",
        "14:05:00",
        "2:05 PM",
        "02:05:00 pm",
        "2:05 p.m.",
        "1900-01-01T14:05:00Z",
    ],
)
def test_a_date_and_a_time_in_columns_of_their_own(clock: str) -> None:
    """The time column's date does not count: Acumatica puts in any."""
    mapping = least(start='start = { date = "{Day}", time = "{Clock}" }')
    assert times(mapping, Day="2026-02-03T00:00:00", Clock=clock)[0] == "2026-02-03 14:05"
    assert times(mapping, Day="2026-02-03", Clock=clock)[0] == "2026-02-03 14:05"


@pytest.mark.parametrize(
    ("day", "clock"),
    [
        ("soon", "14:05"),
        ("2026-02-03", "noon"),
        ("2026-02-03", ""),
        ("2026-02-03", None),
        ("2026-02-03", "1900-01-01"),
        ("2026-02-03", "25:00"),
        ("2026-02-03", "14:05 PM"),
        ("2026-02-03", "0:05 AM"),
        ("2026-02-03", 10.5),
    ],
)
def test_what_is_no_date_and_time(day: str, clock: Any) -> None:
    mapping = least(start='start = { date = "{Day}", time = "{Clock}" }')
    assert reason(mapping, Day=day, Clock=clock).startswith("The mapping's start, made of Day (text) and Clock")


@pytest.mark.parametrize("clock", [1030, 630, 10, "1030", "0630", "10", 630.0])
def test_digits_of_a_time_column_are_never_guessed(clock: Any) -> None:
    """1030 is half past ten, or the 1030th minute of the day."""
    mapping = least(start='start = { date = "{Day}", time = "{Clock}" }')
    said = reason(mapping, Day="2026-02-03", Clock=clock)
    assert "holds digits that may be a time of day (hhmm) or minutes, and nothing says which" in said


@pytest.mark.parametrize(
    "start", ["20260203", 20260203, "2026-02-03T1030", "2026-02-03T10", "2026-W06-2", "20260203T103000"]
)
def test_digits_of_a_date_are_never_guessed_either(start: Any) -> None:
    """`start = "{Day}T{Clock}"` with a number of minutes looks like the third of these."""
    assert "is no ISO date and time" in reason(least(), Start=start)


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        ("2026-02-03T00:00:00", None, ("2026-02-03", "2026-02-04")),
        ("2026-02-03", "2026-02-03", ("2026-02-03", "2026-02-04")),
        ("2026-02-03T23:59:00", "2026-02-05T00:00:00", ("2026-02-03", "2026-02-06")),
        ("2026-02-28", "2026-02-28T23:59:00", ("2026-02-28", "2026-03-01")),
        ("2026-03-08", "2026-03-08", ("2026-03-08", "2026-03-09")),  # a day of 23 hours
        # whatever offset stands behind the date, it is the day that people wrote
        ("2026-02-04T02:00:00Z", None, ("2026-02-04", "2026-02-05")),
        ("2026-02-04T00:00:00+14:00", "2026-02-05T23:59:00-11:00", ("2026-02-04", "2026-02-06")),
        ("2026-02-04T00:00:00.000Z", "2026-02-04T00:00:00.000Z", ("2026-02-04", "2026-02-05")),
    ],
)
def test_all_day(start: str, end: str | None, days: tuple[str, str]) -> None:
    """Only the written dates count; the end's day is the last one, and Graph's end is the midnight after it."""
    found = body(least('isAllDay = true\nend = "{End}"'), Start=start, End=end)
    zoned = [{"dateTime": f"{day}T00:00:00", "timeZone": "Eastern Standard Time"} for day in days]
    assert (found["start"], found["end"], found["isAllDay"]) == (*zoned, True)


def test_all_day_for_a_length_and_by_column() -> None:
    mapping = least('isAllDay = "{AllDay}"\nend = { minutes = "{Length}" }')
    assert times(mapping, AllDay=True, Length=2880) == ("2026-02-03 00:00", "2026-02-05 00:00")
    assert times(mapping, AllDay="No", Length=60) == ("2026-02-03 09:30", "2026-02-03 10:30")
    assert "is neither true nor false" in reason(mapping, AllDay="perhaps", Length=60)


def test_an_all_day_event_does_not_end_before_it_starts() -> None:
    assert "is before the start" in reason(least('isAllDay = true\nend = "{End}"'), End="2026-02-02")


@pytest.mark.parametrize(
    ("start", "end", "shown"),
    [
        # 2026-03-08 in New York: 02:00 to 03:00 is left out
        ("2026-03-08T01:30:00", "2026-03-08T03:30:00", ("2026-03-08 01:30", "2026-03-08 03:30")),
        ("2026-03-08T02:30:00", "2026-03-08T03:30:00", ("2026-03-08 03:30", "2026-03-08 04:30")),
        ("2026-03-08T02:30:00", "2026-03-08T03:15:00", ("2026-03-08 03:30", "2026-03-08 04:15")),
        ("2026-03-08T02:30:00", "2026-03-08T03:00:00", ("2026-03-08 03:30", "2026-03-08 04:00")),
        ("2026-03-08T02:30:00", "2026-03-08T08:00:00Z", ("2026-03-08 03:30", "2026-03-08 04:00")),
        ("2026-03-08T02:30:00", "2026-03-08T02:45:00", ("2026-03-08 03:30", "2026-03-08 03:45")),
        ("2026-03-08T01:30:00", None, ("2026-03-08 01:30", "2026-03-08 03:30")),
        # 2026-11-01: 01:00 to 02:00 is there twice
        ("2026-11-01T00:30:00", None, ("2026-11-01 00:30", "2026-11-01 01:30")),
        ("2026-11-01T01:30:00", None, ("2026-11-01 01:30", "2026-11-01 06:30 UTC")),
        ("2026-11-01T01:45:00", "2026-11-01T01:15:00", ("2026-11-01 01:45", "2026-11-01 06:15 UTC")),
        ("2026-11-01T05:45:00Z", "2026-11-01T06:15:00Z", ("2026-11-01 01:45", "2026-11-01 06:15 UTC")),
        ("2026-11-01T06:30:00Z", "2026-11-01T07:30:00Z", ("2026-11-01 06:30 UTC", "2026-11-01 02:30")),
        ("2026-11-01T01:30:00", "2026-11-01T02:30:00", ("2026-11-01 01:30", "2026-11-01 02:30")),
    ],
)
def test_daylight_saving(start: str, end: str | None, shown: tuple[str, str]) -> None:
    """Lengths are real; what starts in the gap moves past it whole; the second of two equal times is told in UTC."""
    assert times(least('end = "{End}"'), Start=start, End=end) == shown


@pytest.mark.parametrize("all_day", ["true", "false"])
def test_the_end_of_time(all_day: str) -> None:
    mapping = load_mapping("m", LEAST.replace("America/New_York", "UTC") + f"isAllDay = {all_day}")
    assert reason(mapping, Start="9999-12-31T23:30:00") == "The event would not be within the years 1 to 9999."


def test_the_zone_of_a_column() -> None:
    mapping = load_mapping("m", LEAST.replace("America/New_York", "{Zone}"))
    found = body(mapping, Zone="Asia/Kolkata")
    assert found["start"] == {"dateTime": "2026-02-03T09:30:00", "timeZone": "India Standard Time"}
    assert body(mapping, Zone="Asia/Kolkata", Start="2026-02-03T04:00:00Z")["start"] == found["start"]
    assert "time_zone, made of Zone (text), is no Windows or IANA time zone" in reason(mapping, Zone="Mars/Base")
    assert "time_zone, made of Zone, is empty" in reason(mapping, Zone=None)


# -- shifted -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "columns", "begins"),
    [
        ('{ date = "{Start}", days = -30 }', {"Start": "2026-03-31T09:00:00"}, "2026-03-01 09:00"),
        ('{ date = "{Start}", days = 1 }', {"Start": "2026-02-28T09:00:00"}, "2026-03-01 09:00"),
        ('{ date = "{Start}", minutes = -45 }', {"Start": "2026-02-03T00:30:00"}, "2026-02-02 23:45"),
        ('{ date = "{Start}", days = -1, minutes = 30 }', {"Start": "2026-02-03T09:00:00"}, "2026-02-02 09:30"),
        ('{ date = "{Start}", time = "08:00", days = -1 }', {"Start": "2026-02-03T17:00:00"}, "2026-02-02 08:00"),
        ('{ date = "{Start}", days = "{Notice}" }', {"Start": "2026-02-03T09:00:00", "Notice": -2}, "2026-02-01 09:00"),
        ('{ date = "{Start}", days = "-{Notice}" }', {"Start": "2026-02-03T09:00:00", "Notice": "2"}, "2026-02-01 09:00"),
        ('{ date = "{Start}", days = "{Notice}" }', {"Start": "2026-02-03T09:00:00", "Notice": None}, "2026-02-03 09:00"),
        ('{ date = "{Start}" }', {"Start": "2026-02-03T09:00:00Z"}, "2026-02-03 04:00"),
        ('{ date = "{Start}", days = 1 }', {"Start": "2026-03-07T09:00:00"}, "2026-03-08 09:00"),  # the clocks change
        ('{ date = "{Start}", minutes = -60 }', {"Start": "2026-03-08T03:30:00"}, "2026-03-08 01:30"),  # real minutes
    ],
)
def test_a_start_that_is_shifted(start: str, columns: dict[str, Any], begins: str) -> None:
    """Days on the calendar, minutes as they pass."""
    assert times(least(start=f"start = {start}"), **columns)[0] == begins


@pytest.mark.parametrize(
    ("start", "end", "columns", "expected"),
    [
        # travel before and after
        (
            '{ date = "{Start}", minutes = -30 }',
            '{ date = "{End}", minutes = 30 }',
            {"Start": "2026-02-03T09:00:00", "End": "2026-02-03T10:00:00"},
            ("2026-02-03 08:30", "2026-02-03 10:30"),
        ),
        # a length counts from the shifted start
        (
            '{ date = "{Start}", days = -1 }',
            "{ hours = 2 }",
            {"Start": "2026-02-03T09:00:00"},
            ("2026-02-02 09:00", "2026-02-02 11:00"),
        ),
        (
            '{ date = "{Start}", minutes = -30 }',
            '{ minutes = "{L}" }',
            {"Start": "2026-02-03T09:00:00", "L": 90},
            ("2026-02-03 08:30", "2026-02-03 10:00"),
        ),
        # the start is in the gap: its length on the wall stays, and the minutes count from there
        (
            '{ date = "{Start}", minutes = -30 }',
            '"{End}"',
            {"Start": "2026-03-08T02:30:00", "End": "2026-03-08T03:30:00"},
            ("2026-03-08 03:00", "2026-03-08 04:30"),
        ),
    ],
)
def test_both_ends_shifted(start: str, end: str, columns: dict[str, Any], expected: tuple[str, str]) -> None:
    assert times(least(f"end = {end}", start=f"start = {start}"), **columns) == expected


def test_whole_days_are_shifted_by_days_alone() -> None:
    mapping = least("isAllDay = true", start='start = { date = "{Start}", days = -30, minutes = -45 }')
    assert times(mapping, Start="2026-03-31T00:00:00") == ("2026-03-01 00:00", "2026-03-02 00:00")


@pytest.mark.parametrize("value", [1.5, "x", True, "1,5", 10**7, "9" * 400, [1], "--3", float("inf"), float("nan")])
def test_shifts_that_are_no_whole_number(value: Any) -> None:
    told = reason(least(start='start = { date = "{Start}", days = "{Notice}" }'), Notice=value)
    assert told.startswith("The mapping's start.days, made of Notice")
    assert told.endswith("is no whole number in this row.")


@pytest.mark.parametrize("days", [-999_999, 999_999])
@pytest.mark.parametrize("start", ["0001-01-01", "9999-12-31", "2026-01-01T00:00:00+23:59"])
def test_shifts_out_of_time(days: int, start: str) -> None:
    for form in (f"days = {days}", f"minutes = {days}", f"days = {days}, minutes = {days}"):
        mapping = least(start=f'start = {{ date = "{{Start}}", {form} }}')
        told = ""
        try:
            times(mapping, Start=start)
        except Permanent as failure:
            told = failure.reason
        assert told in {"", "The event would not be within the years 1 to 9999."} or "is no ISO date and time" in told


def test_date_and_time_in_one_text_are_named() -> None:
    with pytest.raises(Permanent) as caught:
        times(least(start='start = "{Day} {Hour}"'), Day="2/3/2026", Hour="9:00 AM")
    assert caught.value.remedy.startswith(
        'Where date and time are in two columns, write { date = "{Day}", time = "{Hour}" }.'
    )
