"""What sweeps remember, in memory and on simulated time, like memory.py: how far they are, and what the brake holds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from handlers.clients import sweeps as real
from handlers.clients.held import Hold, HoldState
from handlers.clients.sweeps import Order, Sweep, prefix
from handlers.sync.change import canonical

if TYPE_CHECKING:
    from tests.laws.simulation import Simulation

type Keys = list[tuple[str, ...]]


class Sweeps:
    """handlers.clients.sweeps.Sweeps in memory."""

    read = staticmethod(real.Sweeps.read)

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._known: dict[str, Sweep] = {}
        self._pages: dict[tuple[str, int], bytes] = {}

    def newest(self) -> Sweep | None:
        """The one mapping's, for the witness."""
        return self._known.get("m")

    def get(self, mapping: str) -> Sweep | None:
        return self._step("sweep", "loads the sweep", lambda: self._known.get(mapping))

    def save(self, sweep: Sweep) -> Sweep | None:
        def save() -> Sweep | None:
            known = self._known.get(sweep.mapping)
            if (known.etag if known else "") != sweep.etag:
                return None
            self._known[sweep.mapping] = replace(sweep, etag=str(self._sim.next()))
            return self._known[sweep.mapping]

        return self._step("keep", f"keeps how far it has come: {sweep.phase}, {sweep.plan.read} rows", save)

    def saw(self, sweep: Sweep, link_keys: Iterable[str]) -> None:
        seen = b"".join(map(prefix, link_keys))
        self._step("keep", "keeps what it has seen", lambda: self._pages.update({(sweep.id, sweep.cursor): seen}))

    def seen(self, sweep: Sweep) -> set[bytes]:
        size = real.PREFIX
        pages = [page for (key, cursor), page in self._pages.items() if key == sweep.id and cursor < sweep.cursor]
        return {page[at : at + size] for page in pages for at in range(0, len(page), size)}

    def forget_pages(self, sweep: Sweep) -> None:
        def forget() -> None:
            self._pages = {at: page for at, page in self._pages.items() if at[0] != sweep.id}

        self._step("keep", "forgets what it has seen", forget)

    def send(self, order: Order, delay: float = 0.0) -> None:
        text = canonical({"v": real.MESSAGE_VERSION, "mapping": order.mapping, "sweep": order.sweep, "hold": order.hold})
        self.put_back(text, delay)

    def put_back(self, text: str, delay: float) -> None:
        words = f"sends an order{f', to be seen in {delay:.0f} s' if delay else ''}"
        self._step("order", words, lambda: self._sim.order(text, delay))

    def _step[T](self, call: str, words: str, effect: Callable[[], T]) -> T:
        return self._sim.scheduler.step(call, words, effect, show=lambda _: "")


class Held:
    """handlers.clients.held.Held in memory."""

    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        self._known: dict[str, tuple[Hold, Keys]] = {}

    def open(self, limit: int) -> list[Hold]:  # noqa: ARG002
        return [hold for hold, _ in self._known.values() if hold.open]

    def of_mapping(self, mapping: str) -> list[Hold]:
        return [hold for hold in self.open(1000) if hold.mapping == mapping and hold.state == "held"]

    def get(self, key: str) -> Hold | None:
        return self._known[key][0] if key in self._known else None

    def keys(self, hold: Hold) -> Keys | None:
        return self._known[hold.id][1]

    def hold(self, hold: Hold, keys: Sequence[tuple[str, ...]]) -> bool:
        def put() -> bool:
            known = self.get(hold.id)
            if known and known.state == "releasing":
                return False
            new = replace(hold, count=len(keys), etag=str(self._sim.next()))
            self._known[hold.id] = new, list(keys)
            return True

        return self._step("hold", f"holds {len(keys)} removals", put)

    def decide(self, hold: Hold, state: HoldState, at: datetime, by: str, why: str = "") -> Hold | None:
        return self._save(replace(hold, state=state, decided=at, by=by, why=why))

    def releasing(self, hold: Hold, at: datetime, by: str, run: str) -> Hold | None:
        return self._save(replace(hold, state="releasing", decided=at, by=by, run=run, done=0))

    def progress(self, hold: Hold, done: int, sent: int) -> Hold | None:
        return self._save(replace(hold, done=done, sent=sent))

    def _save(self, hold: Hold) -> Hold | None:
        def save() -> Hold | None:
            known, keys = self._known[hold.id]
            if known.etag != hold.etag:
                return None
            self._known[hold.id] = replace(hold, etag=str(self._sim.next())), keys
            return self._known[hold.id][0]

        return self._step("hold", f"the hold is {hold.state}", save)

    def _step[T](self, call: str, words: str, effect: Callable[[], T]) -> T:
        return self._sim.scheduler.step(call, words, effect, show=lambda _: "")
