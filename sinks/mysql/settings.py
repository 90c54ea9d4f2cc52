"""What an operator declares of a MariaDB target (`targets:` in tailrace.yml)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from cdc.mysql.settings import MysqlUrl


class MariadbTarget(BaseModel):
    """A MariaDB server that is written. url: for a user that may create and write tables."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    type: Literal["mariadb"]
    url: MysqlUrl
