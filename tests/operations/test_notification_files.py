"""A run and a dead letter as the push notification that they were, or that their rows would be."""

import json
from typing import Any

from handlers.clients.activity_record import Run
from handlers.operations import activity, dead_letters, preview
from handlers.operations.activity import about
from handlers.operations.notification_files import of_letter, of_run, refused_body
from tests.bench import QUERY, Bench
from tests.operations.steps import a_row, post, work


def newest(bench: Bench) -> Run:
    bench.factory.services().activity.flush()
    return activity.newest(bench.factory.storage())[0]


def file_of_newest(bench: Bench) -> Any:
    text = of_run(newest(bench), bench.factory.storage(), about(bench.factory))
    return json.loads(text) if text else None


def previewed(bench: Bench, file: Any) -> list[tuple[tuple[str, ...], list[str]]]:
    rows = preview.in_app(json.dumps(file).encode(), bench.factory.services())
    return [(row.key, [step.effect for step in row.steps]) for row in rows]


def test_the_file_of_a_run_has_its_rows_and_can_be_previewed(bench: Bench) -> None:
    post(bench, *({**a_row(bench), "OpportunityID": key} for key in ("A", "B")))
    work(bench)
    file = file_of_newest(bench)
    assert {name: file[name] for name in ("Query", "Id", "TimeStamp", "Deleted")} == {
        "Query": QUERY,
        "Id": "n1",
        "TimeStamp": bench.first + 1,
        "Deleted": [],
    }
    assert [row["OpportunityID"] for row in file["Inserted"]] == ["A", "B"]
    assert previewed(bench, file) == [(("A",), ["CreateEvent", "WriteBack"]), (("B",), ["CreateEvent", "WriteBack"])]


def test_a_row_that_has_left_is_in_deleted(bench: Bench) -> None:
    post(bench, a_row(bench))
    work(bench)
    post(bench, number=2, Deleted=[a_row(bench)])
    bench.now += 60
    bench.apply(bench.removal(2))
    file = file_of_newest(bench)
    assert (file["Inserted"], file["Deleted"]) == ([], [{"OpportunityID": "OP1"}])


def test_the_file_of_a_refused_notification_is_what_it_held(bench: Bench) -> None:
    post(bench, *[a_row(bench)] * 7, Query="Other")
    run = newest(bench)
    found = refused_body(run, bench.factory.storage())
    assert found
    assert (found.rows, len(found.first), found.first[0]["Subject"]) == (7, 5, "s")
    assert found.envelope == {"Query": "Other", "CompanyId": "Production", "Id": "n1", "TimeStamp": str(bench.first + 1)}
    assert file_of_newest(bench)["Query"] == "Other"
    bench.factory.storage().activity_table.remove_all("RowKey ge 'b' and RowKey lt 'c'")
    assert refused_body(run, bench.factory.storage()) is None
    assert file_of_newest(bench) is None


def test_what_is_no_notification_is_shown_as_it_is(bench: Bench) -> None:
    for body in (b"not json", b"[1]", b'{"Inserted": [1, {"a": 1}], "Deleted": 3, "Query": {"x": 1}}'):
        bench.factory.intake().activity.rejected(bench.now, 400, [repr(body)], body)
        bench.now += 1
    runs = activity.newest(bench.factory.storage())
    shown = [refused_body(run, bench.factory.storage()) for run in reversed(runs)]
    assert [(found.text, found.rows) if found else None for found in shown] == [
        ("not json", 0),
        ("[1]", 0),
        ('{"Inserted": [1, {"a": 1}], "Deleted": 3, "Query": {"x": 1}}', 2),
    ]


def test_the_file_of_a_dead_letter_holds_its_row(bench: Bench) -> None:
    bench.graph.remove_mailbox("ann@example.com")
    bench.apply(bench.change(1, "lost"))
    bench.apply(bench.change(1))
    storage, known = bench.factory.storage(), about(bench.factory)
    letter = dead_letters.get(dead_letters.find(storage)[0].facts.key, storage)
    assert letter
    file = json.loads(of_letter(letter, known) or "")
    assert (file["Query"], file["Id"], file["TimeStamp"]) == (QUERY, "n", bench.first + 1)
    assert [row["OpportunityID"] for row in file["Inserted"]] == ["OP1"]
    assert previewed(bench, file) == [(("OP1",), ["CreateEvent", "WriteBack"])]
    assert of_letter(letter, activity.NOTHING) is None


def test_a_run_without_rows_has_no_file(bench: Bench) -> None:
    post(bench)
    assert file_of_newest(bench) is None
