"""From a draft to what people see: routes with every time in them, and the cost split by term."""

from dataclasses import asdict, dataclass

from routing.arrays import FOREVER
from routing.draft import Draft, DraftRoute, driven
from routing.instance import Instance, moved_price, preference_price
from routing.plan import Cost, Rest, Route, Stop
from routing.simulate import StopTimes, arrival, delay_price, late_price, promise_price, told_otherwise, unfair_price


@dataclass(slots=True)
class Tally:
    """The terms of `Cost` that routes have, being summed."""

    late: int = 0
    promise: int = 0
    churn: int = 0
    overtime: int = 0
    travel: int = 0
    delay: int = 0
    preference: int = 0
    fairness: int = 0


def assembled(draft: Draft) -> tuple[tuple[Route, ...], Cost]:
    """Return the routes that have visits, in the order of the shifts, and the cost of the whole draft."""
    tally = Tally()
    routes = tuple(
        _route(draft.instance, shift, route, tally) for shift, route in enumerate(draft.routes) if route.visits
    )
    unserved = sum(draft.instance.visits[visit].unserved for visit in draft.unplanned)
    return routes, Cost(unserved=unserved, **asdict(tally))


def route_of(instance: Instance, shift: int, visits: list[int]) -> Route:
    """Return one route with its times; `visits` must be legal on `shift`."""
    return _route(instance, shift, driven(instance, shift, visits), Tally())


def _route(instance: Instance, shift: int, route: DraftRoute, tally: Tally) -> Route:
    data, day = instance.shifts[shift], instance.problem.shifts[shift]
    visits, times = route.visits, route.times
    place = data.start_place
    stops: list[Stop] = []
    for visit, stop in zip(visits, times.stops, strict=True):
        stops.append(_stop(instance, visit, place, stop))
        _add_visit(tally, instance, shift, visit, stop.start)
        place = instance.visits[visit].place
    overtime, home = max(0, times.back - data.end), times.back - times.leaves
    tally.overtime += instance.prices.overtime_second * overtime
    tally.travel += instance.prices.travel_second * (home + sum(stop.travel_seconds for stop in stops))
    service = sum(instance.visits[visit].duration for visit in visits)
    tally.fairness += int(unfair_price(instance.arrays, shift, service))
    return Route(
        shift=day.id,
        technician=day.technician,
        leaves=times.stops[0].leaves,
        stops=tuple(stops),
        rests=tuple(
            Rest(start=begin, end=end)
            for rests in (*(stop.rests for stop in times.stops), times.rests)
            for begin, end in rests
        ),
        end=times.back,
        end_travel_seconds=home,
        end_travel_metres=int(instance.travel.metres[place, data.end_place]),
        overtime_seconds=overtime,
    )


def _stop(instance: Instance, visit: int, place: int, times: StopTimes) -> Stop:
    data = instance.visits[visit]
    rested = sum(end - begin for begin, end in times.rests if begin >= times.arrives)
    return Stop(
        visit=instance.problem.visits[visit].id,
        arrival=times.arrives,
        start=times.start,
        departure=times.ends,
        travel_seconds=times.arrives - times.leaves,
        travel_metres=int(instance.travel.metres[place, data.place]),
        waiting_seconds=times.start - times.arrives - rested,
        slack_seconds=None if data.due == FOREVER else data.due - times.start,
        late_seconds=max(0, times.start - data.due),
        promise_late_seconds=max(0, times.start - data.promise_end),
        leaves_by=_leaves_by(instance, int(instance.seconds[place][data.place]), times, rested),
    )


def _leaves_by(instance: Instance, leg: int, times: StopTimes, rested: int) -> int:
    """Return the latest departure with which the drive of `leg` table seconds ends as late as it may wait to."""
    first, last = times.leaves, times.leaves + times.start - times.arrives - rested
    latest = times.start - rested
    while first < last:
        middle = (first + last + 1) // 2
        if arrival(instance.arrays, middle, leg) <= latest:
            first = middle
        else:
            last = middle - 1
    return int(first)


def _add_visit(tally: Tally, instance: Instance, shift: int, visit: int, start: int) -> None:
    wanted, day, arrays = instance.problem.visits[visit], instance.problem.shifts[shift], instance.arrays
    tally.late += int(late_price(arrays, visit, start))
    tally.promise += int(promise_price(arrays, visit, start))
    tally.churn += moved_price(wanted, day.id, instance.prices)
    tally.churn += instance.prices.told_moved if told_otherwise(arrays, visit, shift, start) else 0
    tally.delay += int(delay_price(arrays, visit, start))
    tally.preference += preference_price(wanted, day, instance.prices)
