"""Queue triggers and outputs behave as in Azure."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from local.host.config import QueueOptions
from local.host.queues import message_by_hand, output_messages, trigger_metadata
from local.host.worker import Data
from tests.host.conftest import HOST_JSON, Queue, StartApp, call, until

type Open = Callable[[str], Queue]

# Writes what it sees of a message into the queue `seen`, and fails when the message says so.
SEEN = """
import json

@app.queue_trigger("message", "%WORK_QUEUE%", "AzureWebJobsStorage")
@app.queue_output("seen", "seen", "AzureWebJobsStorage")
def work(message: func.QueueMessage, seen: func.Out[bytes]) -> None:
    text = message.get_body().decode()
    logging.info("try %s of %s", message.dequeue_count, text)
    if "fail" in text:
        raise RuntimeError("failed on purpose")
    facts = {"text": text, "id": message.id, "inserted": str(message.insertion_time)}
    seen.set(json.dumps(facts).encode())
"""


def options(**queues: Any) -> dict[str, Any]:
    """Return a host.json with other options for queues."""
    return {"extensions": {"queues": {"maxPollingInterval": "00:00:00.2", **queues}}}


def test_a_message_runs_its_function_once(start_app: StartApp, queue: Open) -> None:
    """The queue may be created after the start; success deletes the message."""
    host = start_app(SEEN, env={"WORK_QUEUE": "work"})
    work, seen = queue("work"), queue("seen")
    work.create()
    work.send("Grüße")
    facts = json.loads(until(seen.texts)[0])
    assert facts["text"] == "Grüße"
    assert facts["inserted"].startswith("20")
    until(lambda: work.count() == 0)
    assert host.log.count("try 1 of") == 1


def test_a_failing_message_is_poison_after_five_tries(start_app: StartApp, queue: Open) -> None:
    """It moves to the queue -poison with the warning that the host in Azure gives."""
    host = start_app(SEEN, env={"WORK_QUEUE": "work"})
    work, poison = queue("work"), queue("work-poison")
    work.create()
    work.send("fail")
    assert until(poison.texts) == ["fail"]
    until(lambda: work.count() == 0)
    assert host.log.count("RuntimeError: failed on purpose") == 5
    assert host.log.count("Moving message to queue") == 1
    assert "Message has reached MaxDequeueCount of 5. Moving message to queue 'work-poison'." in host.log
    assert "Executed 'Functions.work' (Failed, Id=" in host.log


def test_visibility_timeout_delays_the_next_try(start_app: StartApp, queue: Open) -> None:
    """host.json's visibilityTimeout is the pause after a failure, maxDequeueCount the number of tries."""
    host = start_app(SEEN, options(visibilityTimeout="00:00:01", maxDequeueCount=2), env={"WORK_QUEUE": "work"})
    work = queue("work")
    work.create()
    work.send("fail")
    until(lambda: "try 1 of" in host.log)
    first = time.monotonic()
    until(lambda: "try 2 of" in host.log)
    assert time.monotonic() - first > 0.7
    until(queue("work-poison").texts)


def test_a_poison_queue_has_no_poison_queue(start_app: StartApp, queue: Open) -> None:
    """A message that fails there stays invisible until its fetch runs out."""
    host = start_app(SEEN, env={"WORK_QUEUE": "work-poison"})
    poison = queue("work-poison")
    poison.create()
    poison.send("fail")
    until(lambda: "Executed 'Functions.work' (Failed" in host.log)
    poison.send("well")
    until(queue("seen").texts)
    assert poison.peek() == []
    assert "try 2 of" not in host.log


def test_plain_text_is_poison_without_a_try(start_app: StartApp, queue: Open) -> None:
    """With messageEncoding base64, a message that is not encoded never reaches the function."""
    host = start_app(SEEN, env={"WORK_QUEUE": "work"})
    work, poison = queue("work"), queue("work-poison")
    work.create()
    work.send_raw('{"plain": "text"}')
    assert until(poison.peek) == ['{"plain": "text"}']
    assert "try" not in host.log


def test_message_encoding_none(start_app: StartApp, queue: Open) -> None:
    """With messageEncoding none, plain text is read and written."""
    start_app(SEEN, options(messageEncoding="none"), env={"WORK_QUEUE": "work"})
    work = queue("work")
    work.create()
    work.send_raw("plain text")
    assert json.loads(until(queue("seen").peek)[0])["text"] == "plain text"


def test_properties_of_a_json_message_override_its_metadata(start_app: StartApp, queue: Open) -> None:
    """A payload key `id` hides the id of the message."""
    start_app(SEEN, env={"WORK_QUEUE": "work"})
    work = queue("work")
    work.create()
    work.send('{"ID": "from the payload"}')
    assert json.loads(until(queue("seen").texts)[0])["id"] == "from the payload"


OUTPUTS = """
import typing

@app.route(methods=["POST"])
@app.queue_output("out", "made", "AzureWebJobsStorage")
def text(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    out.set(req.get_body().decode())
    return func.HttpResponse(status_code=202)

@app.route(methods=["POST"])
@app.queue_output("out", "made", "AzureWebJobsStorage")
def many(req: func.HttpRequest, out: func.Out[typing.List[str]]) -> func.HttpResponse:
    out.set(["one", "two"])
    return func.HttpResponse(status_code=202)

@app.route(methods=["POST"])
@app.queue_output("out", "made", "AzureWebJobsStorage")
def nothing(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    return func.HttpResponse(status_code=202)

@app.route(methods=["POST"])
@app.queue_output("out", "NO QUEUE", "AzureWebJobsStorage")
def nowhere(req: func.HttpRequest, out: func.Out[str]) -> func.HttpResponse:
    out.set("x")
    return func.HttpResponse(status_code=202)

@app.queue_trigger("message", "in", "AzureWebJobsStorage")
@app.queue_output("$return", "made", "AzureWebJobsStorage")
def returned(message: func.QueueMessage) -> str:
    return "returned " + message.get_body().decode()
"""


def test_queue_outputs(start_app: StartApp, queue: Open) -> None:
    """Outputs are sent after the function; the queue is made when there is none; what cannot be sent is a failure."""
    host = start_app(OUTPUTS)
    made, headers = queue("made"), {"x-functions-key": host.key}
    assert call(host, "POST", "/api/text", "hello", headers).status == 202
    assert made.texts() == ["hello"]
    assert call(host, "POST", "/api/many", "", headers).status == 202
    assert made.texts() == ["hello", "one", "two"]
    assert call(host, "POST", "/api/nothing", "", headers).status == 202
    assert call(host, "POST", "/api/nowhere", "", headers).status == 500
    assert "Its outputs could not be delivered." in host.log
    host.fire("returned", "text")
    assert until(lambda: made.texts()[3:]) == ["returned text"]


def test_this_hosts_own_messages_are_fetched_at_once(start_app: StartApp, queue: Open) -> None:
    """A listener that sleeps is woken when the host itself sends to its queue."""
    source = (
        OUTPUTS
        + """
@app.queue_trigger("message", "made", "AzureWebJobsStorage")
def read(message: func.QueueMessage) -> None:
    logging.info("read %s", message.get_body().decode())
"""
    )
    host = start_app(source, {"extensions": {"queues": {"maxPollingInterval": "01:00:00"}}})
    queue("made").create()
    for n in range(3):
        call(host, "POST", "/api/text", f"message {n}", {"x-functions-key": host.key})
        until(lambda n=n: f"read message {n}" in host.log, 3)  # type: ignore[misc]


def test_a_long_run_keeps_its_message(start_app: StartApp, queue: Open) -> None:
    """While a function runs, the invisibility of its message is renewed at half time."""
    source = """
    import time

    @app.queue_trigger("message", "work", "AzureWebJobsStorage")
    def work(message: func.QueueMessage) -> None:
        logging.info("begin")
        time.sleep(3.5)
        logging.info("end")
    """
    host = start_app(source, fetch_visibility=2)
    work = queue("work")
    work.create()
    work.send("x")
    until(lambda: "end" in host.log)
    until(lambda: work.count() == 0)
    assert host.log.count("begin") == 1


def test_batches_run_in_parallel(start_app: StartApp, queue: Open) -> None:
    """At most batchSize + newBatchThreshold messages are in flight, each in a thread of the worker's pool."""
    source = """
    import threading, time
    lock, running, most = threading.Lock(), 0, 0

    @app.queue_trigger("message", "work", "AzureWebJobsStorage")
    def work(message: func.QueueMessage) -> None:
        global running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.2)
        with lock:
            running -= 1
        logging.info("done, most at once: %s", most)
    """
    host = start_app(source, options(batchSize=4, newBatchThreshold=2), env={"PYTHON_THREADPOOL_THREAD_COUNT": "20"})
    work = queue("work")
    work.create()
    for n in range(20):
        work.send(str(n))
    until(lambda: host.log.count("done") == 20)
    assert 4 <= int(host.log.rpartition("most at once: ")[2].split()[0]) <= 6


def test_one_thread_runs_one_function_at_a_time(start_app: StartApp, queue: Open) -> None:
    """PYTHON_THREADPOOL_THREAD_COUNT is honoured."""
    source = """
    import time

    @app.queue_trigger("message", "work", "AzureWebJobsStorage")
    def work(message: func.QueueMessage) -> None:
        logging.info("begin")
        time.sleep(0.05)
        logging.info("end")
    """
    host = start_app(source, env={"PYTHON_THREADPOOL_THREAD_COUNT": "1"})
    work = queue("work")
    work.create()
    for n in range(5):
        work.send(str(n))
    until(lambda: host.log.count("end") == 5)
    order = [line.rpartition(" ")[2] for line in host.log.splitlines() if line.endswith(("begin", "end"))]
    assert order == ["begin", "end"] * 5


@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (Data("string", "text"), ["text"]),
        (Data("string", "[not json}"), ["[not json}"]),
        (Data("string", "[not json]"), ["[not json]"]),
        (Data("string", '{"ä":[1]}'), ['{\n  "ä": [\n    1\n  ]\n}']),
        (Data("string", ' ["a", 1, {"b": 2}] '), ["a", "1", '{\n  "b": 2\n}']),
        (Data("json", '["a", "b"]'), ["a", "b"]),
        (Data("bytes", b'{"exactly":"this"}'), ['{"exactly":"this"}']),
    ],
)
def test_output_messages(data: Data, messages: list[str]) -> None:
    """JSON text is read and written anew, arrays become many messages; bytes are left alone."""
    assert [message.decode() for message in output_messages(data)] == messages


def test_metadata_keeps_its_case() -> None:
    """A property overrides in any case of letters; arrays and nulls do not count."""
    text = json.dumps({"dequeuecount": 7, "Id": None, "POPRECEIPT": [1], "other": {"a": 1}})
    message = message_by_hand(text)
    metadata = trigger_metadata(message, text)
    assert metadata["DequeueCount"] == Data("json", "7")
    assert metadata["Id"] == Data("string", message.id)
    assert metadata["PopReceipt"] == Data("string", message.pop_receipt)
    assert metadata["other"] == Data("json", '{"a": 1}')
    assert metadata["QueueTrigger"] == Data("string", text)


def test_threshold_depends_on_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless host.json says otherwise, the next batch is fetched at half a batch per processor."""
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert QueueOptions().threshold == 32
    assert QueueOptions(new_batch_threshold=0).threshold == 0
    assert HOST_JSON["version"] == "2.0"
