"""The event link as it is stored: JSON with a version of its own. What older versions have stored is read, too."""

from typing import Any

from handlers.sync.link import Claim, Column, Delivery, Entry, EventLink, InOutlook, Past, Record, Version

STATE_VERSION = 1


def to_state(link: EventLink) -> dict[str, Any]:
    """As JSON, with a version of its own."""
    claim, entries = link.claim, [vars(entry) for entry in link.entries]
    parts = {"entries": entries, "claim": vars(claim) if claim else None, "delivery": vars(link.delivery)}
    return {"v": STATE_VERSION, **vars(link), **parts}


def from_state(state: dict[str, Any]) -> EventLink:
    """The reverse of `to_state`."""
    if state["v"] != STATE_VERSION:
        raise ValueError(f"an event link of version {state['v']} was stored by a newer version of this app")
    return EventLink(
        company=state["company"],
        mapping=state["mapping"],
        row_key=tuple(state["row_key"]),
        version=Version(*state["version"]) if state["version"] else None,
        columns={name: Column(*column) for name, column in state["columns"].items()},
        entries=tuple(Entry(**entry | {"others": tuple(entry.get("others", ()))}) for entry in state["entries"]),
        generation=state["generation"],
        written_back=state["written_back"],
        written_to=state.get("written_to"),
        first_generation=state.get("first_generation", 0),
        written=state.get("written", state.get("written_to") is not None),
        record_late_until=state.get("record_late_until", 0.0),
        record_late=Record(*state["record_late"]) if state.get("record_late") else None,
        delivery=Delivery(**state.get("delivery", {})),
        in_outlook=InOutlook(*state["in_outlook"]) if state.get("in_outlook") else None,
        outlook_told=InOutlook(*state["outlook_told"]) if state.get("outlook_told") else None,
        claim=Claim(**state["claim"]) if state["claim"] else None,
        last_effect=state["last_effect"],
        last_error=state["last_error"],
        last_code=state.get("last_code", ""),
        repairs=state["repairs"],
        settled=state.get("settled", 0),
        buried=state.get("buried", 0),
        buried_row=state.get("buried_row", False),
        notes=tuple(state.get("notes", ())),
        reported=state.get("reported", ""),
        history=tuple(Past(*past) for past in state.get("history", ())),
    )
