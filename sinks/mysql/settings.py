"""What an operator declares of a MariaDB or MySQL target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from cdc.mysql.settings import MysqlUrl
from sinks.mysql.products import MARIADB, MYSQL, Product


class MariadbTarget(BaseModel):
    """A MariaDB server that is written. url: for a user that may create and write tables."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    product: ClassVar[Product] = MARIADB

    type: Literal["mariadb"]
    url: MysqlUrl


class MysqlTarget(BaseModel):
    """A MySQL server that is written. url: for a user that may create and write tables."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    product: ClassVar[Product] = MYSQL

    type: Literal["mysql"]
    url: MysqlUrl
