"""The dialects there are, by the word that a mapping's `dialect` takes."""

from __future__ import annotations

from transforms.expressions.dialect import Dialect
from transforms.expressions.mysql import MysqlDialect
from transforms.expressions.oracle import OracleDialect
from transforms.expressions.tsql import TsqlDialect

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (Dialect(), MysqlDialect(), OracleDialect(), TsqlDialect())
}
