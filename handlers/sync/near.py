"""What was probably meant by a word that is not known: by its letters, or by what it means."""

import difflib
from collections.abc import Iterable

from handlers.sync.template import folded

# Other words for keys and for Graph's names, folded; the first of them that can stand there is meant.
_MEANINGS: dict[str, tuple[str, ...]] = {
    "oof": ("outofoffice", "ooo", "away", "absent", "vacation", "holiday", "timeoff"),
    "workingElsewhere": ("elsewhere", "remote", "home", "homeoffice"),
    "free": ("available", "none", "nothing"),
    "busy": ("blocked", "occupied", "unavailable"),
    "tentative": ("maybe", "provisional", "planned"),
    "high": ("urgent", "important"),
    "normal": ("medium", "default", "standard", "public"),
    "private": ("secret", "hidden"),
    "optional": ("cc",),
    "required": ("mandatory", "to"),
    "resource": ("room",),
    "subject": ("title", "summary", "caption"),
    "body": ("description", "notes", "text", "content", "message"),
    "content": ("text", "body", "html"),
    "contentType": ("type", "format"),
    "start": ("begin", "from", "date", "startdate", "starttime"),
    "end": ("finish", "until", "to", "duration", "length", "enddate", "endtime"),
    "location": ("place", "where", "room", "address"),
    "attendees": ("invitees", "participants", "guests", "people", "invite", "required", "optional"),
    "showAs": ("availability", "status", "freebusy", "busystatus"),
    "sensitivity": ("private", "privacy", "visibility"),
    "importance": ("priority",),
    "categories": ("color", "colour", "tags", "labels"),
    "isAllDay": ("wholeday", "fullday"),
    "isOnlineMeeting": ("teams", "online", "teamsmeeting"),
    "reminderMinutesBeforeStart": ("reminder", "reminderminutes", "alarm", "alert"),
    "address": ("email", "mail"),
    "time_zone": ("tz", "zone"),
    "query": ("inquiry", "gi", "genericinquiry"),
    "mailbox": ("owner", "user", "email", "account", "upn"),
    "key": ("keys", "id", "primarykey"),
    "link": ("url",),
    "locale": ("language", "culture"),
    "default_minutes": ("defaultlength", "defaultduration"),
    "when": ("if", "filter", "condition", "conditions", "where"),
    "shape": ("variant", "variants", "case", "cases"),
    "values": ("map", "labels", "translate", "picklist", "lookup"),
    "write_back": ("writeback", "update", "record"),
    "none_of": ("not", "except"),
    "not": ("except", "exclude", "noneof", "isnot"),
    "one_of": ("in", "any", "anyof", "equals", "is"),
    "empty": ("isempty", "null", "isnull", "blank"),
    "delete": ("remove", "removed", "deletion"),
    "update": ("change", "changed"),
    "comment": ("message", "reason"),
    "minutes": ("min", "mins", "minute", "m"),
    "hours": ("hour", "hrs", "h"),
    "days": ("day", "d"),
}
_BY_MEANING: dict[str, list[str]] = {}
for _meant, _words in _MEANINGS.items():
    for _word in _words:
        _BY_MEANING.setdefault(_word, []).append(_meant)


def nearest(word: str, known: Iterable[str]) -> str:
    """The known word that is most probably meant; empty where none is near."""
    forms = {folded(name): name for name in known}
    if (found := forms.get(folded(word))) is not None:
        return found
    for meant in _BY_MEANING.get(folded(word), ()):
        if meant in forms.values():
            return meant
    near = difflib.get_close_matches(folded(word), forms, 1)
    return forms[near[0]] if near else ""
