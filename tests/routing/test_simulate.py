"""The exact simulation of one route, against all schedules written out one by one."""

from itertools import product
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.assemble import route_of
from routing.case import arrival as referees_arrival
from routing.day import ShiftData
from routing.draft import simulate_route
from routing.instance import Instance, prepare
from routing.problem import Break, Pace, PartNeed, Previous, Problem, VanStock, Window
from routing.simulate import arrival, start_price, taking_price
from routing.van_stock import stocked
from tests.routing.make import HOUR, line, paces, problem, problems, shift, visit

NOON = Break(earliest=4 * HOUR, latest=5 * HOUR, duration=HOUR // 2)


def prepared(single: Problem) -> Instance:
    return prepare(single)


class Day(NamedTuple):
    """How one route goes."""

    starts: list[int]
    end: int
    rests: list[int]


def simulated(single: Problem) -> Day | None:
    """Return how the visits go, in their order, on the first shift."""
    instance = prepared(single)
    route = simulate_route(instance, 0, range(len(single.visits)))
    if route is None:
        return None
    times = route.times
    rests = [begin for rests in (*(stop.rests for stop in times.stops), times.rests) for begin, _ in rests]
    return Day(route.starts(), times.back, rests)


def possible(single: Problem) -> Day:
    day = simulated(single)
    assert day is not None
    return day


def on_a_line(*wanted: tuple[str, dict[str, Any]], **day: Any) -> Problem:
    """Places 20 minutes apart in the order depot, north, south, east."""
    visits = tuple(visit(f"v{index}", place, **changes) for index, (place, changes) in enumerate(wanted))
    return problem((shift(**day),), visits, travel=line(4, 1200))


def test_driving_and_service_one_after_the_other() -> None:
    day = possible(on_a_line(("north", {}), ("east", {})))
    assert day == Day([1200, 1200 + HOUR + 2400], 2 * HOUR + 3600 + 3600, [])


def test_waiting_for_a_window_and_for_parts() -> None:
    window = Window(start=3 * HOUR, end=4 * HOUR)
    assert simulated(on_a_line(("north", {"windows": (window,)}))) == Day([3 * HOUR], 4 * HOUR + 1200, [])
    assert simulated(on_a_line(("north", {"earliest": 5 * HOUR}))) == Day([5 * HOUR], 6 * HOUR + 1200, [])
    assert simulated(on_a_line(("north", {"windows": (Window(start=0, end=1199),)}))) is None


def test_the_second_window_is_used_when_the_first_is_missed() -> None:
    windows = (Window(start=0, end=60), Window(start=2 * HOUR, end=3 * HOUR))
    assert simulated(on_a_line(("north", {"windows": windows}))) == Day([2 * HOUR], 3 * HOUR + 1200, [])


def test_the_way_back_counts_and_overtime_extends_it() -> None:
    long = ("east", {"duration": 7 * HOUR})
    assert simulated(on_a_line(long)) is None
    assert simulated(on_a_line(long, overtime_allowed=HOUR)) == Day([HOUR], 9 * HOUR, [])


def test_a_break_falls_into_waiting_where_it_costs_nothing() -> None:
    day = possible(on_a_line(("north", {"windows": (Window(start=6 * HOUR, end=7 * HOUR),)}), breaks=(NOON,)))
    assert (day.starts, day.end) == ([6 * HOUR], 7 * HOUR + 1200)
    assert NOON.earliest <= day.rests[0] <= NOON.latest


def test_a_break_is_taken_before_a_service_that_would_run_over_it() -> None:
    day = possible(on_a_line(("north", {"duration": 6 * HOUR}), breaks=(NOON,), end=12 * HOUR))
    assert day.rests == [4 * HOUR]
    assert day.starts == [4 * HOUR + HOUR // 2]


def test_a_break_after_the_day_needs_no_time_of_it() -> None:
    assert simulated(on_a_line(("north", {}), breaks=(NOON,))) == Day([1200], HOUR + 2400, [NOON.earliest])


def test_a_drive_is_not_interrupted_by_a_break() -> None:
    """Service ends at 3:20, the drive takes 40 minutes: a break due from 3:30 to 3:50 comes before it."""
    wanted = ("north", {"duration": 3 * HOUR}), ("east", {"duration": HOUR})
    due = Break(earliest=3 * HOUR + 1800, latest=3 * HOUR + 3000, duration=900)
    day = possible(on_a_line(*wanted, breaks=(due,)))
    assert day.rests == [3 * HOUR + 1800]
    assert day.starts[1] == 3 * HOUR + 1800 + 900 + 2400


def test_waiting_keeps_a_told_customer_where_it_is_cheaper() -> None:
    told = {"told": True, "previous": Previous(shift="li-wei/mon", start=3 * HOUR)}
    assert simulated(on_a_line(("north", told))) == Day([3 * HOUR - 900], 4 * HOUR + 300, [])


def test_a_drive_through_a_slow_hour_takes_longer_and_one_through_the_night_less() -> None:
    pace = Pace(begins=0, per_mille=(500, 2_000))
    slow = on_a_line(("north", {}), ("east", {}))
    day = possible(problem(slow.shifts, slow.visits, travel=slow.travel, pace=pace))
    assert day == Day([2_400, 6_000 + 1_200], 7_200 + HOUR + 1_800, [])


def test_parts_in_the_van_need_not_be_waited_for() -> None:
    needs = {"parts": (PartNeed(part="belt", quantity=2),), "parts_ready": 3 * HOUR}
    late = on_a_line(("north", needs))
    assert simulated(late) == Day([3 * HOUR], 4 * HOUR + 1_200, [])
    for quantity, start in ((1, 3 * HOUR), (2, 1_200)):
        held = (VanStock(technician="li-wei", part="belt", quantity=quantity),)
        assert possible(problem(late.shifts, late.visits, travel=late.travel, van_stock=held)).starts == [start]


def test_a_van_takes_no_more_than_its_capacity() -> None:
    heavy = ("north", {"load": 2}), ("south", {"load": 3})
    assert simulated(on_a_line(*heavy, capacity=4)) is None
    assert simulated(on_a_line(*heavy, capacity=5)) is not None


def test_whoever_need_not_wait_leaves_for_the_traffic_of_that_hour() -> None:
    """The second hour is half as fast: 600 s of the drive before it, and the other 600 s in it, take 1,800 s."""
    day = on_a_line(("north", {"windows": (Window(start=4_800, end=4_800),)}))
    slow = problem(day.shifts, day.visits, travel=day.travel, pace=Pace(begins=0, per_mille=(1_000, 500)))
    stop = route_of(prepare(slow), 0, [0]).stops[0]
    assert (stop.arrival, stop.start, stop.waiting_seconds) == (1_200, 4_800, 3_600)
    assert stop.departs == 3_000


@settings(max_examples=300, deadline=None, derandomize=True)
@given(paces(), st.integers(-5 * HOUR, 20 * HOUR), st.integers(0, 6 * HOUR), st.integers(0, 3 * HOUR))
def test_the_simulator_and_the_referee_drive_alike_and_who_leaves_later_never_arrives_earlier(
    pace: Pace, leaves: int, leg: int, later: int
) -> None:
    """Over by then, and one second before not yet: the way gone is summed hour by hour in whole thousandths."""
    arrays = prepare(problem((shift(),), (), pace=pace)).arrays
    arrives = arrival(arrays, leaves, leg)
    assert arrives == referees_arrival(pace, leaves, leg)
    assert arrives <= arrival(arrays, leaves + later, leg)
    assert gone(pace, leaves, arrives) >= 1_000 * leg
    assert leg == 0 or gone(pace, leaves, arrives - 1) < 1_000 * leg


def gone(pace: Pace, begin: int, end: int) -> int:
    """Thousandths of table seconds driven from `begin` to `end`."""
    hours = range(len(pace.per_mille))
    total = 0
    for hour in hours:
        opens = begin if hour == 0 else max(begin, pace.begins + HOUR * hour)
        closes = end if hour == hours[-1] else min(end, pace.begins + HOUR * (hour + 1))
        total += pace.per_mille[hour] * max(0, closes - opens)
    return total


def written_out(instance: Instance, day: ShiftData, order: list[int]) -> int | None:
    """Return the lowest price over every placing of breaks and every choice to wait for a told customer."""
    capacity = instance.problem.shifts[day.index].capacity
    if capacity is not None and sum(instance.problem.visits[index].load for index in order) > capacity:
        return None
    gaps = range(2 * len(order) + 3)
    best: int | None = None
    for placing in product(gaps, repeat=len(day.pauses)):
        if list(placing) != sorted(placing):
            continue
        for waits in product((False, True), repeat=len(order)):
            price = one_schedule(instance, day, order, placing, waits)
            if price is not None and (best is None or price < best):
                best = price
    return best


def one_schedule(
    instance: Instance, day: ShiftData, order: list[int], placing: tuple[int, ...], waits: tuple[bool, ...]
) -> int | None:
    """Gap 2i is before the drive to stop i, gap 2i + 1 after it; the last two surround the way back, then the end."""
    time, place, price = day.start, day.start_place, 0

    def rest(now: int, gap: int) -> int | None:
        for pause, chosen in zip(day.pauses, placing, strict=True):
            if chosen == gap:
                begin = max(now, pause.earliest)
                if begin > pause.latest:
                    return None
                now = begin + pause.duration
        return now

    for step, (index, wait) in enumerate(zip(order, waits, strict=True)):
        data = instance.visits[index]
        leaves = rest(time, 2 * step)
        drive = 0 if leaves is None else drive_from(instance, leaves, instance.seconds[place][data.place])
        ready = None if leaves is None else rest(leaves + drive, 2 * step + 1)
        if ready is None:
            return None
        ready = max(ready, at_hand(instance, day, index))
        ready = max(ready, data.told_from) if wait and data.told_shift == day.index else ready
        starts = [max(ready, opens) for opens, closes in data.opens if ready <= closes]
        if not starts:
            return None
        start = min(starts)
        price += instance.prices.travel_second * drive + taking_price(instance.arrays, index, day.index)
        price += start_price(instance.arrays, index, day.index, start)
        time, place = start + data.duration, data.place
    leaves = rest(time, 2 * len(order))
    back = None if leaves is None else leaves + drive_from(instance, leaves, instance.seconds[place][day.end_place])
    if leaves is None or back is None or back > day.last or rest(back, 2 * len(order) + 1) is None:
        return None
    if any(gap > 2 * len(order) + 1 for gap in placing):
        return None
    service = sum(instance.visits[index].duration for index in order)
    price += instance.prices.unfair_second * max(0, service - day.fair)
    price += instance.prices.overtime_second * max(0, back - day.end)
    return price + instance.prices.travel_second * (back - leaves)


def drive_from(instance: Instance, leaves: int, leg: int) -> int:
    pace = instance.problem.pace
    return leg if pace is None else referees_arrival(pace, leaves, leg) - leaves


def at_hand(instance: Instance, day: ShiftData, index: int) -> int:
    """Return from when on the parts of a visit are at hand on this day; much later than its end for never."""
    visit = instance.problem.visits[index]
    technician = instance.problem.shifts[day.index].technician
    if not visit.parts or stocked(instance.problem).get(index) == technician:
        return 0
    return 1_000 * HOUR if visit.parts_ready is None else visit.parts_ready


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=True,
)
@given(problems(most_visits=3, most_shifts=2), st.data())
def test_the_simulation_finds_the_cheapest_schedule_of_an_order(random_problem: Problem, data: st.DataObject) -> None:
    instance = prepared(random_problem)
    if not instance.shifts or not instance.visits:
        return
    day = instance.shifts[data.draw(st.integers(0, len(instance.shifts) - 1))]
    order = data.draw(st.permutations(range(len(instance.visits))))
    route = simulate_route(instance, day.index, order)
    assert (None if route is None else route.price) == written_out(instance, day, list(order))
