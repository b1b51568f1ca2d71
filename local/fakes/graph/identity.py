"""What gives out tokens for Graph: App Service's managed identity endpoint, and Microsoft Entra ID."""

import base64
import json
import math
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qsl

from local.fakes.calls import Call, Reply


class Identity:
    """Who may have tokens, and which were given out."""

    def __init__(self, seed: int) -> None:
        self.header = str(uuid.UUID(int=seed + 1))
        self.tenant_id = str(uuid.UUID(int=seed + 2))
        self.client_id = str(uuid.UUID(int=seed + 3))
        self.object_id = str(uuid.UUID(int=seed + 4))
        self.client_secret = "graph-secret"  # noqa: S105
        self.user_assigned: set[str] = set()  # client ids of identities; empty means that any is taken
        self.token_seconds = 86400.0
        self._tokens: dict[str, tuple[dict[str, str], float]] = {}  # claims and expiry

    def problem(self, authorization: str, audience: str) -> str | None:
        """What is wrong with an Authorization header; None if nothing is."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return "Access token is empty."
        claims, expiry = self._tokens.get(token, ({"aud": ""}, math.inf))
        if (meant_for := claims["aud"]).rstrip("/") != audience:
            return "Access token validation failure. Invalid audience." if meant_for else "JWT is not well formed."
        return None if expiry > time.time() else "Access token has expired or is not yet valid."

    def expire(self) -> None:
        """All tokens that were given out have expired."""
        self._tokens = {token: (claims, 0.0) for token, (claims, _) in self._tokens.items()}

    def claims(self, authorization: str) -> dict[str, str]:
        """What a token says, if it was given out and has not expired; else nothing."""
        claims, expiry = self._tokens.get(authorization.partition(" ")[2], ({}, 0.0))
        return claims if expiry > time.time() else {}

    def managed(self, call: Call) -> Reply:
        """https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference."""
        query = call.query
        client_id, resource = query.get("client_id"), query.get("resource", "")
        if call.headers.get("x-identity-header") != self.header:
            return Reply(401, {"statusCode": 401, "message": "X-IDENTITY-HEADER is missing or wrong."})
        if call.method != "GET" or query.get("api-version") != "2019-08-01" or not resource:
            return Reply(400, {"statusCode": 400, "message": "The query needs api-version=2019-08-01 and resource."})
        if client_id and self.user_assigned and client_id not in self.user_assigned:
            message = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
            return Reply(400, {"statusCode": 400, "message": message})
        now = int(time.time())
        body = {"access_token": self._token(resource), "client_id": client_id or self.client_id, "resource": resource}
        times = {"not_before": str(now), "expires_on": str(now + int(self.token_seconds))}
        return Reply(200, {**body, **times, "token_type": "Bearer"})

    def discovery(self, tenant: str, url: str) -> Reply:
        """https://learn.microsoft.com/entra/identity-platform/v2-protocols-oidc."""
        if tenant != self.tenant_id:
            return _error(
                400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found. Check to make sure you have it right."
            )
        endpoints = {
            "issuer": f"{url}/{tenant}/v2.0",
            "authorization_endpoint": f"{url}/{tenant}/oauth2/v2.0/authorize",
            "token_endpoint": f"{url}/{tenant}/oauth2/v2.0/token",
            "device_authorization_endpoint": f"{url}/{tenant}/oauth2/v2.0/devicecode",
        }
        return Reply(200, endpoints)

    def client_credentials(self, call: Call, tenant: str) -> Reply:
        """https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow."""
        form = dict(parse_qsl(call.body if isinstance(call.body, str) else ""))
        if refusal := self._refusal(form, tenant):
            return _error(*refusal)
        token, seconds = self._token(form["scope"].removesuffix("/.default")), int(self.token_seconds)
        return Reply(200, {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token})

    def _refusal(self, form: Mapping[str, str], tenant: str) -> tuple[int, str, int, str] | None:
        """Status, error, number and message: https://learn.microsoft.com/entra/identity-platform/reference-error-codes."""
        app, scope = form.get("client_id"), form.get("scope", "")
        if tenant != self.tenant_id:
            return 400, "invalid_tenant", 90002, f"Tenant '{tenant}' not found. Check to make sure you have it right."
        if missing := [name for name in ("grant_type", "client_id", "scope") if not form.get(name)]:
            message = f"The request body must contain the following parameter: '{missing[0]}'."
            return 400, "invalid_request", 900144, message
        if form["grant_type"] != "client_credentials":
            return 400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type."
        if app != self.client_id:
            message = f"Application with identifier '{app}' was not found in the directory '{tenant}'."
            return 400, "unauthorized_client", 700016, message
        if form.get("client_secret") != self.client_secret:
            message = (
                "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
            )
            return 401, "invalid_client", 7000215, f"{message}not the client secret ID, for a secret added to app '{app}'."
        if not scope.endswith("/.default") or " " in scope:
            message = (
                f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
            )
            return 400, "invalid_scope", 1002012, f"{message}/.default suffixed to the resource identifier."
        return None

    def _token(self, audience: str) -> str:
        """https://learn.microsoft.com/entra/identity-platform/access-token-claims-reference, version 1.0."""
        who = {"tid": self.tenant_id, "oid": self.object_id, "appid": self.client_id}
        claims = {"aud": audience, "iss": f"https://sts.windows.net/{self.tenant_id}/", **who}
        payload = json.dumps(claims | {"uti": uuid.uuid4().hex}).encode()
        token = f"eyJ0eXAiOiJKV1QifQ.{base64.urlsafe_b64encode(payload).decode().rstrip('=')}.fake"
        self._tokens[token] = (claims, time.time() + self.token_seconds)
        return token


def _error(status: int, error: str, code: int, message: str) -> Reply:
    now, trace, correlation = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%SZ}", str(uuid.uuid4()), str(uuid.uuid4())
    description = f"AADSTS{code}: {message} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {now}"
    ids = {"timestamp": now, "trace_id": trace, "correlation_id": correlation}
    return Reply(status, {"error": error, "error_description": description, "error_codes": [code], **ids})
