"""The database itself: its engine, sessions, locks, clocks and files."""

import ctypes
from contextlib import suppress

_MEMORY_STATISTICS = 9
"""SQLITE_CONFIG_MEMSTATUS of sqlite3.h."""

# To count its bytes, SQLite takes one lock for each piece of memory, of all connections: where two
# threads read a file, that is a fifth of the export's time. SQLite's makers recommend to do without
# (sqlite.org/compile.html). It is refused once Python's module has been imported: hence here.
with suppress(OSError):
    ctypes.CDLL("libsqlite3.so.0").sqlite3_config(_MEMORY_STATISTICS, 0)
