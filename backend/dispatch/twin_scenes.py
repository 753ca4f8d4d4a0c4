"""Where the twin lives: a generated city, or the days of real outages with the crews that meet them."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from backend.dispatch.outages import (
    ELEVATOR_EVERY,
    SHIFT_HOURS,
    SHIFT_STARTS,
    ZONE,
    Outage,
    middle,
    read_outages,
)
from routing.problem import Place, Shift
from routing.twin.city import DEPOT, MOST_TECHNICIANS, OVERTIME, City, city_shifts, city_world
from routing.twin.compare import Scene
from routing.twin.refusal import TwinError, within
from routing.twin.world import DAY, DRAIN_DAYS, MOST_DAYS, Call, Reality, World, build_world


def city_scene(city: City, reality: Reality) -> Scene:
    """Return the scene of a generated city."""

    def world(seed: int) -> World:
        return city_world(city, reality, seed)

    return Scene(world, lambda extra: city_shifts(city.technicians + extra, city.days))


def outages_scene(folder: Path, *, technicians: int, days: int, reality: Reality) -> Scene:
    """Return the scene of real outages: the calls are those of the file, how each goes is the seed's.

    Raises OutagesError for a folder without outages and `TwinError` for figures that cannot be.
    """
    if technicians == 0:
        raise TwinError("no_technicians")
    within("technicians", technicians, 1, MOST_TECHNICIANS)
    within("days", days, 1, MOST_DAYS)
    starts_at, outages = read_outages(folder, days)
    calls = [_call(outage, starts_at) for outage in outages]
    lived = calls[-1].received_at // DAY + 1
    places = _places(outages)

    def roster(extra: int) -> list[Shift]:
        return _shifts(starts_at, technicians + extra, lived)

    def world(seed: int) -> World:
        return build_world(days=lived, places=places, shifts=roster(0), calls=calls, reality=reality, seed=seed)

    return Scene(world, roster)


def _call(outage: Outage, starts_at: datetime) -> Call:
    return Call(
        id=f"outage-{outage.number}", place=outage.station_code, received_at=_second(outage.received_at, starts_at),
        priority=1 if outage.urgent else 3, skills=(outage.skill,), planned_seconds=_seconds(outage.on_site),
    )  # fmt: skip


def _places(outages: Sequence[Outage]) -> list[Place]:
    spots = {DEPOT: middle(outages)} | {outage.station_code: (outage.lat, outage.lon) for outage in outages}
    return [Place(id=name, latitude=lat, longitude=lon) for name, (lat, lon) in spots.items()]


def _shifts(starts_at: datetime, technicians: int, days: int) -> list[Shift]:
    """Return eight hours a day for everybody, in three turns around the clock, from the night before the first day."""
    first_day = starts_at.astimezone(ZONE).date()
    return [
        _shift(starts_at, first_day + timedelta(days=day), technician, day)
        for day in range(-1, days + DRAIN_DAYS)
        for technician in range(technicians)
    ]


def _shift(starts_at: datetime, on: date, technician: int, day: int) -> Shift:
    turn = SHIFT_STARTS[technician % len(SHIFT_STARTS)]
    start = _second(datetime.combine(on, turn, ZONE), starts_at)
    elevator = ("elevator",) if technician % ELEVATOR_EVERY == 0 else ()
    return Shift(
        id=f"t{technician}-{day}", technician=f"t{technician}", start=start, end=start + _seconds(SHIFT_HOURS),
        start_place=DEPOT, end_place=DEPOT, overtime_allowed=OVERTIME, skills=("escalator", *elevator),
    )  # fmt: skip


def _second(at: datetime, starts_at: datetime) -> int:
    return _seconds(at.astimezone(UTC) - starts_at)


def _seconds(length: timedelta) -> int:
    return int(length.total_seconds())
