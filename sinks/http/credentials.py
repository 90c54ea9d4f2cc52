"""Who we are, on each request: credentials, and a signature over what is sent."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
from collections.abc import Mapping
from time import monotonic, time
from urllib.parse import quote, urlencode, urlsplit

from sinks.http.access import ApiKey, Basic, Bearer, Oauth2, Signature
from sinks.http.client import Answer, Client, Lost, Request
from sinks.http.settings import HttpTarget
from sinks.http.templates import Given, Text
from tailrace.errors import TargetRefused, TargetUnavailable

_TOKEN = re.compile(r"[!-~]+")
RENEWED_BEFORE_S = 30.0
"""A token is renewed so long before its end, so that none ends on its way."""
LIFE_S = 300.0
"""Of a token whose server does not say."""


class Credentials:
    """Of one target. Asks the token endpoint through the same client, with the same checks."""

    def __init__(self, target: HttpTarget, client: Client) -> None:
        self._auth = target.auth
        self._signer = None if target.signature is None else _Signer(target.signature)
        self._fixed = _fixed(target)
        self._client = client
        self._token = ""
        self._until_s = 0.0
        self._renewing = asyncio.Lock()

    @property
    def can_renew(self) -> bool:
        return isinstance(self._auth, Oauth2)

    async def token(self) -> str:
        """The token that is in use; empty where there are none. Errors: as `renew`."""
        if isinstance(self._auth, Oauth2) and monotonic() >= self._until_s:
            await self.renew(self._token)
        return self._token

    async def renew(self, refused: str) -> None:
        """Get another token than `refused`, unless somebody has meanwhile.

        Errors: TargetUnavailable; TargetRefused where the endpoint says no; AddressForbidden.
        """
        assert isinstance(self._auth, Oauth2)
        async with self._renewing:
            if self._token != refused and monotonic() < self._until_s:
                return
            answer = await self._asked(self._auth)
            self._token, life_s = _token_of(answer, self._auth)
            self._until_s = monotonic() + max(0.0, life_s - min(RENEWED_BEFORE_S, life_s / 2))

    async def _asked(self, auth: Oauth2) -> Answer:
        form = {"grant_type": "client_credentials", "scope": auth.scope, "audience": auth.audience}
        headers = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/json",
        }
        if auth.credentials == "header":
            pair = (quote(one, safe="") for one in (auth.client_id, auth.client_secret))
            headers["Authorization"] = _basic(*pair)
        else:
            form |= {"client_id": auth.client_id, "client_secret": auth.client_secret}
        body = urlencode({name: value for name, value in form.items() if value is not None})
        try:
            return await self._client.send(Request("POST", auth.token_url, headers, body.encode()))
        except Lost as lost:
            raise TargetUnavailable(
                f"the token endpoint cannot be asked: {lost.what}", where={"url": auth.token_url}
            ) from None

    def headers(
        self, token: str, method: str, url: str, body: bytes | None, key: str
    ) -> Mapping[str, str]:
        found = dict(self._fixed)
        if token:
            found["Authorization"] = f"Bearer {token}"
        if self._signer is not None:
            found |= self._signer.headers(method, url, body, key)
        return found


class _Signer:
    def __init__(self, settings: Signature) -> None:
        self._settings = settings
        self._content = Text(settings.content)

    def headers(self, method: str, url: str, body: bytes | None, key: str) -> Mapping[str, str]:
        settings = self._settings
        parts = urlsplit(url)
        moment = str(int(time()))
        given = {
            "method": method,
            "path": parts.path + (f"?{parts.query}" if parts.query else ""),
            "timestamp": moment,
            "body": (body or b"").decode(),
            "idempotency_key": key,
        }
        content = self._content.filled(Given(given, {}), lambda _, value: value)
        made = hmac.new(settings.secret.encode(), content.encode(), settings.algorithm)
        shown = (
            made.hexdigest()
            if settings.encoding == "hex"
            else base64.b64encode(made.digest()).decode()
        )
        return {settings.header: settings.prefix + shown, settings.timestamp_header: moment}


def _fixed(target: HttpTarget) -> dict[str, str]:
    auth = target.auth
    if isinstance(auth, Bearer):
        return {"Authorization": f"Bearer {auth.token}"}
    if isinstance(auth, Basic):
        return {"Authorization": _basic(auth.user, auth.password)}
    if isinstance(auth, ApiKey):
        return {auth.header: auth.value}
    return {}


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _token_of(answer: Answer, auth: Oauth2) -> tuple[str, float]:
    where: dict[str, object] = {"url": auth.token_url, "status": answer.status}
    if answer.status >= 500 or answer.status in (408, 429):
        raise TargetUnavailable("the token endpoint fails", where=where)
    try:
        document = json.loads(answer.body or b"")
        token, life_s = document["access_token"], float(document.get("expires_in", LIFE_S))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        token, life_s = "", 0.0
    if answer.status != 200 or not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise TargetRefused(
            "the token endpoint gives no token",
            where=where,
            fix="see that client_id, client_secret and scope are those that its owner gave out",
        )
    return token, life_s
