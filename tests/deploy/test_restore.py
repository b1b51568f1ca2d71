"""docs/deploy.md, "Backup and restore": what is said there of lost tables."""

from azure.data.tables import TableServiceClient

from handlers.clients.storage import TABLES
from tests.bench import Bench


def test_after_the_loss_of_all_tables_a_row_finds_its_event_again(bench: Bench) -> None:
    bench.apply(bench.change(1, subject="before"))
    assert bench.subjects() == ["before"]
    with TableServiceClient.from_connection_string(bench.connection) as tables:
        for name in TABLES:
            client = tables.get_table_client(name)
            for entity in list(client.list_entities(select=["PartitionKey", "RowKey"])):
                client.delete_entity(entity)
    bench.reconfigure()
    bench.apply(bench.change(2, subject="after"))
    assert bench.subjects() == ["after"]
