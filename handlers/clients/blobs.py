"""Texts that are too large for a message or an entity, in a container of blobs, named by the hash of their content."""

from collections.abc import Callable
from hashlib import sha256
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceNotFoundError

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

INLINE_BYTES = 48 * 1024  # base64 makes 64 KiB of it, the most that a queue message may hold


class Blobs:
    """A container; `connect` gives the SDK's client at the first use, since few rows are that large."""

    def __init__(self, connect: "Callable[[], ContainerClient]") -> None:
        self._connect = connect

    def put(self, text: str) -> str:
        """Keep a text; returns its name."""
        data = text.encode()
        name = sha256(data).hexdigest()
        self._connect().get_blob_client(name).upload_blob(data, overwrite=True)
        return name

    def get(self, name: str) -> str | None:
        """The text; None where it has expired."""
        try:
            return self._connect().get_blob_client(name).download_blob().readall().decode()
        except ResourceNotFoundError:
            return None
