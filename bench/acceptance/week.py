"""The week's input: outages read from a CSV, the crews that will meet them, and how long each takes."""

import csv
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from backend.core.clock import parse_instant

ZONE: Final = ZoneInfo("America/New_York")
DAYS: Final = 7
SHORTEST: Final = timedelta(minutes=20)
LONGEST: Final = timedelta(minutes=120)
"""On-site time is the outage's own length, clipped to these."""
TECHNICIANS: Final = 32
SHIFT_STARTS: Final = (time(6), time(14), time(22))
SHIFT_HOURS: Final = timedelta(hours=8)
ELEVATOR_EVERY: Final = 4
"""Every fourth technician may work on elevators."""
URGENT_CATEGORY: Final = "BROKEN"


class WeekError(ValueError):
    """The data folder holds no week of outages; the message says what was looked for."""


@dataclass(frozen=True)
class Outage:
    """One real outage: the unit, its station, when it was reported, and how long the work on site takes."""

    number: int
    unit_id: str
    unit_type: str
    station_code: str
    lat: float
    lon: float
    received_at: datetime
    on_site: timedelta
    category: str
    symptom: str

    @property
    def skill(self) -> str:
        """The skill the work asks for."""
        return self.unit_type.lower()

    @property
    def urgent(self) -> bool:
        """A broken elevator shuts people in or out: it is planned at once."""
        return self.unit_type == "ELEVATOR" and self.category == URGENT_CATEGORY


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


def find_files(folder: Path) -> tuple[Path, Path]:
    """Return (outages, units) of a data folder; raises WeekError."""
    outages = sorted(folder.glob("work_orders*.csv"))
    units = folder / "units.csv"
    if not outages or not units.is_file():
        msg = f"{folder}: expected work_orders_<month>.csv and units.csv"
        raise WeekError(msg)
    return outages[0], units


def read_week(folder: Path) -> Week:
    """Read the first seven whole days (at the stations' own clock) of a month of outages; raises WeekError."""
    path, _ = find_files(folder)
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["opened_utc"])
    if not rows:
        msg = f"{path}: no outages"
        raise WeekError(msg)
    starts_at = _first_midnight(parse_instant(rows[0]["opened_utc"]))
    ends_at = starts_at + timedelta(days=DAYS)
    outages = [
        _outage(number, row)
        for number, row in enumerate(rows)
        if starts_at <= parse_instant(row["opened_utc"]) < ends_at
    ]
    depot = (_middle([outage.lat for outage in outages]), _middle([outage.lon for outage in outages]))
    return Week(starts_at, outages, depot, list(_shifts(starts_at)))


def _first_midnight(first: datetime) -> datetime:
    midnight = datetime.combine(first.astimezone(ZONE).date(), time.min, ZONE)
    return (midnight if midnight == first else midnight + timedelta(days=1)).astimezone(UTC)


def _outage(number: int, row: dict[str, str]) -> Outage:
    return Outage(
        number=number,
        unit_id=row["unit_id"],
        unit_type=row["unit_type"],
        station_code=row["station_code"],
        lat=float(row["lat"]),
        lon=float(row["lon"]),
        received_at=parse_instant(row["opened_utc"]),
        on_site=min(max(timedelta(hours=float(row["hours"] or 0)), SHORTEST), LONGEST),
        category=row["first_category"],
        symptom=row["symptom_path"],
    )


def _middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


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
