"""Errors of the server that pass by themselves, or with help elsewhere: the same rows may go
through then. Everything else would be refused again.

By errno: https://mariadb.com/kb/en/mariadb-error-code-reference/, and from 3000 on also
https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html
"""

from __future__ import annotations

CONNECTION = frozenset(
    {
        *(1040, 1042, 1043, 1047, 1129, 1130, 1135, 1203, 1226),  # no room for us, or none yet
        *(1053, 1077, 1078, 1079, 1080, 1094, 1927, 3169, 4031),  # shutting down, or we were ended
        *(1081, 1152, *range(1154, 1162), 1184, 1189, 1190),  # the network
        *range(2000, 3000),  # the client's own
    }
)
RIGHTS = frozenset(
    {1044, 1045, 1095, 1142, 1143, 1227, 1251, 1275, 1370, 1524, 1698, 1820, 1862, 3118, 4151}
)
"""Somebody revoked or changed them."""
RESOURCES = frozenset(
    {
        *range(1, 1000),  # the server's own files and memory, as a full tmpdir
        *(1021, 1026, 1030, 1114),  # the disk, or what the storage engine says of it
        *(1015, 1016, 1023, 1024, 1028),  # files
        *(1037, 1038, 1041, 1206),  # memory
        *(1194, 1195),  # a table that needs repair
    }
)
READ_ONLY = frozenset({1036, 1290, 1792, 1836, 1874, 3100, 3101, 3168})
"""A replica, a primary that is about to become one, or a member of a cluster that has left it."""
LOGGING = frozenset({1534, 1598, *range(1661, 1667), 1785})
"""How the server is set to log, and what became of its log."""
LOCKS = frozenset(
    {
        *(1020, 1192, 1205, 1213, 1223, 1317, 1613, 1614, 1637, 1964, 1969, 3024, 3058, 3572),
        *(1180, 1181),  # a commit or a rollback that failed, as in a cluster
    }
)
"""Other transactions, or somebody who ended the statement."""
DEFINITIONS = frozenset({1007, 1046, 1049, 1050, 1054, 1146, 1243, 1412, 1615})
"""A table was made, altered or dropped meanwhile: the next preparation says what is wrong."""

PASSING = CONNECTION | RIGHTS | RESOURCES | READ_ONLY | LOGGING | LOCKS | DEFINITIONS
