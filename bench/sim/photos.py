"""Photos of a signature: sent in pieces over lines that break, and all there in the end (see bench.sim.counter)."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from bench.sim.company import Carried, Company
from bench.sim.promises import keep
from sync.shelf import OwnFile, Sent, Step, Turn, arrived, first_step, heard, to_send, waits_again

PIECE: Final = 4
"""Bytes a phone sends at a time."""
STEPS: Final = 50
"""Requests for one file after which it must have come to an end."""
ENDS: Final = (Step.SENT, Step.REFUSED, Step.LATER)


def photo_of(mutation_id: str, number: int) -> bytes:
    """Return the bytes of a photo."""
    return f"photo {number} of {mutation_id}"[:20].encode() + bytes([number])


def note_photos(carried: Carried, photos: list[bytes]) -> tuple[str, ...]:
    """Put photos on the phone's shelf; return their names."""
    names = tuple(sha256(photo).hexdigest() for photo in photos)
    for name, photo in zip(names, photos, strict=True):
        carried.photos[name] = photo
        carried.files[name] = OwnFile(name, len(photo), "image/png")
    return names


async def upload(company: Company, phone: int, cut: int) -> None:
    """Send what the phone has to send; after `cut` bytes the line breaks once (0: it holds)."""
    carried = company.phones[phone]
    replica = carried.handset.replica
    if replica.wiped or carried.handset.device in company.books.revoked:
        return
    sending = _Sending(company, carried, cut)
    for file in to_send(carried.files, replica):
        sending.carry(file)


def check_photos(company: Company, carried: Carried) -> None:
    """Every photo of work that was done on this phone is there, with its own bytes."""
    for done in carried.made:
        for name in company.photographed.get(done, ()):
            keep(16, name in company.counter.blobs, f"a photo of {done} is missing")


@dataclass
class _Sending:
    company: Company
    carried: Carried
    cut: int
    sent: int = 0
    cuts: int = 0

    def carry(self, file: OwnFile) -> None:
        """Take one file as far as it goes; it is noted after each step."""
        turn, furthest, before, cuts = Turn(file, first_step(file)), 0, self.sent, self.cuts
        for _ in range(STEPS):
            if turn.step in ENDS:
                break
            turn = self._taken(turn)
            self.carried.files[file.sha256] = turn.file
            if turn.step is Step.PATCH:
                keep(17, turn.offset >= furthest, f"{furthest} became {turn.offset}")
                furthest = turn.offset
        keep(17, turn.step is Step.SENT, f"{file.sha256} came to no end")
        keep(17, self.sent - before <= file.size + (self.cuts - cuts) * PIECE, "more was sent again than a piece")
        replica = self.carried.handset.replica
        mark = Sent(self.company.now, replica.identity.incarnation, replica.outbox.next_n - 1, replica.rewinds)
        self.carried.files[file.sha256] = arrived(turn.file, mark)

    def _taken(self, turn: Turn) -> Turn:
        file, counter = turn.file, self.company.counter
        if turn.step is Step.HAVE:
            had = file.sha256 in counter.blobs
            return Turn(file, Step.SENT) if had else Turn(waits_again(file), Step.CREATE)
        if turn.step is Step.PATCH:
            piece = self.carried.photos[file.sha256][turn.offset : turn.offset + PIECE]
            self.sent += len(piece)
            if self.cut and self.sent >= self.cut:
                self.cut, self.cuts = 0, self.cuts + 1
                counter.patch(file.upload or "", turn.offset, piece[: len(piece) // 2])
                return Turn(file, Step.HEAD)
            return heard(file, turn.step, counter.patch(file.upload or "", turn.offset, piece))
        said = counter.create(file) if turn.step is Step.CREATE else counter.head(file.upload or "")
        return heard(file, turn.step, said)
