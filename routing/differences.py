"""What changes from one plan to another: for the dispatcher, who asks who is moved, told anew, and what it brings."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

import msgspec

from routing.plan import Cost, Late, Plan, Route, Stop
from routing.problem import Problem

ChangeKind: TypeAlias = Literal["moved", "retimed", "added", "taken_off"]
"""To another technician or shift; on the same shift at another time; newly planned; no longer planned."""

NOTICED_SECONDS = 60
"""A start that shifts by less is the same start to people."""


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """Where a plan has a visit; `start` in seconds from the horizon start of both plans.

    `joining`: of a crew, the shifts of who comes along.
    """

    shift: str
    technician: str
    start: int
    joining: tuple[str, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One visit that is not where it was. `told`: a person was told of the time before, and has to be told anew.

    `counted`: it is one of those that `Problem.most_changes` limits; of what is merely retimed there may be any number.
    """

    visit: str
    kind: ChangeKind
    before: Placed | None
    after: Placed | None
    told: bool = False
    counted: bool = False


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan comes to, in units people know, and its cost by term. `late`: visits that miss their commitment."""

    served: int
    unplanned: int
    late: int
    late_seconds: int
    travel_seconds: int
    travel_metres: int
    overtime_seconds: int
    cost: Cost


def changes(problem: Problem, before: Mapping[str, Placed], after: Mapping[str, Placed]) -> tuple[Change, ...]:
    """Return every visit that differs, in the order of the problem."""
    found: list[Change] = []
    shifts = {shift.id for shift in problem.shifts}
    for visit in problem.visits:
        old, new = before.get(visit.id), after.get(visit.id)
        kind = _kind(old, new)
        if kind is None:
            continue
        apart = abs(_shifted(old, new)) > problem.prices.told_tolerance
        told = visit.told and old is not None and (kind != "retimed" or apart)
        counted = old is not None and old.shift in shifts and (_elsewhere(old, new) or (visit.told and apart))
        found.append(Change(visit=visit.id, kind=kind, before=old, after=new, told=told, counted=counted))
    return tuple(found)


def terms(plan: Plan) -> Terms:
    """Return what `plan` comes to."""
    late = [one.late_seconds for one in plan.late if one.late_seconds]
    metres = (route.end_travel_metres + sum(stop.travel_metres for stop in route.stops) for route in plan.routes)
    return Terms(
        served=len({stop.visit for stop in stops_of(plan.routes)}), unplanned=len(plan.unplanned), late=len(late),
        late_seconds=sum(late), travel_seconds=driving(plan.routes), travel_metres=sum(metres),
        overtime_seconds=overtime(plan.routes), cost=plan.cost,
    )  # fmt: skip


def stops_of(routes: Iterable[Route]) -> Iterator[Stop]:
    """Yield the stops of all `routes`; of a crew, one on each of its routes."""
    return (stop for route in routes for stop in route.stops)


def late_of(routes: Iterable[Route]) -> tuple[Late, ...]:
    """Return the visits that miss their commitment or their promised window, each once, without reasons."""
    late = {stop.visit: stop for stop in stops_of(routes) if stop.late_seconds or stop.promise_late_seconds}
    return tuple(
        Late(
            visit=visit, late_seconds=stop.late_seconds, promise_late_seconds=stop.promise_late_seconds, reasons=()
        )
        for visit, stop in late.items()
    )  # fmt: skip


def driving(routes: Iterable[Route]) -> int:
    """Return the seconds on the road, the ways back included."""
    return sum(route.end_travel_seconds + sum(stop.travel_seconds for stop in route.stops) for route in routes)


def overtime(routes: Iterable[Route]) -> int:
    """Return the seconds of overtime."""
    return sum(route.overtime_seconds for route in routes)


def added_cost(before: Cost, after: Cost) -> Cost:
    """Return what `after` costs more, by term; less is negative."""
    return Cost(**{name: getattr(after, name) - getattr(before, name) for name in Cost.__struct_fields__})


def _kind(old: Placed | None, new: Placed | None) -> ChangeKind | None:
    if old is None or new is None:
        return None if old is new else "added" if old is None else "taken_off"
    if old.shift != new.shift:
        return "moved"
    return "retimed" if abs(_shifted(old, new)) >= NOTICED_SECONDS else None


def _elsewhere(old: Placed, new: Placed | None) -> bool:
    """Return whether nobody comes any more on the shift the visit was on."""
    return new is None or old.shift not in (new.shift, *new.joining)


def _shifted(old: Placed | None, new: Placed | None) -> int:
    return 0 if old is None or new is None else new.start - old.start
