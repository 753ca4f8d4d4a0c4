"""Every number sync obeys, in one place."""

from typing import Final

SCHEMA: Final = 1
"""The wire schema of rows and mutations this code speaks."""
PULL_SCHEMAS_BACK: Final = 2
"""Older schemas a pull still serves; a phone further back is told to upgrade (its pushes are taken all the same)."""

PULL_BYTES: Final = 1_048_576
"""Row bytes of a page when the phone names no limit."""
PULL_BYTES_LEAST: Final = 4_096
"""Less would make a page of every row."""
PULL_BYTES_MOST: Final = 4_194_304
"""The largest page a phone may ask for; one that names more gets this."""
PULL_ENTRIES: Final = 2_000
"""Entries fetched from the store at a time while a page fills."""
DELETIONS_KEPT_DAYS: Final = 90
"""Days a deletion is kept for phones that have not heard of it; one that stayed away longer compares all its rows."""
VIEWS_KEPT: Final = 4
"""Views of a device the server remembers: the one it proved to hold, and the newest it may have received."""
VIEW_ATTEMPTS: Final = 5
"""Pulls of one device that overtake each other before one of them is told to come again."""

RECONCILE_BYTES: Final = 4_194_304
"""Bytes of an inventory."""
RECONCILE_ROWS: Final = 20_000
"""Rows a phone lists at a time, unless a single bucket has more; the next question lists the next buckets."""

PUSH_MUTATIONS: Final = 500
"""Mutations in a push."""
COLLISIONS_MOST: Final = 3
"""Times a push is begun anew after it and another transaction waited for each other."""
PUSH_BYTES: Final = 4_194_304
"""Bytes of a push, uncompressed; the route refuses a larger body with 413."""
N_MOST: Final = 2_147_483_647
"""The highest number of a mutation (storage keeps 32 bits)."""
RESCUE_BYTES: Final = 20_971_520
"""Bytes of a raw queue that is rescued."""
SUCCESSOR_HOPS: Final = 8
"""Records merged into one another that an edit follows."""
GRANT_DAYS: Final = 30
"""Days after a bucket left a device's scope during which its edits are still taken without a person looking."""

CODE_MINUTES: Final = 10
"""How long an enrolment code may be used."""
DEVICES_A_PERSON: Final = 3
"""Active phones a person may have."""
INCARNATIONS_A_DEVICE: Final = 100
"""Times a phone may begin a new ledger."""
PREFIX_ATTEMPTS: Final = 20
"""Candidates tried for a phone's number prefix before the server gives up."""

CLOCK_FLAG_SECONDS: Final = 120
"""A device time corrected by more than this is flagged for a person."""

# What a phone does; a client copied from ours should keep these.
BATCH_MUTATIONS: Final = 200
"""Mutations a phone sends at a time."""
BATCH_BYTES: Final = 1_048_576
"""Bytes of mutations a phone sends at a time (one that is larger goes alone)."""
RETRY_SECONDS: Final = (1.0, 2.0, 4.0, 8.0)
"""Pauses between attempts to send the same bytes; after the last the phone stays offline until asked again."""
RETRY_SECONDS_MOST: Final = 60.0
"""The longest pause a server may ask for within one contact."""
CONTACT_ROUNDS: Final = 10_000
"""Requests in one contact; a server that never lets a phone finish ends it."""
KEPT_DAYS: Final = 30
"""Days a phone keeps what the server acknowledged, where it never heard of a backup; else until a backup holds it."""
CONTACT_RESTARTS: Final = 3
"""Times in one contact that a phone begins a pull anew or takes a new incarnation."""
UPLOAD_PIECE_BYTES: Final = 4_194_304
"""Bytes of a file a phone sends in one request."""
FILE_READ_BYTES: Final = 65_536
"""Bytes of a file a phone has in memory at a time."""
FILE_REPEATS: Final = 3
"""Times in a row that a file's upload or download is begun anew, or brings nothing, before it waits for the next."""
HAVE_FILES: Final = 100
"""Files a phone asks about at a time."""
