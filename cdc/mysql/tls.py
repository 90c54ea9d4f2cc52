"""TLS where a server offers it and the url names no CA: encrypted, and nobody is verified."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any

from pymysql.connections import Connection


class OfferedTls(Connection):
    """Makes the TLS context of such connections once. PyMySQL makes one for each, and has it load
    all certificates of the system, none of which is asked: 20 ms of CPU."""

    def _create_ssl_ctx(self, sslp: Mapping[str, Any]) -> ssl.SSLContext:
        if sslp:
            inherited: Any = super()
            context: ssl.SSLContext = inherited._create_ssl_ctx(sslp)
            return context
        return _unverified()


@cache
def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
