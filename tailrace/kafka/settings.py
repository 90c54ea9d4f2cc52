"""What an operator declares of a Kafka cluster, as a target or as a source."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_BROKER = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):[0-9]{1,5}")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")

Client = Literal["kafka-python", "confluent"]


def _brokers(text: str) -> str:
    if "${" in text:  # a reference is left where files alone are checked
        return text
    for broker in text.split(","):
        if not _BROKER.fullmatch(broker.strip()) or int(broker.rpartition(":")[2]) > 65535:
            raise ValueError("brokers are host:port, with commas between them")
    return ",".join(broker.strip() for broker in text.split(","))


def is_topic(name: str) -> bool:
    """Whether Kafka takes it for a topic's name."""
    return bool(_TOPIC.fullmatch(name)) and name not in (".", "..")


Brokers = Annotated[str, Field(min_length=1), AfterValidator(_brokers)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Tls(Strict):
    """Paths of PEM files. ca: whom to trust, the system's where it is left out; certificate, key
    (and the key's password): who we are. Broker names are always verified."""

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = Field(default=None, min_length=1, repr=False, exclude=True)

    @model_validator(mode="after")
    def _whole(self) -> Tls:
        if self.key is not None and self.certificate is None:
            raise ValueError("a key needs its certificate")
        return self


class Sasl(Strict):
    """How we log in."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
    user: str
    password: str = Field(min_length=1, repr=False, exclude=True)


class Cluster(Strict):
    """brokers: host:port, some of the cluster's, with commas between them. tls: `{}` trusts what
    the system trusts; without it nothing is encrypted. client: which library speaks to it."""

    brokers: Brokers
    tls: Tls | None = None
    sasl: Sasl | None = None
    client: Client = "kafka-python"

    @property
    def security(self) -> str:
        return ("SASL_" if self.sasl else "") + ("SSL" if self.tls is not None else "PLAINTEXT")


def cluster_of(settings: Any) -> Cluster:
    """The part of a target's or source's settings that says where its cluster is."""
    return Cluster(
        brokers=settings.brokers, tls=settings.tls, sasl=settings.sasl, client=settings.client
    )
