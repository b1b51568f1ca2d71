"""The emulator that tests and the local host start."""

import json
import time
from pathlib import Path

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableServiceClient
from azure.storage.queue import QueueClient

from local.azurite import Azurite, AzuriteError
from local.host.process import ROOT


def test_accounts_are_separate(azurite: Azurite) -> None:
    """What one account holds is not seen in another; all have tables, blobs and queues."""
    one, other = azurite.new_account(), azurite.new_account()
    with TableServiceClient.from_connection_string(one) as tables:
        tables.create_table("mine")
        with pytest.raises(ResourceExistsError):
            tables.create_table("mine")
    with TableServiceClient.from_connection_string(other) as tables:
        assert list(tables.list_tables()) == []
    assert all(f"{service}Endpoint=http://127.0.0.1:" in one for service in ("Blob", "Queue", "Table"))


def test_messages_expire(azurite: Azurite) -> None:
    """Though not every look into a queue searches it for those that have."""
    with QueueClient.from_connection_string(azurite.new_account(), "mine") as queue:
        queue.create_queue()
        queue.send_message("short-lived", time_to_live=1)
        queue.send_message("lasting", time_to_live=-1)
        deadline = time.monotonic() + 10
        while len(seen := queue.peek_messages(5)) > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert [message.content for message in seen] == ["lasting"]
        assert [message.content for message in queue.receive_messages()] == ["lasting"]


def test_another_version_of_azurite(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is patched in it must be there: else it does not start, and its log says why."""
    inside = tmp_path / "src"
    for file, text in {
        "azurite.js": "setInterval(() => {}, 1000)",
        "queue/utils/constants.js": "exports.DEFAULT_GC_INTERVAL_MS = 1",
        "queue/persistence/LokiQueueMetadataStore.js": "exports.default = class {}",
    }.items():
        (inside / file).parent.mkdir(parents=True, exist_ok=True)
        (inside / file).write_text(text, encoding="utf-8")
    monkeypatch.setattr("local.azurite.SCRIPT", inside / "azurite.js")
    with pytest.raises(AzuriteError, match="does not fit this version of Azurite: it has no clearExpiredMessages"):
        Azurite().start()


def test_too_few_accounts() -> None:
    """The message says what to do."""
    with pytest.raises(AzuriteError, match="start it with more"):
        Azurite().new_account()


def test_a_missing_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the command that installs it."""
    monkeypatch.setattr("local.azurite.SCRIPT", ROOT / "no/such/azurite.js")
    with pytest.raises(AzuriteError, match="run `make setup`"):
        Azurite().start()


def test_the_lock_file_names_no_registry() -> None:
    """It pins versions and hashes; where packages come from is for npm's own configuration to say."""
    packages = json.loads((ROOT / "local/azurite/package-lock.json").read_text(encoding="utf-8"))["packages"]
    assert packages["node_modules/azurite"]["version"] == "3.37.0"
    assert all("resolved" not in package and (not path or package["integrity"]) for path, package in packages.items())
