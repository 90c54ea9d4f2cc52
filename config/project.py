"""What a project declares, assembled from the settings that each adapter declares beside itself."""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingABC
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from cdc.kafka.settings import KafkaDebeziumSource
from cdc.mysql.settings import MariadbSource, MysqlSource
from cdc.postgres.settings import PostgresSource
from config.places import Loc, Places
from sinks.duckdb.settings import DuckdbTarget
from sinks.http.settings import HttpTarget
from sinks.kafka.settings import KafkaTarget
from sinks.mysql.settings import MariadbTarget, MysqlTarget
from sinks.postgres.settings import PostgresTarget
from sinks.sqlite.settings import SqliteTarget
from transforms.entity import Entity
from transforms.model import Mapping, Replicate
from transforms.protect.keys import Key

SOURCES = {
    "postgres": PostgresSource,
    "mariadb": MariadbSource,
    "mysql": MysqlSource,
    "kafka-debezium": KafkaDebeziumSource,
}
TARGETS = {
    "postgres": PostgresTarget,
    "mariadb": MariadbTarget,
    "mysql": MysqlTarget,
    "kafka": KafkaTarget,
    "sqlite": SqliteTarget,
    "duckdb": DuckdbTarget,
    "http": HttpTarget,
}
"""What is built, by `type`. A new adapter is one line here and one in a union below."""

Source = PostgresSource | MariadbSource | MysqlSource | KafkaDebeziumSource
Target = (
    PostgresTarget
    | MariadbTarget
    | MysqlTarget
    | SqliteTarget
    | DuckdbTarget
    | KafkaTarget
    | HttpTarget
)

FILE = "tailrace.yml"
NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def _name(text: str) -> str:
    if not NAME.fullmatch(text):
        raise ValueError(
            "a name begins with a letter and has at most 41 of the characters a-z, 0-9 and _"
        )
    return text


Name = Annotated[
    str,
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{NAME.pattern}$"}),
]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Pipeline(Strict):
    """One source to one target: tables as they are, tables as entities, or both."""

    source: str
    target: str
    replicate: tuple[Replicate, ...] = ()
    mappings: tuple[str, ...] = ()


class ProjectFile(Strict):
    """The file tailrace.yml."""

    version: Literal["1"]
    project: Name
    sources: Annotated[
        dict[Name, Annotated[Source, Field(discriminator="type")]], Field(min_length=1)
    ]
    targets: Annotated[
        dict[Name, Annotated[Target, Field(discriminator="type")]], Field(min_length=1)
    ]
    pipelines: Annotated[dict[Name, Pipeline], Field(min_length=1)]
    keys: dict[Name, Key] = Field(default_factory=dict)


@dataclass(frozen=True)
class Project:
    """A whole project: tailrace.yml with its entities and mappings, by name.

    `places`: of tailrace.yml; `entity_places` and `mapping_places`: of their files, by name.
    """

    project: str
    sources: MappingABC[str, Source]
    targets: MappingABC[str, Target]
    pipelines: MappingABC[str, Pipeline]
    entities: MappingABC[str, Entity]
    mappings: MappingABC[str, Mapping]
    keys: MappingABC[str, Key] = field(default_factory=dict)
    places: Places = field(repr=False, compare=False, default=Places(FILE))
    entity_places: MappingABC[str, Places] = field(repr=False, compare=False, default_factory=dict)
    mapping_places: MappingABC[str, Places] = field(repr=False, compare=False, default_factory=dict)

    def pipeline_mappings(self, name: str) -> list[Mapping]:
        return [self.mappings[mapping] for mapping in self.pipelines[name].mappings]

    def pipelines_of(self, source: str) -> list[str]:
        return [name for name, pipeline in self.pipelines.items() if pipeline.source == source]

    def where(self, *loc: str | int) -> dict[str, object]:
        """File, line and column of a path in tailrace.yml: ``where("sources", "erp", "url")``."""
        return self.places.where(loc)

    def where_in_mapping(self, name: str, loc: Loc = ()) -> dict[str, object]:
        return self.mapping_places[name].where(loc)
