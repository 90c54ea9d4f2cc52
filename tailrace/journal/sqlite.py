"""The embedded journal: a SQLite index with small entries inside and large ones in segment files.

An append is durable in this order: large payloads, flushed; then one SQLite commit that names
them. A crash between the two leaves bytes that nothing names. Pruning goes the other way round:
first the index forgets, then files are unlinked.
"""

from tailrace.journal.sqlite_reader import SqliteReader
from tailrace.journal.sqlite_writer import SqliteWriter

__all__ = ["SqliteReader", "SqliteWriter"]
