"""What an operator declares of a MariaDB or MySQL target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from typing import ClassVar, Literal

from cdc.mysql.settings import MysqlUrl
from sinks.mysql.products import MARIADB, MYSQL, Product
from sinks.settings import TargetSettings


class MariadbTarget(TargetSettings):
    """A MariaDB server that is written. url: for a user that may create and write tables."""

    product: ClassVar[Product] = MARIADB

    type: Literal["mariadb"]
    url: MysqlUrl


class MysqlTarget(TargetSettings):
    """A MySQL server that is written. url: for a user that may create and write tables."""

    product: ClassVar[Product] = MYSQL

    type: Literal["mysql"]
    url: MysqlUrl
