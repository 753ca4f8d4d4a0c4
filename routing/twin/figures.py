"""What a run comes to, in the figures a manager asks for; every clock counts from when the call was received."""

import statistics
from collections.abc import Sequence
from typing import Final

import msgspec

from routing.twin.field import Case
from routing.twin.run import Outcome
from routing.twin.world import COMMITMENT_SECONDS, DAY, HOUR

SOON_SECONDS: Final = 24 * HOUR


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Shares are of all calls; hours to arrival are of the calls somebody arrived at."""

    calls: int
    arrived_48h: float
    arrived_24h: float
    mean_hours: float
    p95_hours: float
    travel_hours: float
    overtime_hours: float
    moved: int
    done: int
    unserved: int
    given_up: int
    nobody_there: int


class DayFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One day of a run, day 1 the first. The shares are of the calls received on that day, whenever they were met."""

    day: int
    calls: int
    arrived_48h: float | None
    arrived_24h: float | None
    mean_hours: float | None
    p95_hours: float | None
    travel_hours: float
    overtime_hours: float
    moved: int
    done: int
    nobody_there: int
    waiting: int
    decided: bool
    """Whether the 48 hours of every call of the day were over when the run ended."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """One figure over several seeds."""

    median: float
    least: float
    most: float


def figures(outcome: Outcome) -> Figures:
    """Return what a run comes to."""
    cases, days = outcome.cases, outcome.days
    hours = waits(cases)
    return Figures(
        calls=len(cases),
        arrived_48h=_share(cases, COMMITMENT_SECONDS),
        arrived_24h=_share(cases, SOON_SECONDS),
        mean_hours=statistics.fmean(hours) if hours else 0.0,
        p95_hours=_percentile(hours),
        travel_hours=sum(day.travel for day in days) / HOUR,
        overtime_hours=sum(day.overtime for day in days) / HOUR,
        moved=sum(day.moved for day in days),
        done=sum(case.done_at is not None for case in cases),
        unserved=sum(case.done_at is None and case.given_up_at is None for case in cases),
        given_up=sum(case.given_up_at is not None for case in cases),
        nobody_there=sum(day.nobody for day in days),
    )


def day_figures(outcome: Outcome) -> list[DayFigures]:
    """Return a run day by day."""
    by_day: dict[int, list[Case]] = {}
    for case in outcome.cases:
        by_day.setdefault(case.call.received_at // DAY, []).append(case)
    lived = len(outcome.days) * DAY
    found: list[DayFigures] = []
    for number, counts in enumerate(outcome.days):
        cases = by_day.get(number, [])
        hours = waits(cases)
        found.append(
            DayFigures(
                day=number + 1,
                calls=len(cases),
                arrived_48h=_share(cases, COMMITMENT_SECONDS) if cases else None,
                arrived_24h=_share(cases, SOON_SECONDS) if cases else None,
                mean_hours=statistics.fmean(hours) if hours else None,
                p95_hours=_percentile(hours) if hours else None,
                travel_hours=counts.travel / HOUR,
                overtime_hours=counts.overtime / HOUR,
                moved=counts.moved,
                done=counts.done,
                nobody_there=counts.nobody,
                waiting=counts.waiting,
                decided=(number + 1) * DAY + COMMITMENT_SECONDS <= lived,
            )
        )
    return found


def waits(cases: Sequence[Case]) -> list[float]:
    """Return the hours from call to arrival, shortest first, of the calls somebody arrived at."""
    return sorted((case.arrived_at - case.call.received_at) / HOUR for case in cases if case.arrived_at is not None)


def spread(values: Sequence[float]) -> Spread:
    """Return the median of several runs' figures, with the least and the most."""
    return Spread(median=statistics.median(values), least=min(values), most=max(values))


def _share(cases: Sequence[Case], within: int) -> float:
    in_time = sum(case.arrived_at is not None and case.arrived_at <= case.call.received_at + within for case in cases)
    return in_time / len(cases)


def _percentile(hours: Sequence[float]) -> float:
    """Return the nearest-rank 95th percentile of sorted hours, 0 of none."""
    return hours[max(0, -(-len(hours) * 95 // 100) - 1)] if hours else 0.0
