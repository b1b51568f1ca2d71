"""While storage is away, a message goes back into its queue: the host would give up after five tries, and ask a person."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from handlers import telemetry
from handlers.clients.tables import StorageError, is_away
from handlers.sync.errors import Code

_SECONDS = 30.0


@contextmanager
def waiting_for_storage(message: str, put_back: Callable[[str, float], None]) -> Iterator[None]:
    """Take a message; where tables or blobs cannot be used for that, call `put_back(message, delay)`, which may raise."""
    try:
        yield
    except StorageError as error:
        if not is_away(error):
            raise
        put_back(message, _SECONDS)
        telemetry.emit(telemetry.DEFERRED, code=Code.STORAGE_AWAY)
