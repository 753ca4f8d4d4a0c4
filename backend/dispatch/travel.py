"""Which travel times a plan is made from: what trips have taught, and the roads PAIGONG_TRAVEL names."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final, TypeAlias
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.queries import newest_calendar, working_days
from backend.calendars.rules import NO_EXCEPTIONS
from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.dispatch.road_sources import Points, RoadSource, RoadsUnavailable, road_source
from backend.dispatch.travel_cache import Known, keep_legs, known_legs, newest_version, place_keys
from backend.dispatch.travel_models import TravelFactor, TravelModel
from backend.dispatch.travel_rules import (
    MOST_TABLE_PLACES,
    Parameters,
    fitted,
    pace_of,
    road_table,
    sampled,
    slot_number,
)
from backend.people.models import Unit
from backend.sites.models import Site
from routing.problem import EstimatedTravel, GivenTravel, Pace, Place, Problem, ZoneFactor
from routing.travel.estimate import SOURCE, CoordinateEstimate
from routing.travel.table import TravelTable

ESTIMATE: Final = "estimate"
HOME_CALENDAR: Final = "cn"
PER_MILLE: Final = 1_000
TABLES_REMEMBERED: Final = 4
"""Whole tables of legs a process keeps for its live questions, at most 8 MB each: a unit asks for the same ones."""


async def parameters_in_use(session: AsyncSession, provider: str) -> Parameters:
    """Return what was learnt of a provider and is used; the figures of before anything is learnt, else."""
    newest = (
        select(TravelModel)
        .where(TravelModel.provider == provider, TravelModel.in_use.is_(True))
        .order_by(TravelModel.learnt_at.desc(), TravelModel.id.desc())
        .limit(1)
    )
    model = (await session.execute(newest)).scalar_one_or_none()
    if model is None:
        return Parameters()
    factors = await factors_of(session, model.id)
    zones = [
        ZoneFactor(origin=one.origin, destination=one.destination, factor=one.factor)
        for one in factors
        if one.origin is not None and one.destination is not None
    ]
    hours = {
        slot_number(one.day_type, one.hour): round(one.factor * PER_MILLE)
        for one in factors
        if one.day_type is not None and one.hour is not None
    }
    return Parameters(model.scale, model.overhead_seconds, tuple(zones), hours)


async def factors_of(session: AsyncSession, model_id: UUID) -> Sequence[TravelFactor]:
    """Return a model's factors: zones, then hours, each in order."""
    listed = select(TravelFactor).where(TravelFactor.travel_model_id == model_id)
    order = (TravelFactor.origin, TravelFactor.destination, TravelFactor.day_type.desc(), TravelFactor.hour)
    return (await session.execute(listed.order_by(*order))).scalars().all()


async def exceptional_days(session: AsyncSession) -> Mapping[date, bool]:
    """Return the days that are not like their weekday, such as make-up workdays, by the newest home calendar."""
    calendar = await newest_calendar(session, HOME_CALENDAR)
    return NO_EXCEPTIONS if calendar is None else (await working_days(session, calendar)).exceptions


async def learnt_travel(
    session: AsyncSession, *, unit_ids: Sequence[UUID], now: datetime, until: datetime
) -> tuple[EstimatedTravel, Pace | None]:
    """Return the estimate with what was learnt for it, and the pace of the hours from `now` to `until`."""
    parameters = await parameters_in_use(session, ESTIMATE)
    if not parameters.per_mille:
        return parameters.estimate(), None
    zone = await _time_zone(session, unit_ids)
    exceptions = await exceptional_days(session)
    pace = pace_of(parameters.per_mille, now=now, until=until, zone=zone, exceptions=exceptions)
    return parameters.estimate(), pace


async def _time_zone(session: AsyncSession, unit_ids: Sequence[UUID]) -> str:
    """Return the time zone most sites of the units are in; without sites, the unit's own."""
    counted = select(Site.time_zone).where(Site.unit_id.in_(unit_ids)).group_by(Site.time_zone)
    zone = (await session.execute(counted.order_by(func.count().desc(), Site.time_zone).limit(1))).scalar_one_or_none()
    return zone or (await session.execute(select(Unit.time_zone).where(Unit.id.in_(unit_ids)).limit(1))).scalar_one()


@dataclass(frozen=True)
class _Spots:
    """Where places are, each position once: `of_place` says which of the spots a place is."""

    keys: NDArray[np.int64]
    points: Points
    of_place: NDArray[np.intp]

    def whole(self, known: Known) -> Known:
        """Return what is known between the spots as a table between the places."""
        np.fill_diagonal(known.table[0], 0)
        np.fill_diagonal(known.table[1], 0)
        whole = Known(self.keys[self.of_place])
        whole.table = known.table[:, self.of_place[:, None], self.of_place]
        return whole


class Roads:
    """Puts problems on the roads the installation has; without any, they keep their estimate."""

    def __init__(self, database: Database, clock: Clock, setting: str) -> None:
        self.provider = provider_of(setting)
        self.source: RoadSource | None = road_source(setting)
        self._database = database
        self._clock = clock
        self._whole: dict[tuple[str, bytes], Known] = {}

    async def on_roads(self, problem: Problem) -> Problem:
        """Return the problem with travel by road. Where nobody answers, it keeps the estimate, which says why."""
        async with self._database.read() as session:
            parameters = await parameters_in_use(session, self.provider)
        return await self._put(problem, parameters.scale, self._asked)

    async def on_known_roads(self, session: AsyncSession, problem: Problem) -> Problem:
        """Return the problem with the legs plans have asked for; the others keep the estimate, and it is said.

        Nobody is asked who might take long, so that the board answers at once; where plans were made, both agree.
        """
        if self.source is None:
            return problem
        scale = (await parameters_in_use(session, self.provider)).scale
        family = self.source.family

        async def known(source: RoadSource, places: Sequence[Place]) -> Known:
            version = await newest_version(session, family) if family else await source.version()
            spots = _spots(places)
            if version is None:
                return spots.whole(Known(spots.keys))
            return spots.whole(await self._remembered(session, version, spots.keys))

        return await self._put(problem, scale, known)

    async def _remembered(self, session: AsyncSession, version: str, keys: NDArray[np.int64]) -> Known:
        """Return what is kept of the legs between these places; a whole table is read once, the last few remembered."""
        asked = version, keys.tobytes()
        known = self._whole.pop(asked, None) or await known_legs(session, version, keys, self._clock.now())
        if not known.missing.any():
            self._whole[asked] = known
            while len(self._whole) > TABLES_REMEMBERED:
                del self._whole[next(iter(self._whole))]
        return known

    async def _put(self, problem: Problem, scale: float, legs: "_LegsOf") -> Problem:
        if self.source is None or not isinstance(problem.travel, EstimatedTravel) or len(problem.places) < 2:  # noqa: PLR2004 - a leg has two ends
            return problem
        try:
            travel = await _by_road(self.source, problem.places, problem.travel, scale, legs)
        except RoadsUnavailable as error:
            travel = _said(problem.places, problem.travel, f"{SOURCE} ({error.en} / {error.zh})")
        return msgspec.structs.replace(problem, travel=travel)

    async def _asked(self, source: RoadSource, places: Sequence[Place]) -> Known:
        """Return all legs between the places, asking for those nobody asked for before."""
        spots = _spots(places)
        version = await source.version()
        async with self._database.read() as session:
            known = await known_legs(session, version, spots.keys, self._clock.now())
        if known.missing.any():
            await self._complete(source, version, known, spots.points)
        return spots.whole(known)

    async def _complete(self, source: RoadSource, version: str, known: Known, points: Points) -> None:
        """Ask for what is missing: a new place's own row, and its column from the others."""
        missing = known.missing
        everyone = np.arange(len(points), dtype=np.intp)
        new = np.flatnonzero(missing.sum(axis=1) > len(points) // 2)
        others = np.setdiff1d(np.flatnonzero(missing.any(axis=1)), new)
        for origins, destinations in ((new, everyone), (others, np.flatnonzero(missing[others].any(axis=0)))):
            if len(origins) and len(destinations):
                legs = await source.legs(points, origins, destinations)
                known.table[0][np.ix_(origins, destinations)] = legs.seconds
                known.table[1][np.ix_(origins, destinations)] = legs.metres
        async with self._database.write() as session:
            await keep_legs(session, version, known, missing, now=self._clock.now())


_LegsOf: TypeAlias = Callable[[RoadSource, Sequence[Place]], Awaitable[Known]]


async def _by_road(
    source: RoadSource, places: Sequence[Place], estimate: EstimatedTravel, scale: float, legs: _LegsOf
) -> EstimatedTravel | GivenTravel:
    if len(places) > MOST_TABLE_PLACES:
        some = [places[int(one)] for one in sampled(len(places))]
        return fitted(estimate, some, (await legs(source, some)).table[0], scale)
    known = await legs(source, places)
    return await asyncio.to_thread(
        road_table, places, known.table[0], known.table[1], scale=scale, label=source.label, estimate=estimate
    )


def _spots(places: Sequence[Place]) -> _Spots:
    points = points_of(places)
    keys = place_keys(points.latitudes.tolist(), points.longitudes.tolist())
    spots, first, of_place = np.unique(keys, return_index=True, return_inverse=True)
    return _Spots(spots, Points(points.latitudes[first], points.longitudes[first]), of_place)


def provider_of(setting: str) -> str:
    """Return the name what is learnt is kept under: the setting without a server's credentials."""
    kind, _, rest = setting.partition(":")
    return f"{kind}:{rest.rpartition('@')[2]}" if rest else kind


def points_of(places: Sequence[Place]) -> Points:
    """Return where places are; they all have coordinates when no table was given."""
    return Points(
        np.array([place.latitude for place in places], dtype=np.float64),
        np.array([place.longitude for place in places], dtype=np.float64),
    )


def _said(places: Sequence[Place], estimate: EstimatedTravel, source: str) -> EstimatedTravel | GivenTravel:
    """Return the estimate as a table that says why it is one; of very many places, the estimate itself."""
    if len(places) > MOST_TABLE_PLACES:
        return estimate
    table: TravelTable = CoordinateEstimate(estimate).table(places)
    return GivenTravel(
        seconds=tuple(map(tuple, table.seconds.tolist())), metres=tuple(map(tuple, table.metres.tolist())),
        source=source, estimated=True,
    )  # fmt: skip
