"""Every number an import obeys, in one place."""

from typing import Final

FILE_BYTES: Final = 100 * 1024 * 1024
"""The largest file taken."""
UNPACKED_BYTES: Final = 500 * 1024 * 1024
"""What an XLSX may unpack to; a small file can hold a very large one."""
ROWS_MAXIMUM: Final = 200_000
"""Rows of one file. Memory grows with the records of a run (about half a kilobyte each), nothing else does."""
COLUMNS_MAXIMUM: Final = 500
CELL_LENGTH: Final = 10_000
MERGED_RANGES_MAXIMUM: Final = 20_000
HEADER_ROWS_TRIED: Final = 20
"""How far down a heading row is looked for, under titles and remarks."""
MAPPING_BYTES: Final = 256 * 1024
RECORDS_A_ROW_MAXIMUM: Final = 20
"""Records one mapping may make of a row."""

PORTION_ROWS_MAXIMUM: Final = 500
"""Rows written, stamped and committed together; other writers get their turn in between."""
QUERY_KEYS_MAXIMUM: Final = 500
"""Keys named in one IN list."""
ATOMIC_ROWS_MAXIMUM: Final = 20_000
"""Rows of an all-or-nothing import, which holds one transaction (and on SQLite the only writer) to its end."""
UPLOADED_ROWS_MAXIMUM: Final = 5_000
"""Rows of a file sent to the server; larger files are for the command."""
REFUSALS_ANSWERED_MAXIMUM: Final = 500
"""Refused rows listed in an answer of the server; the command lists all."""
PORTION_REMOVALS_MAXIMUM: Final = 500
OBSTACLES_NAMED_MAXIMUM: Final = 100
"""What stands in the way of an undo, named at most this often."""

ADDRESSES_A_RUN_MAXIMUM: Final = 500
"""Addresses one import asks the geocoder for; the rest are listed for a person, or asked for by the next run."""
SILENCES_MAXIMUM: Final = 3
"""Questions in a row a geocoder may leave unanswered before it is left alone for this run."""
EXCEL_DAYS: Final = (20_000, 80_000)
"""Plain numbers read as days of Excel's calendar: 1954 to 2119."""
