"""From a draft to what people see: routes with every time in them, and the cost split by term."""

from dataclasses import dataclass

from routing.draft import Draft
from routing.instance import FOREVER, Instance, moved_price, preference_price
from routing.plan import Cost, Rest, Route, Stop
from routing.simulate import Ending, Label, run, start_terms


@dataclass(slots=True)
class Tally:
    """Cost terms being summed."""

    late: int = 0
    promise: int = 0
    churn: int = 0
    overtime: int = 0
    travel: int = 0
    delay: int = 0
    preference: int = 0


def assembled(draft: Draft) -> tuple[tuple[Route, ...], Cost]:
    """Return the routes that have visits, in the order of the shifts, and the cost of the whole draft."""
    tally = Tally()
    routes = tuple(
        _route(draft.instance, shift, route.visits, tally) for shift, route in enumerate(draft.routes) if route.visits
    )
    unserved = sum(draft.instance.visits[visit].unserved for visit in draft.unplanned)
    cost = Cost(
        unserved=unserved,
        late=tally.late,
        promise=tally.promise,
        churn=tally.churn,
        overtime=tally.overtime,
        travel=tally.travel,
        delay=tally.delay,
        preference=tally.preference,
    )
    return routes, cost


def route_of(instance: Instance, shift: int, visits: list[int]) -> Route:
    """Return one route with its times; `visits` must be legal on `shift`."""
    return _route(instance, shift, visits, Tally())


def _route(instance: Instance, shift: int, visits: list[int], tally: Tally) -> Route:
    data, day = instance.shifts[shift], instance.problem.shifts[shift]
    ending = run(instance, data, visits)
    assert ending is not None, "a draft holds legal routes only"  # noqa: S101
    labels = _labels(ending)
    place = data.start_place
    stops: list[Stop] = []
    for visit, label in zip(visits, labels, strict=True):
        stops.append(_stop(instance, shift, visit, place, label))
        _add_visit(tally, instance, shift, visit, label.start)
        place = instance.visits[visit].place
    overtime = max(0, ending.end - data.end)
    home = instance.seconds[place][data.end_place]
    tally.overtime += instance.prices.overtime_second * overtime
    tally.travel += instance.prices.travel_second * (home + sum(stop.travel_seconds for stop in stops))
    begins = [begin for label in labels for begin in label.rests] + list(ending.rests)
    return Route(
        shift=day.id,
        technician=day.technician,
        leaves=labels[0].leaves,
        stops=tuple(stops),
        rests=tuple(
            Rest(start=begin, end=begin + pause.duration) for begin, pause in zip(begins, data.pauses, strict=True)
        ),
        end=ending.end,
        end_travel_seconds=home,
        end_travel_metres=int(instance.travel.metres[place, data.end_place]),
        overtime_seconds=overtime,
    )


def _labels(ending: Ending) -> list[Label]:
    """Return the labels of the schedule, one for each visit, in order."""
    labels = [ending.last]
    while (parent := labels[-1].parent) is not None:
        labels.append(parent)
    return labels[-2::-1]  # the oldest is the shift's beginning


def _stop(instance: Instance, shift: int, visit: int, place: int, label: Label) -> Stop:
    data, pauses = instance.visits[visit], instance.shifts[shift].pauses
    first = label.taken - len(label.rests)
    rested = sum(
        pause.duration
        for begin, pause in zip(label.rests, pauses[first : label.taken], strict=True)
        if begin >= label.arrival
    )
    return Stop(
        visit=instance.problem.visits[visit].id,
        arrival=label.arrival,
        start=label.start,
        departure=label.time,
        travel_seconds=instance.seconds[place][data.place],
        travel_metres=int(instance.travel.metres[place, data.place]),
        waiting_seconds=label.start - label.arrival - rested,
        slack_seconds=None if data.due == FOREVER else data.due - label.start,
        late_seconds=max(0, label.start - data.due),
        promise_late_seconds=max(0, label.start - data.promise_end),
    )


def _add_visit(tally: Tally, instance: Instance, shift: int, visit: int, start: int) -> None:
    terms = start_terms(instance.visits[visit], shift, start, instance)
    wanted, day = instance.problem.visits[visit], instance.problem.shifts[shift]
    tally.late += terms.late
    tally.promise += terms.promise
    tally.churn += terms.churn + moved_price(wanted, day.id, instance.prices)
    tally.delay += terms.delay
    tally.preference += preference_price(wanted, day, instance.prices)
