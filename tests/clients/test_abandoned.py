"""What the app does in a session while a request that it gave up on may still run there."""

from dataclasses import replace

from local.fakes import Fault
from tests.bench import Bench


def test_a_session_is_not_used_while_a_request_without_an_answer_may_still_run_in_it(bench: Bench) -> None:
    bench.reconfigure(REQUEST_TIMEOUT_SECONDS="1")
    bench.acumatica.faults.add(Fault("slow_after", "PUT", seconds=30, times=1))
    for number, key in enumerate(("OP1", "OP2")):
        bench.apply(replace(bench.change(number), key=(key,)))
    assert bench.acumatica.overlaps == []
