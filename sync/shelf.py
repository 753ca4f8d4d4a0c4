"""The files a phone made: which are sent, what an answer means for one, and until when it is kept. Pure.

Bytes travel apart from the work that names them, by tus 1.0. How far an upload has come is the server's to say, at
every step; the phone notes only where the upload is.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec
from msgspec.structs import replace

from sync.limits import KEPT_DAYS
from sync.replica import Replica
from sync.texts import Text

GONE: Final = frozenset((404, 410))
"""The upload expired, or a restored server lost it."""
NEVER_TAKEN: Final = frozenset((400, 412, 413, 415))
"""Sending it again would end the same way: a person has to see it."""
WRONG_BYTES: Final = (422, "blob_hash_mismatch")
OFFSET_WRONG: Final = frozenset(((409, "upload_offset"), (460, "upload_checksum")))


DAMAGED: Final = "damaged_on_phone"
DAMAGED_TEXT: Final = Text("照片在手机上已损坏,无法发送。", "The file was damaged on the phone; it cannot be sent.")


class FileState(StrEnum):
    """Where a file of the phone's own is."""

    WAITING = "waiting"
    SENT = "sent"
    REFUSED = "refused"
    """It will never be taken as it is; `text` tells a person why."""


class Sent(msgspec.Struct, frozen=True):
    """When the server had all of it: the numbers the phone had given then, and restores it had lived through."""

    at: datetime
    incarnation: str
    made_n: int
    rewinds: int


class OwnFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file made on this phone, named by its bytes. `upload` is the address of its upload, once one was begun."""

    sha256: str
    size: int
    media_type: str
    state: FileState = FileState.WAITING
    upload: str | None = None
    code: str = ""
    text: Text | None = None
    sent: Sent | None = None


class Step(StrEnum):
    """What is done next for a file."""

    HAVE = "have"
    """Ask whether the server has it still: it was sent before a restore."""
    CREATE = "create"
    """Announce it: POST, with length and sha256. That alone is enough where the server has the bytes."""
    HEAD = "head"
    """Ask how far the upload has come."""
    PATCH = "patch"
    """Send bytes from the offset on."""
    READ = "read"
    """Compare the file with its name: what arrived was something else."""
    SENT = "sent"
    REFUSED = "refused"
    LATER = "later"
    """Leave it as it is, for the next contact."""


class Heard(msgspec.Struct, frozen=True, omit_defaults=True):
    """The parts of an answer that matter: status, code of the refusal, Upload-Offset, Location."""

    status: int
    code: str = ""
    offset: int | None = None
    location: str | None = None
    text: Text | None = None


class Turn(msgspec.Struct, frozen=True):
    """The file after an answer, and what to do next; `offset` is where a PATCH begins."""

    file: OwnFile
    step: Step
    offset: int = 0


def to_send(files: Mapping[str, OwnFile], replica: Replica) -> list[OwnFile]:
    """Return the files that have to be sent or asked after, those of work the server has first, in its order."""
    items = sorted(replica.outbox.items.values(), key=lambda item: item.result is None)
    named = dict.fromkeys(name for item in items for name in item.mutation.blobs)
    return [files[name] for name in named if name in files and _is_missing(files[name], replica.rewinds)]


def first_step(file: OwnFile) -> Step:
    """Return how to begin with a file that has to be sent."""
    if file.state is FileState.SENT:
        return Step.HAVE
    return Step.HEAD if file.upload else Step.CREATE


def waits_again(file: OwnFile) -> OwnFile:
    """Return a file whose bytes a restored server lost."""
    return replace(file, state=FileState.WAITING, upload=None, sent=None)


def arrived(file: OwnFile, sent: Sent) -> OwnFile:
    """Return a file of which the server has all bytes."""
    return replace(file, state=FileState.SENT, upload=None, sent=sent)


def refused(file: OwnFile, code: str, text: Text | None) -> OwnFile:
    """Return a file that is not sent any more."""
    return replace(file, state=FileState.REFUSED, upload=None, code=code, text=text)


def damaged(file: OwnFile) -> OwnFile:
    """Return a file whose bytes the phone itself cannot read any more, or which are not those of its name."""
    return refused(file, DAMAGED, DAMAGED_TEXT)


def heard(file: OwnFile, step: Step, answer: Heard) -> Turn:
    """Take the answer to a CREATE, HEAD or PATCH; whether a file that is `sent` arrived is noted by `arrived`."""
    if 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's
        return _went_on(file, step, answer)
    if answer.status in GONE and step is not Step.CREATE:
        return Turn(replace(file, upload=None), Step.CREATE)
    if (answer.status, answer.code) in OFFSET_WRONG and step is not Step.CREATE:
        return Turn(file, Step.HEAD)
    if (answer.status, answer.code) == WRONG_BYTES:
        return Turn(replace(file, upload=None), Step.READ)
    if answer.status in NEVER_TAKEN:
        return Turn(refused(file, answer.code, answer.text), Step.REFUSED)
    return Turn(file, Step.LATER)


def unsafe(files: Mapping[str, OwnFile], replica: Replica, now: datetime) -> set[str]:
    """Return the files the server has not, or may lose; work that names them is kept, and so are they.

    A backup that holds work made after the file had arrived holds the file. Where none is heard of, 30 days are enough.
    """
    return {name for name, file in files.items() if not _is_safe(file, replica, now)}


def to_drop(files: Mapping[str, OwnFile], kept: Iterable[str], unsafe_files: Iterable[str]) -> list[str]:
    """Return the files no work needs that is kept (`sync.keeping.files_kept`) and the server cannot lose."""
    needed = {*kept, *unsafe_files}
    return [name for name in files if name not in needed]


def _went_on(file: OwnFile, step: Step, answer: Heard) -> Turn:
    upload = answer.location if step is Step.CREATE else file.upload
    if answer.offset is None or upload is None:
        return Turn(file, Step.LATER)
    if answer.offset >= file.size:
        return Turn(file, Step.SENT)
    return Turn(replace(file, upload=upload), Step.PATCH, answer.offset)


def _is_missing(file: OwnFile, rewinds: int) -> bool:
    if file.state is FileState.SENT:
        return file.sent is None or file.sent.rewinds != rewinds
    return file.state is FileState.WAITING


def _is_safe(file: OwnFile, replica: Replica, now: datetime) -> bool:
    if file.sent is None or _is_missing(file, replica.rewinds):
        return False
    if replica.holding.durable is None:
        return now - file.sent.at > timedelta(days=KEPT_DAYS)
    incarnation, n = replica.holding.durable
    if incarnation == file.sent.incarnation:
        return n > file.sent.made_n
    return incarnation == replica.identity.incarnation
