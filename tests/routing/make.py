"""Problems for the planner's tests: a small city with named people, and random small problems."""

from typing import Any

from hypothesis import strategies as st

from routing.problem import (
    Break,
    GivenTravel,
    PerPriority,
    Pin,
    Place,
    Previous,
    Prices,
    Problem,
    Shift,
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
        windows=tuple(draw(st.lists(windows(horizon), max_size=2))) if draw(st.integers(0, 4)) == 0 else (),
        earliest=draw(st.sampled_from((0, 0, 0, HOUR, 5 * HOUR))),
        commitment_due=draw(st.none() | st.integers(-DAY, horizon)),
        promise=draw(windows(DAY)) if draw(st.integers(0, 3)) == 0 else None,
        told=draw(st.booleans()),
        skills=draw(st.sampled_from(((), (), (), ("lift",), ("door",)))),
        territory=draw(st.sampled_from((None, "west"))),
        preferred_technician=draw(st.sampled_from((None, "李伟"))),
        previous=previous,
    )
    return _restricted(draw, wanted, working, technicians)


def _restricted(draw: st.DrawFn, wanted: Visit, working: tuple[Shift, ...], technicians: list[str]) -> Visit:
    """Sometimes a pin, or a list of people; never one that contradicts itself."""
    kind = draw(st.integers(0, 9))
    values = {name: getattr(wanted, name) for name in wanted.__struct_fields__}
    if kind == 0 and technicians:
        values["pin"] = Pin(technician=draw(st.sampled_from(technicians)))
    if kind == 1 and working:
        day = draw(st.sampled_from(working))
        if set(wanted.skills) <= set(day.skills):
            values["pin"] = Pin(shift=day.id)
    if kind == 2:
        values["forbidden_technicians"] = ("张强",)
    if kind == 3:
        values["allowed_technicians"] = ("张强",)
    return Visit(**values)


@st.composite
def problems(draw: st.DrawFn, most_visits: int = 7, most_shifts: int = 4) -> Problem:
    """A random small problem that uses everything a problem can say, frozen visits apart."""
    names = tuple(f"place{index}" for index in range(draw(st.integers(1, 5))))
    working = draw(shifts(draw(st.sampled_from((0, *range(1, most_shifts + 1), most_shifts, most_shifts))), names))
    count = draw(st.integers(0, most_visits))
    return Problem(
        places=tuple(Place(id=name) for name in names),
        shifts=working,
        visits=tuple(draw(visits(f"visit{index}", names, working)) for index in range(count)),
        travel=draw(travel_tables(len(names), draw(st.sampled_from((600, 1800, 3600, 3 * HOUR))))),
        prices=Prices(),
    )
