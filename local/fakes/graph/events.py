"""Graph's `event`: which bodies are refused, and how an event looks in an answer.

https://learn.microsoft.com/graph/api/resources/event
"""

import copy
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from tzlocal.windows_tz import win_tz

from local.fakes.calls import Refused
from local.fakes.graph.errors import refused

type Body = dict[str, Any]

_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,7})?")

# https://learn.microsoft.com/graph/api/resources/extended-properties-overview#id-formats
_PROPERTY_ID = re.compile(r"\w+ (\{[0-9a-fA-F-]{36}\} (Name|Id) \S.*|0x[0-9a-fA-F]{1,8})")

# Besides all Windows names, Graph knows these IANA names, and no others:
# https://learn.microsoft.com/graph/api/resources/datetimetimezone#additional-time-zones
_IANA = {
    area + "/" + city
    for area, cities in {
        "Africa": "Cairo Casablanca Johannesburg Lagos Nairobi Windhoek",
        "America": "Anchorage Argentina/Buenos_Aires Asuncion Bahia Bogota Caracas Cayenne Chicago Chihuahua Cuiaba Denver "
        "Godthab Guatemala Halifax Indiana/Indianapolis La_Paz Los_Angeles Mexico_City Montevideo New_York Phoenix Regina "
        "Santa_Isabel Santiago Sao_Paulo St_Johns",
        "Asia": "Almaty Amman Baghdad Baku Bangkok Beirut Colombo Damascus Dhaka Dubai Irkutsk Jerusalem Kabul Karachi "
        "Kathmandu Kolkata Krasnoyarsk Magadan Novosibirsk Rangoon Riyadh Seoul Shanghai Singapore Taipei Tashkent Tbilisi "
        "Tehran Tokyo Ulaanbaatar Vladivostok Yakutsk Yekaterinburg Yerevan",
        "Atlantic": "Azores Cape_Verde Reykjavik",
        "Australia": "Adelaide Brisbane Darwin Hobart Perth Sydney",
        "Etc": "GMT GMT+11 GMT+12 GMT+2 GMT-12",
        "Europe": "Berlin Bucharest Budapest Istanbul Kaliningrad Kiev London Moscow Paris Warsaw",
        "Indian": "Mauritius",
        "Pacific": "Apia Auckland Fiji Guadalcanal Honolulu Kiritimati Port_Moresby Tongatapu",
    }.items()
    for city in cities.split()
}

_EMAIL = {"address": str, "name": str}
_ZONED = {"dateTime": str, "timeZone": str}
_LOCATION_TYPES = (
    "default conferenceRoom homeAddress businessAddress geoCoordinates streetAddress hotel restaurant localBusiness "
    "postalAddress"
)
_LOCATION: dict[str, Any] = {
    "displayName": str,
    "locationEmailAddress": str,
    "locationUri": str,
    "locationType": _LOCATION_TYPES.split(),
    "address": {"street": str, "city": str, "state": str, "countryOrRegion": str, "postalCode": str},
    "coordinates": {"accuracy": float, "altitude": float, "altitudeAccuracy": float, "latitude": float, "longitude": float},
    "uniqueId": str,
    "uniqueIdType": ["unknown", "locationStore", "directory", "private", "bing"],
}
_ATTENDEE = {
    "emailAddress": _EMAIL,
    "type": ["required", "optional", "resource"],
    "proposedNewTime": {"start": _ZONED, "end": _ZONED},
    "status": dict,
}

# A type, a record of shapes, a list of names (an enumeration), or a tuple of one shape (a collection).
_WRITABLE: Mapping[str, Any] = {
    "subject": str,
    "body": {"content": str, "contentType": ["text", "html"]},
    "start": _ZONED,
    "end": _ZONED,
    "isAllDay": bool,
    "location": _LOCATION,
    "locations": (_LOCATION,),
    "attendees": (_ATTENDEE,),
    "isReminderOn": bool,
    "reminderMinutesBeforeStart": int,
    "showAs": ["free", "tentative", "busy", "oof", "workingElsewhere", "unknown"],
    "sensitivity": ["normal", "personal", "private", "confidential"],
    "importance": ["low", "normal", "high"],
    "categories": (str,),
    "isOnlineMeeting": bool,
    "onlineMeetingProvider": ["unknown", "skypeForBusiness", "skypeForConsumer", "teamsForBusiness"],
    "hideAttendees": bool,
    "allowNewTimeProposals": bool,
    "responseRequested": bool,
    "recurrence": dict,
    "transactionId": str,
    "singleValueExtendedProperties": ({"id": str, "value": str},),
    "multiValueExtendedProperties": ({"id": str, "value": (str,)},),
    "extensions": (dict,),
}
_READ_ONLY_NAMES = (
    "id iCalUId changeKey createdDateTime lastModifiedDateTime webLink bodyPreview isOrganizer isCancelled isDraft organizer"
    " responseStatus type originalStart originalStartTimeZone originalEndTimeZone hasAttachments seriesMasterId"
    " onlineMeeting onlineMeetingUrl"
)
_READ_ONLY = _READ_ONLY_NAMES.split()
_HIDDEN = ("singleValueExtendedProperties", "multiValueExtendedProperties", "extensions")  # told only where asked for
PROPERTIES = {*_WRITABLE, *_READ_ONLY} - set(_HIDDEN)

_DEFAULTS: Body = {
    "subject": None,
    "body": {"contentType": "html", "content": ""},
    "isAllDay": False,
    "location": {"displayName": "", "locationType": "default", "uniqueIdType": "unknown", "address": {}, "coordinates": {}},
    "locations": [],
    "attendees": [],
    "isReminderOn": True,
    "reminderMinutesBeforeStart": 15,
    "showAs": "busy",
    "sensitivity": "normal",
    "importance": "normal",
    "categories": [],
    "isOnlineMeeting": False,
    "onlineMeetingProvider": "unknown",
    "hideAttendees": False,
    "allowNewTimeProposals": True,
    "responseRequested": True,
    "recurrence": None,
}


def zone_of(name: str) -> tzinfo:
    """The zone of a name that Graph knows. Raises Refused."""
    if name in win_tz or name in _IANA or name == "UTC":
        return ZoneInfo(win_tz.get(name, name))
    message = f"A valid TimeZone value must be specified. The following TimeZone value is not supported: '{name}'."
    raise refused(400, "TimeZoneNotSupportedException", message)


def property_id(name: str) -> str:
    """Two ids with the same result name the same extended property; only its own name minds upper and lower case."""
    if not _PROPERTY_ID.fullmatch(name):
        raise refused(400, "ErrorInvalidProperty", f"The extended property id '{name}' is not valid.")
    kind_and_guid, by_name, own_name = name.partition(" Name ")
    return kind_and_guid.lower() + by_name + own_name


def normalise(body: Any, *, create: bool) -> Body:
    """Check what a client sends, by itself; returns it as it is kept. Raises Refused."""
    if not isinstance(body, dict) or not body:
        message = "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid"
        raise refused(400, "BadRequest", f"{message} JSON format.")
    body = copy.deepcopy(body)
    body.pop("@odata.type", None)
    if read_only := [name for name in _READ_ONLY if name in body]:
        raise _invalid(f"The property '{read_only[0]}' is read-only and cannot be set.")
    _check("event", body, _WRITABLE)
    if create and not {"start", "end"} <= body.keys():
        raise _invalid()
    for name in {"start", "end"} & body.keys():
        body[name] = _moment(body[name])
    # "subject" of Exchange: https://learn.microsoft.com/exchange/client-developer/web-service-reference/subject
    if len(body.get("subject") or "") > 255:
        raise _invalid()
    if len(body.get("attendees") or ()) > 500:  # https://learn.microsoft.com/graph/api/resources/event#properties
        raise _invalid("The number of attendees is over the limit of 500.")
    if location := body.get("location"):
        place = {"uniqueId": location.get("displayName"), "uniqueIdType": "private", "locationType": "default"}
        body["location"] = place | location
        body["locations"] = [body["location"]]  # a new location replaces all of locations
    for item in body.get("singleValueExtendedProperties") or ():
        item["id"] = property_id(item.get("id") or "")
    return dict(body)


def merged(old: Body, new: Body) -> Body:
    """The event with the changes in it, checked as a whole. Raises Refused."""
    event: Body = {**(old or _DEFAULTS), **new}
    event |= {name: _DEFAULTS[name] for name, value in event.items() if value is None and name in _DEFAULTS}
    start, end = event["start"], event["end"]
    if event["isAllDay"]:
        # "start and end must be set to midnight and be in the same time zone"; the end is the first day after it
        for name in ("start", "end"):
            if not event[name]["dateTime"].endswith("T00:00:00.0000000"):
                message = f"The Event.{name.title()} property for an all-day event needs to be set to midnight."
                raise refused(400, "ErrorInvalidRequest", message)
        if start["timeZone"] != end["timeZone"]:
            raise refused(400, "ErrorInvalidRequest", "Start and end of an all-day event need to be in the same time zone.")
        if end["dateTime"] <= start["dateTime"]:
            raise _invalid("The duration of an event marked as All day must be at least 24 hours.")
    elif instant(end) < instant(start):
        raise _invalid()
    return event


def instant(moment: Mapping[str, str]) -> datetime:
    """A dateTimeTimeZone as a point of time."""
    return datetime.fromisoformat(moment["dateTime"]).replace(tzinfo=zone_of(moment["timeZone"])).astimezone(UTC)


def shown(event: Body, zone: str | None, *, text: bool = False) -> Body:
    """An event as it is answered, with its times in `zone`, or in their own if that is None."""
    body = {name: value for name, value in event.items() if name not in _HIDDEN}
    content = str(body["body"].get("content") or "")
    body["bodyPreview"] = re.sub(r"<[^>]*>", "", content).strip()[:255]
    if text:
        body["body"] = {"contentType": "text", "content": body["bodyPreview"]}
    elif body["body"].get("contentType") != "html":  # text comes back as HTML
        body["body"] = {"contentType": "html", "content": f"<html><head></head><body>{content}</body></html>"}
    if zone is not None:
        for name in ("start", "end"):
            # All-day events float: midnight in whatever zone is asked for.
            moment = event[name]["dateTime"]
            there = moment if event["isAllDay"] else _text(instant(event[name]).astimezone(zone_of(zone)))
            body[name] = {"dateTime": there, "timeZone": zone}
    return body


def _invalid(message: str = "At least one property failed validation.") -> Refused:
    return refused(400, "ErrorPropertyValidationFailure", message)


def _moment(value: Any) -> Body:
    """A wall-clock time and a zone: `dateTime` has no offset, since its meaning beside a zone is not defined."""
    if not isinstance(value, dict) or not isinstance(value.get("dateTime"), str):
        raise _invalid()
    zone_of(value.get("timeZone") or "")
    if not _DATE_TIME.fullmatch(value["dateTime"]):
        raise _invalid()
    try:
        moment = datetime.fromisoformat(value["dateTime"])
    except ValueError:
        raise _invalid() from None
    return {"dateTime": _text(moment), "timeZone": value["timeZone"]}


def _text(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}0"


def _check(name: str, value: Any, shape: Any) -> None:
    """Hold a value against a shape; null is allowed everywhere, and `start` and `end` are looked at more closely later."""
    match shape:
        case _ if value is None:
            return
        case list():
            if value not in shape:
                raise refused(400, "RequestBodyRead", f"Requested value '{value}' was not found.")
        case tuple():
            _expect(name, value, list)
            for item in value:
                _check(name, item, shape[0])
        case dict():
            _expect(name, value, dict)
            _check_members(name, value, shape)
        case _:
            _expect(name, value, shape)


def _check_members(name: str, value: Body, shape: Mapping[str, Any]) -> None:
    for member, item in value.items():
        if member == "@odata.type":
            continue
        if member not in shape:
            message = (
                f"The property '{member}' does not exist on type 'microsoft.graph.{name}'. Make sure to only use property"
            )
            raise refused(
                400, "RequestBodyRead", f"{message} names that are defined by the type or mark the type as open type."
            )
        _check(member, item, shape[member])


def _expect(name: str, value: Any, kind: type) -> None:
    wanted: Iterable[type] = (int, float) if kind is float else (kind,)
    if not isinstance(value, tuple(wanted)) or (isinstance(value, bool) and kind is not bool):
        message = f"Cannot convert the value of property '{name}' to the expected type '{kind.__name__}'."
        raise refused(400, "RequestBodyRead", message)
