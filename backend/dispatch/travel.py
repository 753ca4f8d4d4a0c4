"""Which travel times a plan is made from: what trips have taught, and the roads PAIGONG_TRAVEL names."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final
from uuid import UUID

import msgspec
import numpy as np
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.queries import newest_calendar, working_days
from backend.calendars.rules import NO_EXCEPTIONS
from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.dispatch.road_sources import Points, RoadSource, RoadsUnavailable, road_source
from backend.dispatch.travel_cache import Known, keep_legs, known_legs, place_keys
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


class Roads:
    """Puts problems on the roads the installation has; without any, they keep their estimate."""

    def __init__(self, database: Database, clock: Clock, setting: str) -> None:
        self.provider = provider_of(setting)
        self.source: RoadSource | None = road_source(setting)
        self._database = database
        self._clock = clock

    async def on_roads(self, problem: Problem) -> Problem:
        """Return the problem with travel by road. Where nobody answers, it keeps the estimate, which says why."""
        if self.source is None or not isinstance(problem.travel, EstimatedTravel) or len(problem.places) < 2:  # noqa: PLR2004 - a leg has two ends
            return problem
        try:
            travel = await self._travel(self.source, problem.places, problem.travel)
        except RoadsUnavailable as error:
            travel = _said(problem.places, problem.travel, f"{SOURCE} ({error.en} / {error.zh})")
        return msgspec.structs.replace(problem, travel=travel)

    async def _travel(
        self, source: RoadSource, places: Sequence[Place], estimate: EstimatedTravel
    ) -> EstimatedTravel | GivenTravel:
        async with self._database.read() as session:
            parameters = await parameters_in_use(session, self.provider)
        if len(places) > MOST_TABLE_PLACES:
            some = [places[int(one)] for one in sampled(len(places))]
            return fitted(estimate, some, (await self._known(source, some)).table[0], parameters.scale)
        known = await self._known(source, places)
        return await asyncio.to_thread(
            road_table, places, known.table[0], known.table[1],
            scale=parameters.scale, label=source.label, estimate=estimate,
        )  # fmt: skip

    async def _known(self, source: RoadSource, places: Sequence[Place]) -> Known:
        """Return all legs between the places, asking for those nobody asked for before."""
        points = points_of(places)
        spots, one_of = np.unique(
            place_keys(points.latitudes.tolist(), points.longitudes.tolist()), return_inverse=True
        )
        first = np.array([int(np.argmax(one_of == spot)) for spot in range(len(spots))], dtype=np.intp)
        version = await source.version()
        async with self._database.read() as session:
            known = await known_legs(session, version, spots, self._clock.now())
        missing = known.missing
        if missing.any():
            await self._complete(source, version, known, Points(points.latitudes[first], points.longitudes[first]))
        np.fill_diagonal(known.table[0], 0)
        np.fill_diagonal(known.table[1], 0)
        whole = Known(spots[one_of])
        whole.table = known.table[:, one_of[:, None], one_of]
        return whole

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
