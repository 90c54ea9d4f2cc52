"""Who we are: credentials, tokens, signatures, TLS; and what the preflight finds."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import ValidationError

from sinks.conformance import upsert
from sinks.http.preflight import inspect
from tailrace.errors import TargetRefused, TargetUnavailable
from tests.http.conftest import Made
from tests.http_api import HttpApi, started
from tests.httprig import ITEM, PUT, HttpTarget, Rig, planned
from transforms.rows import TargetTable


def headers(one: Rig) -> dict[str, str]:
    found: dict[str, str] = one.seen[-1]["headers"]
    return found


def test_bearer_basic_and_api_key(rig: Made) -> None:
    one = rig(auth={"type": "bearer", "token": "t0ken"})
    one.apply(upsert("1", "a", "1"))
    assert headers(one)["Authorization"] == "Bearer t0ken"
    one = rig(auth={"type": "basic", "user": "us", "password": "p:ü"})
    one.apply(upsert("1", "a", "1"))
    assert base64.b64decode(headers(one)["Authorization"].split()[1]).decode() == "us:p:ü"
    one = rig(auth={"type": "api_key", "header": "X-Key", "value": "k"})
    one.apply(upsert("1", "a", "1"))
    assert headers(one)["X-Key"] == "k"


def oauth(api: HttpApi) -> dict[str, str]:
    return {
        "type": "oauth2",
        "token_url": f"{api.url}/_token",
        "client_id": "we",
        "client_secret": "s",
        "scope": "write",
    }


def test_a_token_is_obtained_once_and_again_when_it_is_refused(rig: Made, api: HttpApi) -> None:
    one = rig(auth=oauth(api))
    before = api.state["counts"].get("token client_credentials", 0)
    one.apply(*(upsert(str(n), "a", "1") for n in range(20)))
    assert api.state["counts"]["token client_credentials"] == before + 1
    number = int(headers(one)["Authorization"].removeprefix("Bearer t"))
    one.fault("demand", header="Authorization", value=f"Bearer t{number + 1}")
    one.apply(*(upsert(str(n), "b", "1") for n in range(20)), entry=2)
    assert api.state["counts"]["token client_credentials"] == before + 2
    assert {record["code"] for record in one.records.values()} == {"b"}


def test_a_token_endpoint_that_says_no_pauses(rig: Made, api: HttpApi) -> None:
    one = rig(auth={**oauth(api), "token_url": f"{api.url}/nothing"})
    api.fault("reject", path="/nothing", status=400)
    with pytest.raises(TargetRefused, match="the token endpoint gives no token"):
        one.write(upsert("1", "a", "1"))
    odd = '{"access_token": "a\\r\\nX-Admin: yes"}'
    api.fault("reject", path="/nothing", status=200, body=odd)
    with pytest.raises(TargetRefused, match="the token endpoint gives no token"):
        one.write(upsert("1", "a", "1"))
    api.fault("reject", path="/nothing", status=500)
    with pytest.raises(TargetUnavailable, match="the token endpoint fails"):
        one.write(upsert("1", "a", "1"))


@pytest.mark.parametrize(
    "settings",
    [
        {"auth": {"type": "bearer", "token": "secret\r"}},
        {"auth": {"type": "api_key", "value": "secret\nX-Admin: yes"}},
        {"signature": {"secret": "s", "prefix": "secret\n"}},
        {"url": "https://secret..example.com"},
    ],
)
def test_what_no_header_or_name_can_hold_is_refused_before_it_is_sent(
    rig: Made, settings: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as refused:
        rig(**settings)
    assert "secret" not in str(refused.value)


def test_a_signature_over_what_is_sent(rig: Made) -> None:
    one = rig(signature={"secret": "s3cret", "prefix": "sha256="})
    one.apply(upsert("1", "a", "1"))
    (seen,) = one.seen
    content = f"{seen['headers']['X-Timestamp']}.PUT.{seen['path']}.{seen['body']}"
    wanted = hmac.new(b"s3cret", content.encode(), hashlib.sha256).hexdigest()
    assert seen["headers"]["X-Signature"] == f"sha256={wanted}"


class Authority:
    """Signs certificates; files in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
        ca = self._signed(self._name, self._key.public_key(), is_ca=True)
        (directory / "ca.pem").write_bytes(ca.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self, name: x509.Name, public: ec.EllipticCurvePublicKey, *, is_ca: bool
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(authority, critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signed = self._signed(subject, key.public_key(), is_ca=False)
        path = self.directory / f"{name}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + signed.public_bytes(serialization.Encoding.PEM)
        )
        return path


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[HttpApi, Authority]]:
    authority = Authority(tmp_path_factory.mktemp("tls"))
    authority.issue("server")
    authority.issue("client")
    with started(authority.directory) as api:
        yield api, authority


def target(api: HttpApi, **tls: object) -> HttpTarget:
    return HttpTarget.model_validate(
        {
            "type": "http",
            "url": api.url,
            "reach": {"private": ["127.0.0.1"]},
            "tls": tls,
            "entities": {"item": PUT},
            "retries": {"attempts": "1"},
        }
    )


def sent(made: Rig) -> None:
    made.sink.open("journal")
    made.sink.prepare([ITEM])
    made.write(upsert("1", "a", "1"))


def test_tls_is_verified_and_shows_our_certificate(
    secure: tuple[HttpApi, Authority], tmp_path: Path
) -> None:
    api, authority = secure
    own = {
        "ca": str(authority.directory / "ca.pem"),
        "certificate": str(authority.directory / "client.pem"),
    }
    made = Rig(api, tmp_path, PUT)
    for tls, error, words in (
        ({}, TargetRefused, "certificate is not to be trusted"),
        ({"ca": own["ca"]}, TargetUnavailable, "connection broke|cannot connect"),
        ({"ca": "/nowhere"}, TargetRefused, "files of `tls` cannot be used"),
        (own, None, ""),
    ):
        made.target = target(api, **tls)
        made.sink = made.another("tls")
        try:
            if error is None:
                sent(made)
                assert inspect(made.target, [planned(ITEM)]) == []
            else:
                with pytest.raises(error, match=words):
                    sent(made)
        finally:
            made.sink.close()
    found = inspect(target(api), [planned(ITEM)])
    assert "certificate is not to be trusted" in found[0].what


def test_the_preflight_sends_nothing(rig: Made, api: HttpApi) -> None:
    one = rig(auth=oauth(api))
    before = api.state["counts"].get("token client_credentials", 0)
    assert inspect(one.target, [planned(ITEM)]) == []
    assert api.state["counts"]["token client_credentials"] == before + 1
    assert not one.seen


def test_the_preflight_knows_how_values_were_protected(rig: Made) -> None:
    """Also while a process holds the checkpoint; a run refuses what is an error here."""

    def protected(key: str, code: str) -> TargetTable:
        columns = list(ITEM.columns)
        columns[0] = replace(columns[0], field_class="personal", protected=key)
        columns[1] = replace(columns[1], field_class="personal", protected=code)
        return replace(ITEM, columns=tuple(columns))

    def found(table: TargetTable) -> list[tuple[str, str]]:
        line = planned(table, checkpoint=one.checkpoint())
        return [(each.severity, each.where) for each in inspect(one.target, [line])]

    one = rig(table=protected("hash 1", "mask first"))
    assert found(one.table) == []
    assert found(protected("hash 1", "")) == [("warning", "public.item.code")]
    changed = protected("hash 2", "tokenise 1")
    assert found(changed) == [("error", "public.item"), ("warning", "public.item.code")]
    with pytest.raises(TargetRefused, match="protection of its key"):
        one.sink.prepare([changed])
    one.sink.close()
    one.checkpoint().write_bytes(b"not a database")
    assert found(changed) == []


def test_the_preflight_finds(api: HttpApi) -> None:
    settings = {"type": "http", "reach": {"plain": "true"}, "entities": {"other": PUT}}
    there = HttpTarget.model_validate({**settings, "url": api.url})
    found = [finding.what for finding in inspect(there, [planned(ITEM)])]
    assert found == [
        "the target has no requests for it",
        "the name 127.0.0.1 leads to an address that is not public",
    ]
    away = {**settings, "url": "http://127.0.0.1:1", "reach": {"plain": "1", "private": ["::/0"]}}
    away["reach"] = {"plain": "true", "private": ["127.0.0.1"]}
    with pytest.raises(TargetUnavailable, match="cannot be reached"):
        inspect(HttpTarget.model_validate(away), [])


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("https://id.example.com:99999/token", "the port is no number"),
        ("https://a:b@id.example.com/token", "credentials belong into `auth`"),
        ("ftp://id.example.com/token", "expected is the address of a token endpoint"),
    ],
)
def test_a_token_endpoint_has_a_sound_address(url: str, what: str) -> None:
    auth = {"type": "oauth2", "token_url": url, "client_id": "c", "client_secret": "s"}
    settings = {"type": "http", "url": "https://api.example.com", "entities": {"other": PUT}}
    with pytest.raises(ValueError, match=what):
        HttpTarget.model_validate({**settings, "auth": auth})
