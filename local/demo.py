"""`make demo`: the whole job on this machine, as a story; ends with the judge's verdict.

`make demo KEEP=1` leaves all of it running afterwards, with a meeting that is missing: find out why on the runs page.

The app runs as in Azure (on Microsoft's worker library), with Azurite as storage. Outlook, Acumatica and a hook are fakes.
"""

import argparse
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

from handlers.sync.change import datetime_to_ticks
from handlers.terminal import sweep_lines
from local.azurite import Azurite, AzuriteError
from local.host.process import HostError
from local.inquiry import Notification
from local.world import ROOT, World

SETTINGS = {
    "DELETE_GRACE_SECONDS": "1",  # 30 in production: how long a removal waits for the other half of an update
    "ACUMATICA_LINGER_SECONDS": "1",  # 20 in production: how long an idle session is kept
    "CLAIM_SECONDS": "8",  # 360 in production: how long a row waits after a request without an answer
    "REQUEST_TIMEOUT_SECONDS": "2",
    "SWEEP_MARGIN_MINUTES": "1",  # 15 in production: a sweep believes nothing that is younger
    "MAPPINGS_DIR": str(ROOT / "local" / "shown"),
}
AGE = timedelta(hours=1)  # of what Acumatica sends here, so that no sweep has to wait for it
COLOURS = {"bold": "1", "dim": "2", "green": "32", "red": "31", "cyan": "36", "yellow": "33"}


def paint(text: str, colour: str) -> str:
    """Colour for a terminal, unless NO_COLOR is set (https://no-color.org)."""
    plain = not sys.stdout.isatty() or "NO_COLOR" in os.environ
    return text if plain else f"\x1b[{COLOURS[colour]}m{text}\x1b[0m"


class Story:
    """Tells what comes in and what it leads to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._chapter = 0
        self.differences: list[str] = []

    def chapter(self, title: str, why: str, *incoming: Notification, at_once: bool = True) -> None:
        """Send notifications (at once, or each after the one before is done), wait, and show what changed."""
        with self._told(title, why):
            for notification in incoming:
                print(f"   {paint('→', 'cyan')} {self._describe(notification)}", end="", flush=True)
                answer = self.world.post(notification)
                print(f"  {paint(f'{answer.status_code} {answer.json()["status"]}', 'green' if answer.ok else 'red')}")
                if not at_once:
                    self.world.settle()

    def swept(self, title: str, why: str, what: str) -> None:
        """`what` was changed without a notification: let the night come, and show what the sweep finds and mends."""
        with self._told(title, why):
            print(f"   {paint('✗', 'yellow')} {what}: no notification")
            self._night()

    def braked(self, title: str, why: str) -> None:
        """The inquiry shows nothing in a night; the next morning somebody mends it, and keeps the events."""
        rows, events = dict(self.world.inquiry.rows), self._events()
        with self._told(title, why):
            self.world.inquiry.rows.clear()
            self._night()
            held = self._command("held")
            self.world.inquiry.rows.update(rows)
            if found := re.search(r"id (\S+)", held):
                self._command("held", "--discard", found[1][:10], "--why", "the inquiry is mended")
            left = self._command("held")
            print(f"     {len(events - self._events())} of {len(events)} events removed")
        if not found or "Nothing is held" not in left or events != self._events():
            self.differences.append("the removals of an emptied inquiry were not held and discarded")

    def moved(self, title: str, why: str, key: str, start: str, end: str) -> None:
        """A person drags the event of a row to other times; the night after, its record is told."""
        row, zone = self.world.inquiry.rows[key], {"timeZone": "Eastern Standard Time"}
        with self._told(title, why):
            print(
                f"   {paint('✗', 'yellow')} {row['OwnerEmail']} drags {row['Subject']!r} to {start.replace('T', ' ')[:16]}"
            )
            times = ({"dateTime": start} | zone, {"dateTime": end} | zone)
            self.world.graph.user_reschedules(row["OwnerEmail"], self._field(row["NoteID"], "AttributeCALEVT"), *times)
            print(f"   {paint('→', 'cyan')} night: the calendars are looked at, too")
            self.world.night()
            told = self.world.wait(lambda: self._field(row["NoteID"], "UsrOutlookStart") == start, 60)
            for name in ("UsrOutlookStatus", "UsrOutlookStart"):
                print(f"     record {key}: {name} = {self._field(row['NoteID'], name)}")
        if not told or self._field(row["NoteID"], "UsrOutlookStatus") != "moved":
            self.differences.append(f"record {key} does not say that its event was moved")

    def tells(self, key: str, name: str, value: str) -> None:
        """What a field of a record says in the end."""
        note_id = self.world.inquiry.rows[key]["NoteID"]
        if not self.world.wait(lambda: self._field(note_id, name) == value, 30):
            self.differences.append(f"{name} of record {key} is not {value!r}")
        print(f"   record {key}: {name} = {self._field(note_id, name)}")

    def hooked(self, title: str, why: str, *incoming: Notification) -> None:
        """A chapter after which it is shown what the hook knows."""
        self.chapter(title, why, *incoming)
        print(f"     {self._at_the_hook()}")

    def hook_away(self, title: str, why: str, *incoming: Notification) -> None:
        """The hook is down while notifications come; the calendars have what they say before it is back."""
        receivers, newest = self.world.receivers, incoming[-1]["Inserted"][0]
        with self._told(title, why):
            receivers.down = True
            print(f"   {paint('✗', 'yellow')} the hook refuses every connection")
            for notification in incoming:
                print(f"   {paint('→', 'cyan')} {self._describe(notification)}")
                self.world.post(notification)
            if not self.world.wait(lambda: self._has(newest["OwnerEmail"], newest["Subject"]), 30):
                self.differences.append("the outage of the hook has held up a calendar")
            print(f"     {newest['OwnerEmail']:<18} already shows {newest['Subject']!r}")
            print(f"     {self._at_the_hook()}\n   {paint('→', 'cyan')} the hook is back")
            receivers.down = False
        print(f"     {self._at_the_hook()}")

    def _at_the_hook(self) -> str:
        """What the hook was told last; it takes in only what the standardwebhooks library has verified."""
        hook = self.world.receivers.signed
        told = f"{hook.last['type']} {hook.last['data']['after']['subject']!r}"
        return f"{'hook':<18} {told:<51} {paint(f'message {len(hook.seen)}, signature verified', 'green')}"

    def _has(self, mailbox: str, subject: str) -> bool:
        return any(event["subject"] == subject for event in self.world.graph.events(mailbox))

    def _night(self) -> None:
        print(f"   {paint('→', 'cyan')} night: the whole inquiry is read by OData")
        sweep = self.world.night()
        for line in sweep_lines(sweep) if sweep else ["not over after 60 s"]:
            print(f"     {line}")

    def _command(self, *arguments: str) -> str:
        """Run a command of the app as people do, and show it with what it prints."""
        shown = " ".join(f'"{argument}"' if " " in argument else argument for argument in arguments)
        print(f"   {paint('$', 'cyan')} python -m handlers {shown}", flush=True)
        command, env = [sys.executable, "-m", "handlers", *arguments], os.environ | self.world.settings
        done = subprocess.run(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        for line in done.stdout.splitlines():
            print(f"     {line}")
        return done.stdout

    @contextmanager
    def _told(self, title: str, why: str) -> Iterator[None]:
        self._chapter += 1
        print(f"\n{paint(f'{self._chapter}. {title}', 'bold')}\n   {paint(why, 'dim')}")
        before = self._counts()
        yield
        if not self.world.rest():
            print(paint("   not settled after 60 s", "red"))
        self._show_calendars()
        used = " · ".join(f"{what} {count - before[what]}" for what, count in self._counts().items())
        print(f"   {paint(used, 'dim')}")

    def _counts(self) -> dict[str, int]:
        graph, acumatica = self.world.graph.calls, self.world.acumatica
        return {
            "Graph calls": sum("/v1.0/" in call.path for call in graph),
            "write-backs": sum(call.method == "PUT" for call in acumatica.calls),
            "sign-ins": acumatica.sign_ins,
            "sign-outs": acumatica.sign_outs,
            "own writes that came back": self.world.echoes,
        }

    def _describe(self, notification: Notification) -> str:
        inserted = {row["OpportunityID"]: row for row in notification["Inserted"]}
        deleted = {row["OpportunityID"] for row in notification["Deleted"]}
        parts = [f"{key}: {'update' if key in deleted else 'new'} {row['Subject']!r}" for key, row in inserted.items()]
        parts += [f"{key}: left the inquiry" for key in deleted if key not in inserted]
        return "; ".join(parts)

    def _show_calendars(self) -> None:
        written = {key: self._field(row["NoteID"], "AttributeCALEVT") for key, row in self.world.inquiry.rows.items()}
        for mailbox in sorted(self.world.graph.mailboxes()):
            for event in sorted(self.world.graph.events(mailbox), key=lambda event: event["start"]["dateTime"]):
                start = event["start"]["dateTime"][:16].replace("T", " ")
                record = next((key for key, event_id in written.items() if event_id == event["id"]), None)
                note = paint(f"id written to {record}", "green") if record else paint("id not written back", "yellow")
                print(f"     {mailbox:<18} {start}  {event['subject']:<34.34} {note}")
        if not self._events():
            print("     (all calendars are empty)")

    def _events(self) -> set[str]:
        graph = self.world.graph
        return {event["id"] for mailbox in graph.mailboxes() for event in graph.events(mailbox)}

    def _field(self, note_id: str, name: str) -> str:
        record = self.world.acumatica.record("Opportunity", note_id) or {}
        return str(record.get("custom", {}).get("Opportunity", {}).get(name, {}).get("value") or "")


def tell(world: World) -> list[str]:
    """The story; returns what the judge finds."""
    story, inquiry = Story(world), world.inquiry
    for field in ("UsrOutlookStatus", "UsrOutlookStart"):
        world.acumatica.declare("Opportunity", "Opportunity", field)
    day = date.today() + timedelta(days=14 - date.today().weekday())  # noqa: DTZ011  (a Monday to come, in any zone)
    monday = {"MeetingStart": f"{day}T09:00:00", "MeetingEnd": f"{day}T10:00:00"}
    later = {"MeetingStart": f"{day}T15:00:00", "MeetingEnd": f"{day}T16:00:00"}
    day += timedelta(days=1)
    tuesday = {"MeetingStart": f"{day}T14:00:00", "MeetingEnd": f"{day}T15:30:00"}
    story.chapter(
        "Two opportunities get a meeting",
        "Each becomes an event in its owner's calendar; both ids go back in one session.",
        inquiry.save("OP000101", Subject="Demo at Contoso", **monday),
        inquiry.save("OP000102", Subject="Site visit, Fabrikam", OwnerEmail="bob@example.com", **tuesday),
    )
    change = inquiry.save("OP000101", Subject="Demo at Contoso (room 4)", **tuesday)
    story.chapter("The meeting is moved to Tuesday", "The event is changed, not made again.", change)
    story.chapter("Acumatica sends the same again", "It promises at-least-once delivery only.", change)
    story.chapter(
        "The opportunity gets a new owner",
        "The event moves: made in the new calendar first, then removed from the old one.",
        inquiry.save("OP000102", OwnerEmail="cleo@example.com"),
    )
    late = inquiry.save("OP000101", Subject="Demo at Contoso, first draft")
    newest = inquiry.save("OP000101", Subject="Demo at Contoso, final")
    story.chapter("Two changes arrive in the wrong order", "The newest TimeStamp wins.", newest, late, at_once=False)
    whole = inquiry.save("OP000102", Subject="Site visit, Fabrikam, plant 2")
    story.chapter(
        "One update arrives in two requests, the removal first",
        "A removal waits a moment for its other half.",
        {**whole, "Inserted": []},
        {**whole, "Deleted": []},
    )
    story.chapter("The meeting is called off", "The row leaves the inquiry, the event goes.", inquiry.remove("OP000101"))
    story.chapter(
        "It is on again",
        "A row that comes back gets a new event; the id in the record follows.",
        inquiry.save("OP000101", Subject="Demo at Contoso, second try", **monday),
    )
    tour = {"OwnerEmail": "bob@example.com", "Room": "Showroom", **monday}
    story.hooked(
        "A meeting in the showroom, whose keepers want to know",
        "One more mapping with a [relay]: the row goes to its calendar, and as a signed message to a hook.",
        inquiry.save("OP000104", Subject="Tour for Litware", **tour),
    )
    story.hook_away(
        "Their hook is away for a while",
        "No calendar waits for it. When it is back, it is told the newest state, and once.",
        inquiry.save("OP000104", Subject="Tour for Litware (5 guests)"),
        inquiry.save("OP000104", Subject="Tour for Litware (9 guests)"),
    )
    inquiry.save("OP000103", Subject="Kick-off, Adventure Works", OwnerEmail="bob@example.com", **monday)
    story.swept(
        "An opportunity is older than the app",
        "Nothing was ever sent of it. A sweep, each night, reads the whole inquiry: the event is made.",
        "OP000103: 'Kick-off, Adventure Works'",
    )
    inquiry.save("OP000102", Subject="Site visit, Fabrikam, plant 3")
    story.swept(
        "A notification is lost",
        "Acumatica gives up after five tries. The next sweep sees that the row differs.",
        "OP000102: update 'Site visit, Fabrikam, plant 3'",
    )
    story.braked(
        "Somebody empties the inquiry by mistake",
        "That looks as if every meeting were called off. The brake holds it, and a person decides.",
    )
    story.moved(
        "The owner moves the event in Outlook",
        'The mapping says moved = "report": the event stays where it is, and the record is told.',
        "OP000101",
        later["MeetingStart"],
        later["MeetingEnd"],
    )
    accepted = inquiry.save("OP000101", **later) | {"TimeStamp": datetime_to_ticks(datetime.now(UTC))}  # newer than sweeps
    story.chapter("Somebody accepts it in Acumatica", "Both agree again, and the record is told so.", accepted)
    story.tells("OP000101", "UsrOutlookStatus", "unchanged")
    print(f"\n{paint('Verdict', 'bold')}")
    return story.differences + world.differences()


def keep(world: World, key: str) -> None:
    """A meeting that is missing, and all that is needed to find out why; until Ctrl-C."""
    missing = "nora@example.com"
    world.graph.remove_mailbox(missing)
    day = date.today() + timedelta(days=10)  # noqa: DTZ011  (to come, in any zone)
    dates = {"MeetingStart": f"{day}T11:00:00", "MeetingEnd": f"{day}T12:00:00"}
    world.post(world.inquiry.save("OP000107", Subject="Contract review, Northwind", OwnerEmail=missing, **dates))
    world.post({**world.inquiry.notification([], []), "Query": "Calendar - Renamed Inquiry"})
    world.rest()
    print(f"\n{paint('Now it is your turn', 'bold')}: Nora's meeting (opportunity OP000107) is not in her calendar. Why?")
    print(f"   Runs page     {paint(f'{world.host.url}/api/runs', 'cyan')}\n   Key           {paint(key, 'yellow')}")
    print("   When you know, give her a mailbox, and resubmit. Then look into her calendar:")
    print(f"     curl {world.graph.url}/_fake/mailboxes -d mailbox={missing}")
    print(f"     curl {world.graph.url}/_fake/state | python3 -m json.tool | grep subject")
    print("   Ctrl-C stops.", flush=True)
    threading.Event().wait()


def main() -> int:
    """Run the demo; the exit status is 0 only if the judge finds nothing."""
    made = argparse.ArgumentParser(prog="python -m local.demo", description=(__doc__ or "").partition("\n")[0])
    made.add_argument("--keep", action="store_true", help="leave all of it running, with a meeting that is missing")
    options = made.parse_args()
    began = time.monotonic()
    key = os.environ.get("RUNS_KEY") or secrets.token_hex(16)
    differences: list[str] | None = None
    try:
        with _step("Starting storage (Azurite)", Azurite) as azurite:
            world = World(azurite.connection_string(), SETTINGS | {"RUNS_KEY": key}, echo=True, age=AGE)
            with _step("Starting the app, and fakes of Outlook, Acumatica and a hook", lambda: world):
                differences = tell(world)
                verdict(world, differences, time.monotonic() - began)
                if options.keep:
                    keep(world, key)
    except (AzuriteError, HostError) as error:
        print(paint(str(error), "red"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
        if differences is None:
            return 130
    return 1 if differences else 0


def verdict(world: World, differences: list[str], seconds: float) -> None:
    """What the judge says."""
    for difference in differences:
        print(paint(f"   ✗ {difference}", "red"))
    if not differences:
        sessions = f"{world.acumatica.sign_ins} sign-ins, {world.acumatica.sign_outs} sign-outs, none left open"
        print(paint(f"   ✓ Every calendar, record and hook agrees with Acumatica; {sessions}.", "green"))
    more = "To look at it afterwards: make demo KEEP=1. To play with it yourself: make fakes, and make run."
    print(paint(f"   {seconds:.0f} s in all. {more}", "dim"))


def _step[T](what: str, make: Callable[[], T]) -> T:
    print(paint(f"{what} …", "dim"), flush=True)
    return make()


if __name__ == "__main__":
    sys.exit(main())
