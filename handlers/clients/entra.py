"""Tokens of Microsoft Entra ID for Microsoft Graph and for receivers of relays, as the app itself.

https://learn.microsoft.com/entra/msal/python/
"""

import threading
from collections.abc import Callable
from typing import Any

from handlers.clients.web import Http
from handlers.settings import Settings
from handlers.sync.errors import Code, Later, OutcomeUnknown

_TOKEN_DELAY = 30.0
_RESOURCE = "https://graph.microsoft.com"


class Tokens:
    """One request for many threads, then from msal's cache. Nobody waits for another's above `patience` seconds."""

    def __init__(
        self,
        settings: Settings,
        patience: float,
        resource: str = _RESOURCE,
        whose: str = "Microsoft Graph",
        code: Code = Code.GRAPH_TOKEN,
    ) -> None:
        self._resource, self._whose, self._code = resource, whose, code
        self._settings = settings
        self._patience = patience
        self._http = Http(3 * patience)  # a slow one is of use to whoever asks next
        self._lock = threading.Lock()
        self._last = ""
        self._client: Callable[[], dict[str, Any]] | None = None

    def get(self, refused: str = "") -> str:
        """The app's token; another one than was `refused`. Raises Later with Entra's reason."""
        from msal.exceptions import MsalError  # noqa: PLC0415  (slow; only `apply` needs it)

        if not self._lock.acquire(timeout=self._patience):  # else each one would wait for all before it
            raise Later(self._code, f"the token for {self._whose} takes long")
        try:
            try:
                if self._client is None or (refused and refused == self._last):
                    self._client = self._http.reach(self._new_client)
                result = self._http.reach(self._client)
            except OutcomeUnknown as error:  # asking for a token changes nothing
                raise Later(self._code, f"no token for {self._whose}: {error}") from None
            except (ValueError, KeyError, MsalError) as error:  # e.g. a 5xx of Entra
                reason = f"no token for {self._whose} ({type(error).__name__})"
                raise Later(self._code, reason, _TOKEN_DELAY) from None
            if "access_token" in result:
                self._last = str(result["access_token"])
                return self._last
        finally:
            self._lock.release()
        # msal gives error_description with correlation ids behind the first line, and no secrets.
        said = str(result.get("error_description") or result.get("error") or "no reason given").splitlines()[0][:300]
        reason = f"no token for {self._whose}: {said}; check the identity and the GRAPH_* settings"
        raise Later(self._code, reason, _TOKEN_DELAY)

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def _new_client(self) -> Callable[[], dict[str, Any]]:
        """What asks for tokens: the managed identity, or an app registration where a client secret is set."""
        import msal  # noqa: PLC0415  (slow; only `apply` needs it)

        settings = self._settings
        if secret := settings.graph_client_secret.get_secret_value():
            app = msal.ConfidentialClientApplication(
                settings.graph_client_id,
                client_credential=secret,
                authority=f"{settings.graph_authority}/{settings.graph_tenant_id}",
                instance_discovery=False,  # the authority is the administrator's own setting; one request less
                http_client=self._http,
            )
            return lambda: dict(app.acquire_token_for_client(scopes=[f"{self._resource}/.default"]))
        identity = (
            msal.UserAssignedManagedIdentity(client_id=settings.graph_client_id)
            if settings.graph_client_id
            else msal.SystemAssignedManagedIdentity()
        )
        client = msal.ManagedIdentityClient(identity, http_client=self._http)
        return lambda: dict(client.acquire_token_for_client(resource=self._resource))
