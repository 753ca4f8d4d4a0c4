"""Problems for the planner's tests: a small city with named people, and random small problems."""

from typing import Any

import msgspec
from hypothesis import strategies as st

from routing.plan import Plan
from routing.problem import (
    Break,
    Follows,
    GivenTravel,
    Pace,
    PartNeed,
    PerPriority,
    Pin,
    Place,
    Previous,
    Prices,
    Problem,
    Shift,
    VanStock,
    Visit,
    Window,
)

HOUR = 3600
DAY = 24 * HOUR

DEPOT = Place(id="depot", latitude=31.23, longitude=121.47)
NORTH = Place(id="north", latitude=31.30, longitude=121.47)
SOUTH = Place(id="south", latitude=31.16, longitude=121.47)
EAST = Place(id="east", latitude=31.23, longitude=121.58)
CITY = (DEPOT, NORTH, SOUTH, EAST)

CHEAP = PerPriority(p1=1, p2=1, p3=1, p4=1)
CLOSE_PRICES = Prices(
    unserved=PerPriority(p1=2_000_000, p2=1_000_000, p3=500_000, p4=100_000),
    late=PerPriority(p1=300_000, p2=100_000, p3=50_000, p4=10_000),
    promise_broken=80_000,
    promise_second=30,
    told_moved=90_000,
    moved=20_000,
    pin_unserved=0,
    unfair_second=40,
    fair_per_mille=300,
)
"""Prices so near to each other that every term decides now and then."""
PARTS = ("board", "belt")


def shift(name: str = "li-wei/mon", **changes: Any) -> Shift:
    """A working day of 李伟 (technician), 8 hours from the horizon start, from and to the depot."""
    values: dict[str, Any] = {
        "id": name,
        "technician": name.split("/", maxsplit=1)[0],
        "start": 0,
        "end": 8 * HOUR,
        "start_place": "depot",
        "end_place": "depot",
        "skills": ("lift",),
    }
    return Shift(**{**values, **changes})


def visit(name: str, place: str = "north", **changes: Any) -> Visit:
    """An hour's work on a lift."""
    values: dict[str, Any] = {"id": name, "place": place, "duration": HOUR, "skills": ("lift",)}
    return Visit(**{**values, **changes})


def problem(shifts: tuple[Shift, ...], visits: tuple[Visit, ...], **changes: Any) -> Problem:
    """A problem in the small city, travel estimated."""
    return Problem(**{"places": CITY, "shifts": shifts, "visits": visits, **changes})


def line(count: int, seconds: int) -> GivenTravel:
    """Travel between `count` places on a line, `seconds` apart."""
    table = tuple(tuple(abs(one - other) * seconds for other in range(count)) for one in range(count))
    return GivenTravel(seconds=table, metres=table, source="a line")


def city_week(visits: int, technicians: int, days: int, *, breaks: bool = False, step: int = 7919) -> Problem:
    """A larger problem, always the same: shifts begin at three times of day, a quarter of them has the lift skill."""
    places = tuple(
        Place(
            id=f"p{index}",
            latitude=31.2 + 0.09 * ((index * step) % 101 - 50) / 50,
            longitude=121.4 + 0.11 * ((index * step) % 89 - 44) / 44,
        )
        for index in range(80)
    )
    shifts = tuple(
        shift(
            f"t{person}/d{day}",
            technician=f"t{person}",
            start=day * DAY + person % 3 * 8 * HOUR,
            end=day * DAY + person % 3 * 8 * HOUR + 8 * HOUR,
            start_place=f"p{person % 4}",
            end_place=f"p{person % 4}",
            skills=("lift", "escalator") if person % 4 == 0 else ("escalator",),
            overtime_allowed=HOUR,
            breaks=(
                Break(
                    earliest=day * DAY + (person % 3 * 8 + 3) * HOUR,
                    latest=day * DAY + (person % 3 * 8 + 5) * HOUR,
                    duration=HOUR // 2,
                ),
            )
            if breaks
            else (),
        )
        for day in range(days)
        for person in range(technicians)
    )
    wanted = tuple(
        visit(
            f"v{index}",
            f"p{index * 13 % 80}",
            duration=(20 + index * 37 % 90) * 60,
            priority=(3, 3, 2, 3, 4, 3, 1, 3)[index % 8],
            commitment_due=2 * DAY - index * 977 % (40 * HOUR),
            skills=("lift",) if index % 7 == 0 else ("escalator",),
        )
        for index in range(visits)
    )
    return Problem(places=places, shifts=shifts, visits=wanted)


def _times(latest: int) -> st.SearchStrategy[int]:
    return st.integers(0, latest // 60).map(lambda minutes: minutes * 60)


@st.composite
def windows(draw: st.DrawFn, latest: int) -> Window:
    start = draw(_times(latest))
    return Window(start=start, end=start + draw(_times(4 * HOUR)))


@st.composite
def travel_tables(draw: st.DrawFn, places: int, most: int) -> GivenTravel:
    """Any table at all: asymmetric, and with ways round that are shorter than the straight way."""
    numbers = draw(st.lists(st.integers(0, most), min_size=places * places, max_size=places * places))
    table = tuple(
        tuple(0 if row == column else numbers[row * places + column] for column in range(places))
        for row in range(places)
    )
    return GivenTravel(seconds=table, metres=table, source="random")


@st.composite
def shifts(draw: st.DrawFn, count: int, places: tuple[str, ...]) -> tuple[Shift, ...]:
    made: list[Shift] = []
    for index in range(count):
        start = index // 2 * DAY + draw(_times(4 * HOUR))
        if index > 1 and draw(st.booleans()):  # another one of the same person's day
            start = made[-2].end + made[-2].overtime_allowed + draw(_times(2 * HOUR))
        length = draw(st.integers(120, 600)) * 60
        pauses: list[Break] = []
        if length > 4 * HOUR and draw(st.booleans()):
            earliest = start + HOUR + draw(_times(HOUR))
            pauses.append(Break(earliest=earliest, latest=earliest + draw(_times(HOUR)), duration=30 * 60))
            if length > 6 * HOUR and draw(st.booleans()):
                earliest = pauses[0].latest + HOUR
                pauses.append(Break(earliest=earliest, latest=earliest + 30 * 60, duration=15 * 60))
        made.append(
            Shift(
                id=f"shift{index}",
                technician=("李伟", "张强")[index % 2],
                start=start,
                end=start + length,
                start_place=draw(st.sampled_from(places)),
                end_place=draw(st.sampled_from(places)),
                breaks=tuple(pauses),
                overtime_allowed=draw(st.sampled_from((0, 0, HOUR))),
                skills=draw(st.sampled_from((("lift",), ("lift", "door")))),
                territory=draw(st.sampled_from((None, "west", "east"))),
                capacity=draw(st.sampled_from((None, None, None, 0, 2, 5))),
            )
        )
    return tuple(made)


@st.composite
def visits(draw: st.DrawFn, name: str, places: tuple[str, ...], working: tuple[Shift, ...]) -> Visit:
    horizon = 2 * DAY
    technicians = sorted({day.technician for day in working})
    previous = None
    if working and draw(st.integers(0, 3)) == 0:
        day = draw(st.sampled_from(working))
        previous = Previous(
            shift=draw(st.sampled_from((day.id, day.id, "gone"))), start=day.start + draw(_times(4 * HOUR))
        )
    wanted = visit(
        name,
        draw(st.sampled_from(places)),
        duration=draw(_times(2 * HOUR)),
        priority=draw(st.sampled_from((1, 2, 3, 4))),
        windows=tuple(draw(st.lists(windows(horizon), max_size=3))) if draw(st.integers(0, 4)) == 0 else (),
        earliest=draw(st.sampled_from((0, 0, 0, HOUR, 5 * HOUR))),
        commitment_due=draw(st.none() | st.integers(-DAY, horizon)),
        commitment_margin=draw(st.sampled_from((0, 0, HOUR))),
        promise=draw(windows(DAY)) if draw(st.integers(0, 3)) == 0 else None,
        told=draw(st.booleans()),
        skills=draw(st.sampled_from(((), (), (), ("lift",), ("door",)))),
        territory=draw(st.sampled_from((None, "west"))),
        preferred_technician=draw(st.sampled_from((None, "李伟"))),
        previous=previous,
        parts=tuple(draw(st.lists(part_needs(), max_size=2, unique_by=lambda need: need.part)))
        if draw(st.integers(0, 3)) == 0
        else (),
        parts_ready=draw(st.sampled_from((0, HOUR, 4 * HOUR, DAY + HOUR, None, -HOUR))),
        load=draw(st.sampled_from((0, 0, 0, 1, 2, 6))),
        delay_per_mille=draw(st.sampled_from((1_000, 1_000, 333, 0))),
    )
    return _restricted(draw, wanted, working, technicians)


def part_needs() -> st.SearchStrategy[PartNeed]:
    return st.builds(PartNeed, part=st.sampled_from(PARTS), quantity=st.integers(1, 2))


def _restricted(draw: st.DrawFn, wanted: Visit, working: tuple[Shift, ...], technicians: list[str]) -> Visit:
    """Sometimes a pin, or a list of people; never one that contradicts itself."""
    kind = draw(st.integers(0, 9))
    values = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    start = draw(st.none() | _times(6 * HOUR))
    if kind == 0 and technicians:
        values["pin"] = Pin(technician=draw(st.sampled_from(technicians)), start=start)
    if kind == 1 and working:
        day = draw(st.sampled_from(working))
        if set(wanted.skills) <= set(day.skills):
            at = None if start is None else day.start + start
            fits = at is not None and at + wanted.duration <= day.end + day.overtime_allowed
            values["pin"] = Pin(shift=day.id, start=at if fits else None)
    if kind == 2:
        values["forbidden_technicians"] = ("张强",)
    if kind == 3:
        values["allowed_technicians"] = ("张强",)
    pin = values["pin"]
    if pin is not None and pin.start is not None:
        values |= {"earliest": 0, "windows": (), "promise": None}
    return Visit(**values)


def paces() -> st.SearchStrategy[Pace]:
    """Hours of different speed that begin before, in or after the first day; some from a twentieth to ten times."""
    usual = st.integers(400, 2_000)
    return st.builds(
        Pace,
        begins=st.integers(-2 * HOUR, 8 * HOUR),
        per_mille=st.lists(usual | st.sampled_from((50, 999, 1_000, 1_001, 10_000)), min_size=1, max_size=12).map(
            tuple
        ),
    )


@st.composite
def van_stocks(draw: st.DrawFn) -> tuple[VanStock, ...]:
    """What the two vans carry, and now and then that of somebody who does not work."""
    held = st.builds(
        VanStock,
        technician=st.sampled_from(("李伟", "张强", "李伟", "张强", "赵敏")),
        part=st.sampled_from(PARTS),
        quantity=st.integers(0, 3),
    )
    return tuple(draw(st.lists(held, max_size=4)))


def _frozen(draw: st.DrawFn, wanted: Visit, working: tuple[Shift, ...]) -> Visit:
    """The visit as reality has decided it: on a shift, at any time, also one that its rules would not allow."""
    day = draw(st.sampled_from(working))
    start = day.start + draw(_times(3 * HOUR)) - draw(st.sampled_from((0, 0, 2 * HOUR)))
    return msgspec.structs.replace(wanted, frozen=True, pin=None, previous=Previous(shift=day.id, start=start))


def _coupled(draw: st.DrawFn, wanted: Visit, earlier: list[Visit]) -> Visit:
    """The visit with a crew, or as one that follows an earlier one, or both."""
    kind = draw(st.integers(0, 4))
    if kind in {0, 1}:
        wanted = msgspec.structs.replace(wanted, technicians=draw(st.sampled_from((2, 2, 2, 3))))
    if kind in {1, 2, 3} and earlier:
        least = draw(_times(HOUR))
        relation = Follows(
            visit=draw(st.sampled_from(earlier)).id,
            least_gap=least,
            most_gap=draw(st.none() | _times(2 * HOUR).map(lambda more: least + more)),
            same_technician=draw(st.booleans()),
        )
        wanted = msgspec.structs.replace(wanted, follows=relation)
    return wanted


@st.composite
def problems(
    draw: st.DrawFn, most_visits: int = 7, most_shifts: int = 4, *, frozen: bool = False, coupled: bool = False
) -> Problem:
    """A random small problem that uses everything a problem can say but a limit of changes.

    `frozen`, `coupled`: with frozen visits; with crews and visits that follow another.
    """
    names = tuple(f"place{index}" for index in range(draw(st.integers(1, 5))))
    working = draw(shifts(draw(st.sampled_from((0, *range(1, most_shifts + 1), most_shifts, most_shifts))), names))
    count = draw(st.integers(0, most_visits))
    wanted = [draw(visits(f"visit{index}", names, working)) for index in range(count)]
    if frozen and working and draw(st.integers(0, 2)) == 0:
        for index in range(draw(st.integers(0, min(3, count)))):
            wanted[index] = _frozen(draw, wanted[index], working)
    if coupled:
        for index, one in enumerate(wanted):
            if not one.frozen and draw(st.integers(0, 2)) == 0:
                wanted[index] = _coupled(draw, one, wanted[:index])
    return Problem(
        places=tuple(Place(id=name) for name in names),
        shifts=working,
        visits=tuple(wanted),
        travel=draw(travel_tables(len(names), draw(st.sampled_from((600, 1800, 3600, 3 * HOUR))))),
        prices=draw(st.sampled_from((Prices(), Prices(), CLOSE_PRICES))),
        van_stock=draw(van_stocks()),
        pace=draw(st.none() | paces()),
    )


@st.composite
def put_in_force(draw: st.DrawFn, old: Problem, plan: Plan, *, most_changes: bool) -> Problem:
    """The problem of the morning after: `plan` is in force, some were told, and something has changed meanwhile."""
    known = {stop.visit: (route.shift, stop.start) for route in plan.routes for stop in route.stops}

    def in_force(visit: Visit) -> Visit:
        if visit.frozen or visit.id not in known:
            return visit
        where, start = known[visit.id]
        told = draw(st.booleans())
        return msgspec.structs.replace(visit, previous=Previous(shift=where, start=start), told=told, pin=None)

    visits = tuple(in_force(visit) for visit in old.visits)
    if visits and visits[0].pin is None and draw(st.booleans()):
        later = visits[0].duration + draw(_times(HOUR))
        visits = (msgspec.structs.replace(visits[0], duration=later), *visits[1:])
    changes = draw(st.integers(0, 3)) if most_changes else None
    return msgspec.structs.replace(old, visits=visits, most_changes=changes)
