"""Every number an import obeys, in one place."""

from datetime import timedelta
from typing import Final

FILE_BYTES: Final = 100 * 1024 * 1024
"""The largest file taken."""
UNPACKED_BYTES: Final = 500 * 1024 * 1024
"""What an XLSX may unpack to; a small file can hold a very large one."""
ROWS: Final = 200_000
"""Rows of one file. Memory grows with the records of a run (about half a kilobyte each), nothing else does."""
COLUMNS: Final = 500
CELL_CHARACTERS: Final = 10_000
MERGED_RANGES: Final = 20_000
HEADER_SEARCH_ROWS: Final = 20
"""How far down a heading row is looked for, under titles and remarks."""
MAPPING_BYTES: Final = 256 * 1024
RECORDS_A_ROW: Final = 20
"""Records one mapping may make of a row."""

ROWS_A_TRANSACTION: Final = 500
"""Rows written, stamped and committed together; other writers get their turn in between."""
KEYS_A_QUERY: Final = 500
"""Keys named in one IN list."""
ATOMIC_ROWS: Final = 20_000
"""Rows of an all-or-nothing import, which holds one transaction (and on SQLite the only writer) to its end."""
UPLOADED_ROWS: Final = 5_000
"""Rows of a file sent to the server; larger files are for the command."""
REFUSALS_ANSWERED: Final = 500
"""Refused rows listed in an answer of the server; the command lists all."""
REMOVALS_A_TRANSACTION: Final = 500
OBSTACLES_NAMED: Final = 100
"""What stands in the way of an undo, named at most this often."""

ADDRESSES_A_RUN: Final = 500
"""Addresses one import asks the geocoder for; the rest are listed for a person, or asked for by the next run."""
SILENCES: Final = 3
"""Questions in a row a geocoder may leave unanswered before it is left alone for this run."""
EXCEL_DAYS: Final = (20_000, 80_000)
"""Plain numbers read as days of Excel's calendar: 1954 to 2119."""
FUTURE: Final = timedelta(minutes=5)
"""How far ahead of our clock a fault may have been reported; clocks differ."""
