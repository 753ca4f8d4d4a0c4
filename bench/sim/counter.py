"""The server side of photos: tus in small."""

from dataclasses import dataclass, field
from hashlib import sha256

from sync.shelf import Heard, OwnFile


@dataclass
class Counter:
    """Where photos arrive: uploads by address, each with its name and what came of it, and whole ones by name."""

    uploads: dict[str, tuple[str, int, bytes]] = field(default_factory=dict[str, tuple[str, int, bytes]])
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])

    def create(self, file: OwnFile) -> Heard:
        """Answer an announcement."""
        if file.sha256 in self.blobs:
            return Heard(201, offset=file.size, location=file.sha256)
        self.uploads.setdefault(file.sha256, (file.sha256, file.size, b""))
        return Heard(201, offset=len(self.uploads[file.sha256][2]), location=file.sha256)

    def head(self, address: str) -> Heard:
        """Say how far an upload has come."""
        if address not in self.uploads:
            return Heard(404)
        return Heard(200, offset=len(self.uploads[address][2]))

    def patch(self, address: str, offset: int, piece: bytes) -> Heard:
        """Take a piece."""
        if address not in self.uploads:
            return Heard(404)
        name, size, known = self.uploads[address]
        if offset != len(known):
            return Heard(409, "upload_offset")
        self.uploads[address] = (name, size, known + piece)
        if offset + len(piece) == size and sha256(known + piece).hexdigest() == name:
            self.blobs[name] = known + piece
        return Heard(204, offset=offset + len(piece))
