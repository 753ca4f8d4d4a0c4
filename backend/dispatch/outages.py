"""Real outages as a CSV of a month: who called, when, from where, and how long the work takes."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from backend.core.clock import parse_instant

ZONE: Final = ZoneInfo("America/New_York")
"""The clock of the network these outages come from; its days begin at midnight there."""
SHORTEST: Final = timedelta(minutes=20)
LONGEST: Final = timedelta(minutes=120)
"""On-site time is the outage's own length, clipped to these."""
URGENT_CATEGORY: Final = "BROKEN"
TECHNICIANS: Final = 32
"""How many meet these outages unless somebody asks for others."""
SHIFT_STARTS: Final = (time(6), time(14), time(22))
SHIFT_HOURS: Final = timedelta(hours=8)
"""Three turns around the clock; a technician is always on the same."""
ELEVATOR_EVERY: Final = 4
"""Every fourth technician may work on elevators."""
COLUMNS: Final = (
    "unit_id", "unit_type", "station_code", "lat", "lon", "opened_utc", "hours", "first_category", "symptom_path"
)  # fmt: skip


class OutagesError(ValueError):
    """A folder or file that holds no outages we can read; the message says where and what was looked for."""


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


def find_files(folder: Path) -> tuple[Path, Path]:
    """Return (outages, units) of a data folder; raises OutagesError."""
    outages = sorted(folder.glob("work_orders*.csv"))
    units = folder / "units.csv"
    if not outages or not units.is_file():
        raise OutagesError(
            f"{folder}: 需要 work_orders_<月份>.csv 和 units.csv / expected work_orders_<month>.csv and units.csv"
        )
    return outages[0], units


def read_outages(folder: Path, days: int) -> tuple[datetime, list[Outage]]:
    """Read the first `days` whole days (at the stations' own clock) of a month of outages, oldest first.

    Returns the midnight they begin with, and the outages. Raises OutagesError.
    """
    path, _ = find_files(folder)
    numbered = _read(path)
    if not numbered:
        raise OutagesError(f"{path}: 没有故障记录 / no outages")
    starts_at = _first_midnight(numbered[0].received_at)
    ends_at = starts_at + timedelta(days=days)
    found = [outage for outage in numbered if starts_at <= outage.received_at < ends_at]
    if not found:
        raise OutagesError(f"{path}: 没有一整天的记录 / no whole day of outages")
    return starts_at, found


def middle(outages: Sequence[Outage]) -> tuple[float, float]:
    """Return the median latitude and longitude: the middle of the network."""
    latitudes, longitudes = sorted(outage.lat for outage in outages), sorted(outage.lon for outage in outages)
    return latitudes[len(latitudes) // 2], longitudes[len(longitudes) // 2]


def _read(path: Path) -> list[Outage]:
    """Return every outage of the file, numbered in the order they were reported."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                names = ", ".join(missing)
                raise OutagesError(f"{path}: 缺少列 {names} / the columns {names} are missing")
            rows = [(line, row) for line, row in enumerate(reader, start=2)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise OutagesError(f"{path}: 不是 UTF-8 的 CSV / not a CSV in UTF-8 ({error})") from error
    rows.sort(key=lambda numbered: str(numbered[1]["opened_utc"]))
    return [_outage(path, line, number, row) for number, (line, row) in enumerate(rows)]


def _first_midnight(first: datetime) -> datetime:
    midnight = datetime.combine(first.astimezone(ZONE).date(), time.min, ZONE)
    return (midnight if midnight == first else midnight + timedelta(days=1)).astimezone(UTC)


def _outage(path: Path, line: int, number: int, row: dict[str, str]) -> Outage:
    try:
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
    except (ValueError, TypeError, OverflowError) as error:
        raise OutagesError(f"{path}: 第 {line} 行无法读取 / line {line} cannot be read ({error})") from error
