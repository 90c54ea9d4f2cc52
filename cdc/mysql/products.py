"""The products that are read, by what a source declares."""

from __future__ import annotations

from cdc.mysql.on_mariadb import OnMariadb
from cdc.mysql.on_mysql import OnMysql
from cdc.mysql.product import Product
from cdc.mysql.settings import BinlogSource


def product_of(settings: BinlogSource) -> Product:
    return OnMysql() if settings.type == "mysql" else OnMariadb()
