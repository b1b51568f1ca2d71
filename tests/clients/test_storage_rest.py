"""Storage without the SDK, held against the SDK: what one writes, the other reads; by key, by signature, by identity."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jwt
import pytest
import trustme
import urllib3
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.data.tables import AccountSasPermissions, ResourceTypes, TableServiceClient, generate_account_sas
from azure.storage.queue import QueueClient, TextBase64DecodePolicy

from handlers.clients.storage_rest import Account, Queue, Table
from handlers.settings import StorageSettings
from local.azurite import Azurite

KEYS = {"PartitionKey": "it's", "RowKey": "a b%20+&=é😀"}
ENTITY = KEYS | {
    "Text": "Ä😀 'x' \"y\"\n",
    "Empty": "",
    "Yes": True,
    "Number": -5,
    "Large": 2**40,
    "Fraction": 0.5,
    "Moment": datetime(2026, 12, 1, 9, 30, 15, 123456, UTC),
}


def account(connection_string: str, credential: Callable[[], Any] = lambda: None) -> Account:
    return Account(StorageSettings(AzureWebJobsStorage=connection_string), credential)


@pytest.fixture
def table(storage: str) -> Iterator[Table]:
    with closing(account(storage)) as opened:
        made = Table(opened, "Things")
        made.create()
        made.create()
        yield made


@pytest.fixture
def sdk(storage: str) -> Iterator[Any]:
    with TableServiceClient.from_connection_string(storage) as service:
        yield service.get_table_client("Things")


def test_what_it_writes_the_sdk_reads_and_the_other_way_round(table: Table, sdk: Any) -> None:
    """All types, and keys with everything that keys may hold."""
    etag = table.insert(ENTITY)
    read = sdk.get_entity(KEYS["PartitionKey"], KEYS["RowKey"])
    assert {**read, "Large": read["Large"].value} == ENTITY
    assert table.get(KEYS["PartitionKey"], KEYS["RowKey"]) == {**ENTITY, "ETag": etag}
    sdk.upsert_entity({**read, "RowKey": "of the SDK"})
    known = table.get(KEYS["PartitionKey"], "of the SDK")
    assert {name: known[name] for name in ENTITY} == {**ENTITY, "RowKey": "of the SDK"}


def test_every_condition_is_told_from_the_others(table: Table) -> None:
    """There already, changed meanwhile, not there."""
    etag = table.insert(ENTITY)
    with pytest.raises(ResourceExistsError):
        table.insert(ENTITY)
    newer = table.replace(KEYS | {"Text": "2"}, etag)
    with pytest.raises(ResourceModifiedError) as caught:
        table.replace(ENTITY, etag)
    assert caught.value.status_code == 412
    assert "Ä" not in str(caught.value), "an error never holds what is in an entity"
    table.merge(KEYS | {"More": 1})
    assert {"Text": "2", "More": 1}.items() <= table.get(*KEYS.values()).items()
    table.put(KEYS | {"Text": "3"})
    read = table.get(*KEYS.values())
    assert "More" not in read
    assert read["ETag"] != newer
    table.delete(*KEYS.values())
    table.delete(*KEYS.values())
    with pytest.raises(ResourceNotFoundError):
        table.get(*KEYS.values())
    with pytest.raises(ResourceNotFoundError):
        table.replace(ENTITY, etag)


def test_a_query_brings_all_pages(table: Table, sdk: Any) -> None:
    """Storage gives at most 1,000 entities at a time."""
    for start in range(0, 1100, 100):
        sdk.submit_transaction([("create", {"PartitionKey": "p", "RowKey": f"{n:05}"}) for n in range(start, start + 100)])
    table.insert({"PartitionKey": "q", "RowKey": "0"})
    found = list(table.query("PartitionKey eq 'p'"))
    assert [entity["RowKey"] for entity in found] == [f"{n:05}" for n in range(1100)]
    assert found[0]["ETag"] == table.get("p", "00000")["ETag"]


def test_a_type_that_no_entity_holds_is_refused(table: Table) -> None:
    with pytest.raises(TypeError, match="Rows"):
        table.insert(KEYS | {"Rows": [1]})


def test_messages_are_read_by_the_sdk_as_they_were_sent(storage: str) -> None:
    """In base64, as host.json says, and not before their delay is over."""
    with closing(account(storage)) as opened:
        queue = Queue(opened, "work")
        with pytest.raises(ResourceNotFoundError):
            queue.check()
        queue.create()
        queue.create()
        queue.check()
        queue.send_message("Ä😀 <&>\n")
        queue.send_message("later", visibility_timeout=600)
    with QueueClient.from_connection_string(storage, "work", message_decode_policy=TextBase64DecodePolicy()) as sdk:
        assert [message.content for message in sdk.receive_messages()] == ["Ä😀 <&>\n"]
        properties = sdk.get_queue_properties()
    assert properties.approximate_message_count == 2


def test_a_shared_access_signature_is_enough(storage: str) -> None:
    parts = dict(part.split("=", 1) for part in storage.split(";"))
    key = AzureNamedKeyCredential(parts["AccountName"], parts["AccountKey"])
    permission = AccountSasPermissions(read=True, write=True, add=True, create=True, update=True, delete=True)
    kinds = ResourceTypes(service=True, container=True, object=True)
    signature = generate_account_sas(key, kinds, permission, datetime.now(UTC) + timedelta(hours=1))
    text = f"TableEndpoint={parts['TableEndpoint']};SharedAccessSignature={signature}"
    with closing(account(text)) as opened:
        table = Table(opened, "Things")
        table.create()
        table.insert(ENTITY)
        assert [entity["Number"] for entity in table.query("Number lt 0")] == [-5]


def test_an_identity_is_asked_for_a_token_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in Azure: HTTPS and a token for https://storage.azure.com, until five minutes before it ends."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(str(ca))
    issued.cert_chain_pems[0].write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    monkeypatch.setattr("certifi.where", lambda: str(ca))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(ca))
    asked: list[str] = []
    lifetime = 3600

    def get_token(scope: str) -> Any:
        asked.append(scope)
        now = int(time.time())
        claims = {"aud": "https://storage.azure.com", "iss": "https://sts.windows.net/tenant/", "iat": now, "nbf": now}
        token = jwt.encode(claims | {"exp": now + 3600}, "k" * 32, algorithm="HS256")
        return SimpleNamespace(token=token, expires_on=now + lifetime)

    with Azurite(certificate=(certificate, key)) as azurite:
        text = f"TableEndpoint={azurite.endpoint('table')};QueueEndpoint={azurite.endpoint('queue')}"
        with closing(account(text, lambda: SimpleNamespace(get_token=get_token))) as opened:
            table, queue = Table(opened, "Things"), Queue(opened, "work")
            table.create()
            queue.create()
            table.insert(ENTITY)
            queue.send_message("hello")
            assert asked == ["https://storage.azure.com/.default"]
            opened._token, opened._token_until = "withdrawn", time.time() + 1000
            with pytest.raises(HttpResponseError):
                table.get(*KEYS.values())
            table.get(*KEYS.values())
            assert len(asked) == 2, "one that was refused is not used again"
            lifetime = 200
            opened._token_until = 0.0
            table.get(*KEYS.values())
            table.get(*KEYS.values())
            assert len(asked) == 4, "one that ends soon is not kept"


def test_storage_that_is_not_there_is_known_as_never_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tried three times, also what may not be repeated: nothing was sent."""
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    text = "TableEndpoint=http://127.0.0.1:1/a;AccountName=a;AccountKey=a2V5"
    with closing(account(text)) as opened, pytest.raises(ServiceRequestError, match="no connection to table storage"):
        Table(opened, "Things").insert(ENTITY)
    assert len(pauses) == 2


@pytest.fixture
def lost(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The first answer of each kind of request gets lost; the requests that were sent."""
    sent: list[str] = []
    send = urllib3.HTTPConnectionPool.urlopen

    def urlopen(pool: Any, method: str, url: str, **options: Any) -> Any:
        answer = send(pool, method, url, **options)
        sent.append(method)
        if sent.count(method) == 1:
            raise urllib3.exceptions.ProtocolError("Connection aborted.")
        return answer

    monkeypatch.setattr(urllib3.HTTPConnectionPool, "urlopen", urlopen)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return sent


def test_a_lost_answer_is_asked_for_again_where_that_does_no_harm(table: Table, lost: list[str]) -> None:
    """Not after an insert or a merge: their caller knows what a repetition would mean."""
    with pytest.raises(ServiceResponseError):
        table.insert(ENTITY)
    with pytest.raises(ServiceResponseError):
        table.merge(ENTITY)
    assert table.get(*KEYS.values())["Number"] == -5
    table.put(ENTITY)
    table.delete(*KEYS.values())
    assert lost == ["POST", "PATCH", "GET", "GET", "PUT", "PUT", "DELETE", "DELETE"]


def test_a_message_whose_sending_was_not_answered_is_sent_again(storage: str, lost: list[str]) -> None:
    """Two of it do no harm, none would."""
    with closing(account(storage)) as opened:
        queue = Queue(opened, "work")
        queue.create()
        queue.send_message("hello")
    assert lost == ["PUT", "PUT", "POST", "POST"]


@pytest.mark.parametrize("text", ["nonsense", "AccountName=a;AccountKey=no base64!;"])
def test_what_is_no_connection_string_is_a_value_error_without_the_value(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        account(text)
    assert "nonsense" not in str(caught.value)
    assert "no base64" not in str(caught.value)
