"""Is everything there that the app needs? Each check says what it saw and, where it fails, what to do."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from handlers.clients.storage import Storage
from handlers.clients.tables import StorageError, in_words
from handlers.operations import dead_letters, sweeps, words
from handlers.operations.check import Check
from handlers.operations.inquiry_checks import inquiries
from handlers.operations.relay_checks import relays, tokens
from handlers.services import Factory, NotReady, Services
from handlers.settings import Settings
from handlers.sync.errors import MailboxGone, OutcomeUnknown, Permanent, RecordGone, SyncError
from handlers.sync.mapping import EVENT_ID
from handlers.sync.mapping import Mapping as SyncMapping
from handlers.sync.slots import Free
from handlers.sync.template import Template

_CLOCK_SECONDS = 60.0
_OLD = timedelta(hours=1)
_LINKS_LOOKED_AT = 500


def quick(factory: Factory) -> list[Check]:
    """What can be told from settings, mappings and storage, in a moment and without any other service."""
    try:
        storage = factory.storage()
    except NotReady as error:
        return [_not_ready(error)]
    checks = [_storage(storage)]
    services: Services | None = None
    try:
        services = factory.services()
        checks += [Check("Settings", "ok", "complete"), _mappings(services)]
    except NotReady as error:
        checks.append(_not_ready(error))
    if services:
        checks += [*relays(services), *_modes(services.settings)]
    if checks[0].verdict == "ok":
        checks += list(_in_storage(storage, services))
    return checks


def deep(services: Services, mailbox: str = "") -> Iterator[Check]:
    """What needs the other services: clock, Graph and one mailbox, tokens for receivers, Acumatica within its budget."""
    settings = services.settings
    yield _clock(services)
    yield from _graph(services, mailbox or settings.test_mailbox)
    yield from tokens(services)
    yield from _acumatica(services)
    yield from inquiries(services)


# -- the checks --------------------------------------------------------------------------------------------------------


def _not_ready(error: NotReady) -> Check:
    remedies = {
        "settings": "Correct the app settings; docs/settings.md explains each.",
        "mappings": "Correct the mapping files, and deploy again.",
    }
    return Check(error.part.capitalize(), "fails", "; ".join(error.problems), remedies.get(error.part, ""))


def _storage(storage: Storage) -> Check:
    began = time.monotonic()
    try:
        storage.check()
    except StorageError as error:
        return Check("Storage", "fails", *in_words(error))
    return Check("Storage", "ok", f"tables and queue answer ({(time.monotonic() - began) * 1000:.0f} ms)")


def _mappings(services: Services) -> Check:
    names = ", ".join(f"{mapping.name} (inquiry {mapping.query!r})" for mapping in services.mappings.values())
    if not names:
        return Check("Mappings", "note", "none is active", "Copy one of ready-made/ into mappings/, and deploy again.")
    try:
        services.check_pins(list(services.mappings), pin=False)
    except NotReady as error:
        return _not_ready(error)
    except StorageError:
        return Check("Mappings", "note", f"{names}; storage is needed to compare their key columns")
    return Check("Mappings", "ok", names)


def _modes(settings: Settings) -> Iterator[Check]:
    if settings.sync_paused:
        yield Check("Paused", "note", "SYNC_PAUSED is on: rows wait in the queue", "Remove SYNC_PAUSED to go on.")
    if settings.test_mailbox:
        seen = f"TEST_MAILBOX: all events go to {settings.test_mailbox}"
        yield Check("Trial", "note", seen, "Remove TEST_MAILBOX to switch over.")


def _in_storage(storage: Storage, services: Services | None) -> Iterator[Check]:
    now = datetime.fromtimestamp(storage.now(), UTC)
    count, since = storage.queue.waiting()
    age = now - since if since else timedelta()
    paused = services is not None and services.settings.sync_paused
    seen = f"{count} rows are waiting or under way" + (
        f", one of them for {words.duration(int(age.total_seconds()))}" if since else ""
    )
    stuck = age > _OLD and not paused
    remedy = "See the last errors of the rows on the runs page; look whether the function `apply` runs." if stuck else ""
    yield Check("Queue", "note" if stuck else "ok", seen, remedy)
    letters = storage.dead_letters.count(dead_letters.COUNTED)
    seen = f"{letters} rows need a person" if letters else "none"
    yield Check(
        "Dead letters",
        "note" if letters else "ok",
        seen,
        "Their reasons: page Dead letters, or python -m handlers runs letters." if letters else "",
    )
    if services:
        yield from _sweeps(storage, services)
    taken = sum(not isinstance(slot, Free) for slot, _ in storage.slots.all().values())
    breaker, _ = storage.slots.load_breaker()
    budget = f" of {services.settings.acumatica_max_sessions}" if services else ""
    seen = f"{taken}{budget} in use"
    if not breaker.closed:
        yield Check("Sessions", "fails", f"{seen}; sign-in fails: {breaker.reason}", "Correct it; it is tried again.")
    else:
        yield Check("Sessions", "ok", seen)


def _sweeps(storage: Storage, services: Services) -> Iterator[Check]:
    """What the brake holds, and which mappings are not swept, as the newest sweep of each says."""
    held = sum(hold.count for hold in sweeps.holds(storage))
    remedy = "Release or discard them on the page Sweeps, or with `python -m handlers held`." if held else ""
    yield Check("Held removals", "note" if held else "ok", f"{held} rows" if held else "none", remedy)
    for standing in sweeps.standings(services):
        newest, mode = standing.sweep, standing.mapping.sweep.mode
        what = f"Sweeps of {standing.mapping.name}"
        if mode == "off":
            yield Check(what, "ok", 'off: the mapping says mode = "off"')
        elif newest is None:
            yield Check(what, "ok", f"mode {mode}; none yet: SWEEP_SCHEDULE says when, or `python -m handlers sweep`")
        elif newest.code:
            yield Check(what, "note", f"off: {newest.reason}", newest.remedy)
        else:
            yield Check(what, "ok", f"mode {mode}; {newest.plan.read} rows read, {newest.plan.equal} equal")


def _clock(services: Services) -> Check:
    try:
        theirs = services.graph.time()
    except SyncError as error:
        seen = f"Graph's address gave no time: {error}"
        return Check("Clock", "note", seen, "Check GRAPH_URL, and that this machine may reach it.")
    off = abs((datetime.now(UTC) - theirs.astimezone(UTC)).total_seconds())
    if off > _CLOCK_SECONDS:
        return Check("Clock", "fails", f"{off:.0f} s off", "Set this machine's clock: claims and tokens depend on it.")
    return Check("Clock", "ok", f"less than {max(off, 1):.0f} s off")


def _graph(services: Services, mailbox: str) -> Iterator[Check]:
    identity = "Check GRAPH_CLIENT_ID (and the secret and tenant, where one is used), or the app's managed identity."
    try:
        services.graph.check_token()
    except SyncError as error:
        yield Check("Graph token", "fails", str(error), identity)
        return
    yield Check("Graph token", "ok", "issued")
    if not mailbox:
        yield Check(
            "Mailbox", "note", "not looked at", "Name one: in the field on page Health, or with --mailbox ann@example.com"
        )
        return
    try:
        services.graph.find(mailbox, "doctor")
    except MailboxGone as error:
        yield Check("Mailbox", "fails", error.reason, "Check the address, and the licence of its owner.")
    except SyncError as error:
        remedy = "Give the identity Application Calendars.ReadWrite for it (RBAC for Applications); that takes up to 2 h."
        yield Check("Mailbox", "fails", str(error), remedy)
    else:
        yield Check("Mailbox", "ok", f"{mailbox} can be read")


def _acumatica(services: Services) -> Iterator[Check]:
    """Sign in within the budget, look at what is written back to, and leave the session to its own sign-out."""
    deadline = services.clock() + services.settings.claim_seconds
    signed_in = False
    for mapping in services.mappings.values():
        if not (back := mapping.write_back):
            continue
        try:
            schema = services.sessions.schema(back.endpoint, back.entity, deadline)
        except (Permanent, RecordGone) as error:
            remedy = error.remedy if isinstance(error, Permanent) else "Check endpoint and entity of write_back."
            yield Check(f"Write-back of {mapping.name}", "fails", str(error), remedy)
            continue
        except (SyncError, OutcomeUnknown) as error:
            remedy = "Check the ACUMATICA_* settings, the Connected Application (SM303010) and the user (SM201010)."
            yield Check("Acumatica", "fails", str(error), remedy)
            return
        if not signed_in:
            yield Check("Acumatica", "ok", "signed in; the session is signed out when it has been idle")
            signed_in = True
        yield from _fields(mapping, schema, services, deadline)
    if not signed_in:
        yield Check("Acumatica", "note", "not looked at: no mapping writes anything back")


def _fields(mapping: SyncMapping, schema: dict[str, Any], services: Services, deadline: float) -> Iterator[Check]:
    back = mapping.write_back
    for name in back.fields if back else ():
        what = f"Field {name}"
        if name.startswith("custom."):
            _, view, field = name.split(".")
            there = field in (schema.get("custom") or {}).get(view, {})
        else:  # of "Attributes.<ID>", the schema tells the list alone
            there = name.partition(".")[0] in schema
        if not there:
            views = ", ".join(sorted(schema.get("custom") or {})) or "none"
            remedy = f"Add the field to the entity's form, or correct write_back.fields. Views with custom fields: {views}."
            yield Check(what, "fails", f"{back.entity if back else ''} has no such field", remedy)
            continue
        yield _long_enough(what, name, mapping, services, deadline)


def _long_enough(what: str, name: str, mapping: SyncMapping, services: Services, deadline: float) -> Check:
    """$adHocSchema tells no lengths, so a record that was written to is read: and the id in it compared."""
    back = mapping.write_back
    template = back.fields[name].value if back else None
    if not isinstance(template, Template) or template.columns != (EVENT_ID,) or name.startswith("Attributes."):
        return Check(what, "ok", "is there")
    links = islice(services.storage.links.all(), _LINKS_LOOKED_AT)
    link = next((x for x in links if x.mapping == mapping.name and x.written_back and x.written_to and x.present), None)
    if not (back and link and link.written_to and link.written_back):
        return Check(what, "note", "is there; no id was written yet", "Make sure that it holds 255 characters or more.")
    custom = name.removeprefix("custom.") if name.startswith("custom.") else ""
    try:
        record = services.sessions.record(back.endpoint, back.entity, link.written_to, custom, deadline)
    except SyncError as error:
        return Check(what, "note", f"is there; a record could not be read: {error}")
    node: Any = record.get("custom", {}) if custom else record
    for part in custom.split(".") if custom else [name]:
        node = (node or {}).get(part)
    value = str((node or {}).get("value") or "")
    whole = template.render({EVENT_ID: link.written_back})
    if value and value != whole and whole.startswith(value):
        seen = f"is too short: {len(value)} of {len(whole)} characters of an id are in it"
        return Check(what, "fails", seen, "Make the field at least 255 characters long, and save the records again.")
    return Check(what, "ok", f"holds ids of {len(whole)} characters" if value == whole else "is there")
