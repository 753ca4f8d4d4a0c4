"""Every night: learn travel times from the trips finished since. Each night adds the next."""

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.calendars.rules import day_in, end_of_day
from backend.core.clock import Clock
from backend.core.sessions import Database
from backend.core.tasks import TaskHandler, TaskRefusedError, ensure_task
from backend.dispatch.road_sources import Points, RoadSource, RoadsUnavailable
from backend.dispatch.travel import ESTIMATE, PER_MILLE, Roads, exceptional_days
from backend.dispatch.travel_models import TravelFactor, TravelModel
from backend.dispatch.travel_queries import finished_trips
from backend.dispatch.travel_rules import Trip, slot_words, straight_metres, taught
from backend.sites.models import Site
from routing.travel import learn
from routing.travel.estimate import base_seconds

LEARN_TRAVEL: Final = "learn_travel"
AFTER_MIDNIGHT: Final = timedelta(hours=2, minutes=30)
MODELS_KEPT: Final = timedelta(days=90)


async def start_learning(session: AsyncSession, *, now: datetime) -> None:
    """Make sure it is learnt tonight; called when the server starts."""
    await _add_night(session, now)


def learning_task(database: Database, clock: Clock, setting: str) -> TaskHandler:
    """Return the task that learns once and adds the next night. What cannot be asked tonight may be tomorrow."""
    roads = Roads(database, clock, setting)

    async def run(_payload: dict[str, Any]) -> None:
        async with database.write() as session:
            await _add_night(session, clock.now())
        await learn_travel(database, clock, None, ESTIMATE)
        if roads.source is not None:
            try:
                await learn_travel(database, clock, roads.source, roads.provider)
            except RoadsUnavailable as error:
                raise TaskRefusedError(f"{error.en} / {error.zh}") from error

    return run


async def learn_travel(database: Database, clock: Clock, source: RoadSource | None, provider: str) -> TravelModel:
    """Learn from finished trips and keep what was found; it is used if it errs less than before."""
    now = clock.now()
    async with database.read() as session:
        trips = await finished_trips(session, now)
        exceptions = await exceptional_days(session)
    base = base_seconds(straight_metres(trips)) if source is None else await _by_road(source, trips)
    known, zones = taught(trips, base, exceptions)
    learner = learn.ESTIMATE if source is None else learn.ROADS
    model, factors = await asyncio.to_thread(_model, known, zones, learner, provider, now)
    async with database.write() as session:
        session.add(model)
        await session.flush()
        session.add_all(factors)
    return model


async def forget_old_models(session: AsyncSession, now: datetime) -> int:
    """Delete what was learnt longer ago than MODELS_KEPT, but never the last that is in use; return how many."""
    used = select(func.max(TravelModel.learnt_at)).where(TravelModel.in_use.is_(True)).group_by(TravelModel.provider)
    last = (await session.execute(used)).scalars().all()
    old = select(TravelModel.id).where(TravelModel.learnt_at < now - MODELS_KEPT, TravelModel.learnt_at.not_in(last))
    await session.execute(delete(TravelFactor).where(TravelFactor.travel_model_id.in_(old)))
    gone = delete(TravelModel).where(TravelModel.id.in_(old)).returning(TravelModel.id)
    return len((await session.execute(gone)).all())


async def _by_road(source: RoadSource, trips: list[Trip]) -> NDArray[np.float64]:
    """Return what the roads say of each trip, in seconds; -1 where no road leads."""
    if not trips:
        return np.zeros(0)
    spots = [one.origin for one in trips] + [one.destination for one in trips]
    points = Points(np.array([spot.latitude for spot in spots]), np.array([spot.longitude for spot in spots]))
    count = len(trips)
    pairs = np.arange(count, dtype=np.intp), np.arange(count, 2 * count, dtype=np.intp)
    return (await source.legs(points, *pairs, paired=True)).seconds.astype(np.float64)


def _model(
    trips: learn.Trips, zones: list[str], learner: learn.Learner, provider: str, now: datetime
) -> tuple[TravelModel, list[TravelFactor]]:
    judged = learn.learn_and_judge(trips, learner)
    learnt = judged.learnt
    model = TravelModel(
        provider=provider, learnt_at=now, trips=learnt.trips, left_out=learnt.left_out, scale=learnt.scale,
        overhead_seconds=learnt.overhead_seconds, error_before=judged.before, error_after=judged.after,
        in_use=judged.better,
    )  # fmt: skip
    factors = [
        TravelFactor(
            travel_model_id=model.id, origin=zones[origin], destination=zones[destination], factor=factor, trips=count
        )
        for (origin, destination), (factor, count) in learnt.zones.items()
    ]
    for slot, (per_mille, count) in learnt.per_mille.items():
        day_type, hour = slot_words(slot)
        pace = per_mille / PER_MILLE
        factors.append(TravelFactor(travel_model_id=model.id, day_type=day_type, hour=hour, factor=pace, trips=count))
    return model, factors


async def _add_night(session: AsyncSession, now: datetime) -> None:
    counted = select(Site.time_zone).group_by(Site.time_zone).order_by(func.count().desc(), Site.time_zone)
    zone = (await session.execute(counted.limit(1))).scalar_one_or_none() or "UTC"
    today = day_in(zone, now)
    nights = (end_of_day(zone, day) + AFTER_MIDNIGHT for day in (today - timedelta(days=1), today))
    run_at = next(night for night in nights if night > now)
    await ensure_task(session, now=now, kind=LEARN_TRAVEL, key=run_at.isoformat(), payload={}, run_at=run_at)
