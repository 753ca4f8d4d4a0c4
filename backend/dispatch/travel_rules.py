"""Travel's words and numbers: zones, hours of the week, which trips are believed, how a road answer becomes a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, Literal, TypeAlias
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from routing.problem import EstimatedTravel, GivenTravel, Pace, Place, ZoneFactor
from routing.travel.estimate import CoordinateEstimate, great_circle_metres, unit_vectors
from routing.travel.learn import Trips

DayType: TypeAlias = Literal["workday", "weekend"]
DAY_TYPES: Final[tuple[DayType, DayType]] = ("workday", "weekend")
HOURS: Final = 24
ONE_HOUR: Final = timedelta(hours=1)
SATURDAY: Final = 6
ZONE_DEGREES: Final = 0.05
"""Places in no territory are in a square of so many degrees, about 5 km."""
MOST_TABLE_PLACES: Final = 1_000
"""Places up to which a plan is given a table of roads; a larger one gets the estimate, fitted to the roads."""
FITTED_PLACES: Final = 200
"""Places of a larger plan whose legs the estimate is fitted to."""
LEAST_FIT_SECONDS: Final = 60
"""Shorter legs say little about speed."""
NO_ROAD: Final = -1
UNASKED: Final = -2
"""In a table of roads: no road leads there, or nobody has asked whether one does."""

TRIPS_SINCE: Final = timedelta(days=180)
"""How old a trip may be; roads and people change."""
MOST_TRIPS: Final = 5_000
"""The newest so many are learnt from; the figures no longer move with more (docs/decisions/0207)."""
LONGEST_STAY: Final = timedelta(minutes=20)
"""Who left within this after finishing set out from there; who left later may have been anywhere."""
SHIFT_BEGIN: Final = timedelta(minutes=30)
"""Who first left this close to the shift's begin set out from where it starts."""
LEAST_TRIP, MOST_TRIP = timedelta(minutes=1), timedelta(hours=3)
LEAST_TRIP_METRES, MOST_TRIP_METRES = 300.0, 200_000.0
MOST_RATIO: Final = 6.0
"""A trip that took more than so many times the estimate, or less than that part of it, was reported wrongly."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place trips begin or end at."""

    latitude: float
    longitude: float
    zone: str


@dataclass(frozen=True, slots=True)
class Trip:
    """A finished trip."""

    origin: Spot
    destination: Spot
    departed_at: datetime
    arrived_at: datetime
    time_zone: str

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.arrived_at - self.departed_at).total_seconds()


def zone_of(territory_id: UUID | None, latitude: float, longitude: float) -> str:
    """Return the zone of a place: its territory, else the square it lies in."""
    if territory_id is not None:
        return str(territory_id)
    return f"cell:{int(latitude // ZONE_DEGREES)}:{int(longitude // ZONE_DEGREES)}"


def slot_of(at: datetime, zone: str, exceptions: Mapping[date, bool]) -> int:
    """Return the hour of the week's two kinds of day at `at`; `exceptions` are days that are not like their weekday."""
    wall = at.astimezone(ZoneInfo(zone))
    working = exceptions.get(wall.date(), wall.isoweekday() < SATURDAY)
    return wall.hour if working else HOURS + wall.hour


def slot_words(slot: int) -> tuple[DayType, int]:
    """Return the kind of day and the hour of a slot."""
    return DAY_TYPES[slot // HOURS], slot % HOURS


def slot_number(day_type: str, hour: int) -> int:
    """Return the slot of an hour of a kind of day."""
    return DAY_TYPES.index("workday" if day_type == "workday" else "weekend") * HOURS + hour


def pace_of(
    per_mille: Mapping[int, int], *, now: datetime, until: datetime, zone: str, exceptions: Mapping[date, bool]
) -> Pace | None:
    """Return the pace of each hour of the horizon as second 0 = `now` counts them; None where nothing is learnt.

    Hours begin on the hour on the wall, which full-hour offsets share with UTC; elsewhere the first one is cut.
    """
    if not per_mille:
        return None
    wall = now.astimezone(ZoneInfo(zone))
    begins = -(wall.minute * 60 + wall.second)
    first = now + timedelta(seconds=begins)
    count = max(1, -(-int((until - first) / timedelta(seconds=1)) // 3600))
    slots = (slot_of(first + number * ONE_HOUR, zone, exceptions) for number in range(count))
    return Pace(begins=begins, per_mille=tuple(per_mille.get(slot, 1_000) for slot in slots))


def straight_metres(trips: Sequence[Trip]) -> NDArray[np.float64]:
    """Return the great-circle metres of trips."""
    return great_circle_metres(_vectors([one.origin for one in trips]), _vectors([one.destination for one in trips]))


def believable(trips: Sequence[Trip]) -> list[Trip]:
    """Return the trips of a length and duration that people drive; learning looks at the rest of them itself."""
    metres = straight_metres(trips)
    driven = (metres >= LEAST_TRIP_METRES) & (metres <= MOST_TRIP_METRES)
    long = (LEAST_TRIP <= one.arrived_at - one.departed_at <= MOST_TRIP for one in trips)
    return [one for one, far, lasted in zip(trips, driven.tolist(), long, strict=True) if far and lasted]


def taught(
    trips: Sequence[Trip], base: NDArray[np.float64], exceptions: Mapping[date, bool]
) -> tuple[Trips, list[str]]:
    """Return trips as learning takes them, and the zones by their number; `base` is what the provider says of each.

    Trips the provider knows nothing of (base 0 or less), or that took far more or less than it says, are left out.
    """
    actual = np.array([one.seconds for one in trips], dtype=np.float64)
    usable = (base > 0) & (actual < MOST_RATIO * base) & (base < MOST_RATIO * actual)
    names = sorted({zone for one in trips for zone in (one.origin.zone, one.destination.zone)})
    number = {name: index for index, name in enumerate(names)}
    whole = Trips(
        base=base,
        actual=actual,
        origin_zones=np.array([number[one.origin.zone] for one in trips], dtype=np.int64),
        destination_zones=np.array([number[one.destination.zone] for one in trips], dtype=np.int64),
        slots=np.array(
            [slot_of(one.departed_at + timedelta(seconds=one.seconds / 2), one.time_zone, exceptions) for one in trips],
            dtype=np.int64,
        ),
    )
    return whole.at(usable), names


@dataclass(frozen=True, slots=True)
class Parameters:
    """What is learnt and used: by zones for an estimate, one scale for roads, and the hours for both."""

    scale: float = 1.0
    overhead_seconds: int = 120
    zones: tuple[ZoneFactor, ...] = ()
    per_mille: Mapping[int, int] | None = None

    def estimate(self) -> EstimatedTravel:
        """Return the estimate with these parameters."""
        return EstimatedTravel(overhead_seconds=self.overhead_seconds, scale=self.scale, zones=self.zones)


def road_table(
    places: Sequence[Place], seconds: NDArray[np.int32], metres: NDArray[np.int32],
    *, scale: float, label: str, estimate: EstimatedTravel,
) -> GivenTravel:  # fmt: skip
    """Return the table a plan is made from: roads times `scale`, and the estimate for NO_ROAD and UNASKED legs.

    Its source says how many places are off the road, and of how many legs no plan has asked yet.
    """
    scaled = np.rint(seconds * scale).astype(np.int32)
    missing = seconds < 0
    if missing.any():
        fallback = CoordinateEstimate(estimate).table(places)
        scaled = np.where(missing, fallback.seconds, scaled)
        metres = np.where(missing, fallback.metres, metres)
    np.fill_diagonal(scaled, 0)
    np.fill_diagonal(metres := metres.copy(), 0)
    unasked = seconds == UNASKED
    known = np.where(unasked, 0, seconds)
    source = road_source(label, len(places), off_road(known), int((known < 0).sum()))
    return GivenTravel(
        seconds=tuple(map(tuple, scaled.tolist())),
        metres=tuple(map(tuple, metres.tolist())),
        source=f"{source}{unasked_words(int(unasked.sum()), len(places))}",
        estimated=bool(missing.sum() >= missing.size - len(places)),
    )


def unasked_words(unasked: int, places: int) -> str:
    """Return what the board says of legs that only a plan asks for."""
    return f", {unasked} of {places * (places - 1)} legs estimated until a plan asks for them" if unasked else ""


def off_road(seconds: NDArray[np.int32]) -> int:
    """Return how many places no road leads to or from, by a table with -1 there."""
    reached = (seconds >= 0) & ~np.eye(len(seconds), dtype=bool)
    return int(np.count_nonzero(~(reached.any(axis=0) | reached.any(axis=1)))) if len(seconds) > 1 else 0


def road_source(label: str, places: int, off: int, missing: int) -> str:
    """Return what a plan says of its travel times."""
    if off:
        return f"{label}, {off} of {places} places off the road: estimated"
    return f"{label}, {missing} legs without a road: estimated" if missing else label


def fitted(
    estimate: EstimatedTravel, places: Sequence[Place], seconds: NDArray[np.int32], scale: float
) -> EstimatedTravel:
    """Return the estimate, scaled so that half of its legs are longer than on the roads and half shorter."""
    flat = EstimatedTravel(overhead_seconds=0)
    base = CoordinateEstimate(flat).table(places).seconds
    usable = (seconds >= LEAST_FIT_SECONDS) & (base >= LEAST_FIT_SECONDS)
    if not usable.any():
        return estimate
    return EstimatedTravel(overhead_seconds=0, scale=float(np.median(seconds[usable] * scale / base[usable])))


def sampled(count: int, most: int = FITTED_PLACES) -> NDArray[np.intp]:
    """Return `most` of `count` indices, spread evenly; all where there are no more."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.intp))


def _vectors(spots: Sequence[Spot]) -> NDArray[np.float64]:
    latitudes = np.array([one.latitude for one in spots], dtype=np.float64)
    return unit_vectors(latitudes, np.array([one.longitude for one in spots], dtype=np.float64))
