"""Where the present comes from: the system, or the file an acceptance run steps.

Nothing else in the backend asks for it.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from backend.settings import Settings


class Clock(Protocol):
    """Answers the present as an aware UTC instant."""

    def now(self) -> datetime:
        """Return the present, aware, in UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the machine's present."""
        return datetime.now(UTC)


class FileClock:
    """A simulated present, read from a file holding one RFC 3339 instant.

    Settings refuse it outside acceptance runs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def now(self) -> datetime:
        """Return the instant written in the file; raises ValueError when the file holds none."""
        return parse_instant(self._path.read_text("utf-8").strip())


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 instant; raises ValueError for one without an offset: a guess would be hours off."""
    instant = datetime.fromisoformat(text)
    if instant.tzinfo is None:
        msg = f"an instant needs an offset such as Z or +08:00: {text!r}"
        raise ValueError(msg)
    return instant.astimezone(UTC)


def clock_of(settings: Settings) -> Clock:
    """The clock an installation runs on."""
    return FileClock(settings.clock_file) if settings.clock_file else SystemClock()
