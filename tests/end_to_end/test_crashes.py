"""The host is killed hard again and again while work comes in; the successor goes on."""

import random
import threading

import pytest
import requests

from local.azurite import Azurite
from local.judge import look
from tests.end_to_end.conftest import new_world

KILLS = 20
SEED = 20_261_124


@pytest.mark.slow
def test_twenty_kills_leave_no_trace(azurite: Azurite) -> None:
    """Rows are made, changed, moved and removed all the time; the host dies at seeded moments, also during requests."""
    rng = random.Random(SEED)
    acumatica = {"session_timeout": 4.0, "session_limit": 1, "latency": 0.03}
    # In production nobody is killed five times over one message; here the poison queue would take it for a bug.
    patience = {"AzureFunctionsJobHost__extensions__queues__maxDequeueCount": "100"}
    settings = {"ACUMATICA_LINGER_SECONDS": "0.2", "ACUMATICA_AUTH": "cookie", **patience}
    with new_world(azurite.new_account(), settings, echo=True, graph={"latency": 0.02}, acumatica=acumatica) as world:
        stop = threading.Event()

        def load() -> None:
            draw = random.Random(SEED + 1)
            while not stop.wait(draw.uniform(0.02, 0.2)):
                key, owner = f"K{draw.randrange(12)}", f"user{draw.randrange(4)}@example.com"
                with world.lock:
                    gone = key in world.inquiry.rows and draw.random() < 0.2
                    subject = f"subject {draw.randrange(100)}"
                    change = (
                        world.inquiry.remove(key) if gone else world.inquiry.save(key, OwnerEmail=owner, Subject=subject)
                    )
                world.deliver(change, timeout=300)
                if draw.random() < 0.2:
                    world.deliver(change, timeout=300)

        feeder = threading.Thread(target=load)
        feeder.start()
        try:
            for _ in range(KILLS):
                stop.wait(rng.uniform(0.05, 1.0))
                world.restart_host(kill=True)
                # The first request builds the clients: without it, a slow machine would only ever kill idle hosts.
                requests.get(f"{world.host.url}/api/health", timeout=60)
        finally:
            stop.set()
            feeder.join()
        world.rest(120)
        world.sweep()
        assert world.differences() == []


def test_a_host_that_is_stopped_signs_out_and_its_successor_goes_on(azurite: Azurite) -> None:
    with new_world(azurite.new_account(), {"ACUMATICA_LINGER_SECONDS": "60"}) as world:
        world.post(world.inquiry.save("STOP1"))
        world.settle()
        assert len(world.acumatica.sessions) == 1
        world.restart_host(kill=False)
        assert len(world.acumatica.sessions) == 0
        world.post(world.inquiry.save("STOP1", Subject="changed"))
        assert world.differences() == []


def test_the_session_of_a_killed_host_is_taken_over(azurite: Azurite) -> None:
    """Nobody signs in anew while a session is there to be adopted."""
    with new_world(azurite.new_account(), {"ACUMATICA_LINGER_SECONDS": "60"}) as world:
        world.post(world.inquiry.save("KILL1"))
        world.settle()
        world.restart_host(kill=True)
        world.post(world.inquiry.save("KILL2"))
        world.settle()
        world.restart_host(kill=False)
        assert world.differences() == []
        assert (world.acumatica.sign_ins, world.acumatica.sign_outs) == (1, 1)


def test_the_upkeep_timer_signs_out_what_a_killed_host_left(azurite: Azurite) -> None:
    with new_world(azurite.new_account(), {"ACUMATICA_LINGER_SECONDS": "2"}) as world:
        world.post(world.inquiry.save("LEFT1"))
        assert world.wait(lambda: look(world.connection).slots == ["open"], 20)
        world.restart_host(kill=True)
        assert world.sweep()
        assert world.differences() == []
