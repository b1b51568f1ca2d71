"""The emulator that tests and the local host start."""

import json

import pytest
from azure.core.exceptions import ResourceExistsError
from azure.data.tables import TableServiceClient

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
