"""The dialects there are, by the word that a mapping's `dialect` takes."""

from __future__ import annotations

from transforms.expressions.dialects.base import Dialect
from transforms.expressions.dialects.mysql import MysqlDialect
from transforms.expressions.dialects.oracle import OracleDialect
from transforms.expressions.dialects.tsql import TsqlDialect

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (Dialect(), MysqlDialect(), OracleDialect(), TsqlDialect())
}
