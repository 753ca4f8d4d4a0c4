"""The week's input: outages read from a CSV, the crews that will meet them, and how long each takes."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from backend.dispatch.outages import (
    ELEVATOR_EVERY,
    SHIFT_HOURS,
    SHIFT_STARTS,
    TECHNICIANS,
    ZONE,
    Outage,
    middle,
    read_outages,
)

DAYS: Final = 7


@dataclass(frozen=True)
class TechnicianShift:
    """Eight hours of one technician, who starts from the middle of the network."""

    technician: int
    starts_at: datetime
    elevator: bool

    @property
    def ends_at(self) -> datetime:
        """The end of the shift."""
        return self.starts_at + SHIFT_HOURS


@dataclass(frozen=True)
class Week:
    """Everything that happens from outside."""

    starts_at: datetime
    outages: list[Outage]
    depot: tuple[float, float]
    shifts: list[TechnicianShift]

    @property
    def ends_at(self) -> datetime:
        """When the last requests of the week have had their 48 hours, and a margin to see who came late."""
        return self.starts_at + timedelta(days=DAYS + 3)


def read_week(folder: Path) -> Week:
    """Read the first seven whole days (at the stations' own clock) of a month of outages; raises OutagesError."""
    starts_at, outages = read_outages(folder, DAYS)
    return Week(starts_at, outages, middle(outages), list(_shifts(starts_at)))


def _shifts(starts_at: datetime) -> list[TechnicianShift]:
    """Thirty-two shifts a day in three turns, each technician always on the same turn, for as long as the run lasts."""
    first_day = starts_at.astimezone(ZONE).date()
    return [
        TechnicianShift(
            technician=technician,
            starts_at=datetime.combine(
                first_day + timedelta(days=day), SHIFT_STARTS[technician % len(SHIFT_STARTS)], ZONE
            ).astimezone(UTC),
            elevator=technician % ELEVATOR_EVERY == 0,
        )
        for day in range(-1, DAYS + 3)
        for technician in range(TECHNICIANS)
    ]
