"""One inquiry, two targets: a calendar, and a receiver that is down for a while."""

import random
import shutil
from pathlib import Path

from local.azurite import Azurite
from local.fakes import FakeReceivers
from local.fakes.receivers import SECRET
from local.judge import look
from local.world import MAPPINGS
from tests.end_to_end.conftest import new_world

RELAY = """
query = "Calendar - Opportunity Meetings"
key = ["OpportunityID"]
time_zone = "UTC"
[relay]
url = "RELAY_CRM"
[relay.fields]
subject = "{Subject}"
"""


def test_a_receiver_that_is_down_delays_no_calendar_and_ends_with_the_newest_state(azurite: Azurite, tmp_path: Path) -> None:
    shutil.copy(MAPPINGS / "opportunity-meetings.toml", tmp_path)
    (tmp_path / "relay.toml").write_text(RELAY)
    with FakeReceivers() as fakes:
        settings = {"MAPPINGS_DIR": str(tmp_path), "RELAY_CRM": f"{fakes.url}/signed", "RELAY_CRM_SECRET": SECRET}
        with new_world(azurite.new_account(), settings) as world:

            def subjects() -> list[str]:
                return sorted(event["subject"] for event in world.graph.events("ann@example.com"))

            world.deliver(world.inquiry.save("OP1"))
            assert world.wait(lambda: ("OP1",) in fakes.signed.present, 30)
            fakes.down = True
            sent = [world.inquiry.save("OP1", Subject=f"state {n}") for n in range(4)]
            sent += [world.inquiry.save("OP2", Subject="new"), world.inquiry.save("OP3"), world.inquiry.remove("OP3")]
            sent += sent[:3]
            random.Random(1).shuffle(sent)
            for notification in sent:
                world.deliver(notification)
            assert world.wait(lambda: subjects() == ["new", "state 3"], 30)
            assert fakes.signed.present == {("OP1",): {"subject": "Visit for OP1"}}
            fakes.down = False
            newest = {("OP1",): {"subject": "state 3"}, ("OP2",): {"subject": "new"}}
            assert world.wait(lambda: fakes.signed.present == newest, 60)
            assert world.settle()
            assert (fakes.signed.present, look(world.connection).dead_letters) == (newest, {})
