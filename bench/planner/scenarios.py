"""Generated days of field service: what varies between them, and the problem each becomes.

Everything comes from the scenario's seed. All planners get the same travel table, the estimate of our embedded
provider rounded to seconds; the deadline and the promised window of a visit are folded into its windows, since peers
know no other way to say them, and ours gets the same. An appointment after the deadline replaces it.
"""

from dataclasses import dataclass
from random import Random
from typing import Final

import msgspec
import numpy as np

from routing.problem import (
    Break,
    EstimatedTravel,
    GivenTravel,
    PerPriority,
    Place,
    Prices,
    Priority,
    Problem,
    Shift,
    Visit,
    Window,
)
from routing.travel import travel_table

HOUR: Final = 3_600
DAY: Final = 24 * HOUR
SKILLS: Final = ("cctv", "network", "elevator", "fire", "power")
NOTHING: Final = PerPriority(p1=0, p2=0, p3=0, p4=0)
PRICES: Final = msgspec.structs.replace(Prices(), delay_second=NOTHING, unfair_second=0)
"""Peers minimise travel and nothing else once visits are served; here we do too."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What a generated region looks like. Shares are 0 to 1, times are in minutes, distances in kilometres."""

    name: str
    seed: int
    visits: int = 300
    technicians: int = 30
    days: int = 3
    service: tuple[int, int] = (40, 150)
    across: float = 40.0
    clusters: int = 0
    skills_each: int = 2
    rare: float = 0.0
    """Share of visits that need the one skill only one technician in ten has."""
    windowed: float = 0.25
    window: tuple[int, int] = (90, 240)
    deadlines: float = 0.6
    """Share of visits whose 48 hours run, begun up to a day before the horizon."""
    promised: float = 0.1
    breaks: bool = True
    depots: int = 3


def problem_of(scenario: Scenario) -> Problem:
    """Return the scenario's problem, the same for every planner."""
    random = Random(scenario.seed)
    spots = _Spots(scenario, random)
    depots = tuple(spots(f"depot{n}") for n in range(scenario.depots))
    sites = tuple(spots(f"site{n}") for n in range(scenario.visits))
    shifts = tuple(
        _shift(scenario, worker, day, skills, depots[worker % len(depots)].id)
        for worker, skills in enumerate(_skills(scenario, random))
        for day in range(scenario.days)
    )
    visits = tuple(_visit(scenario, random, n, site.id) for n, site in enumerate(sites))
    places = depots + sites
    table = travel_table(Problem(places=places, shifts=(), visits=(), travel=EstimatedTravel()))
    rows, metres = (tuple(tuple(row) for row in np.asarray(one).tolist()) for one in (table.seconds, table.metres))
    travel = GivenTravel(seconds=rows, metres=metres, source=scenario.name)
    return Problem(places=places, shifts=shifts, visits=visits, travel=travel, prices=PRICES)


class _Spots:
    """Where things are: anywhere in a square, or near one of its centres."""

    def __init__(self, scenario: Scenario, random: Random) -> None:
        self._random, self._side = random, scenario.across
        self._centres = [
            (random.uniform(0, self._side), random.uniform(0, self._side)) for _ in range(scenario.clusters)
        ]

    def __call__(self, name: str) -> Place:
        random = self._random
        if self._centres:
            x, y = (random.gauss(centre, self._side / 25) for centre in random.choice(self._centres))
        else:
            x, y = random.uniform(0, self._side), random.uniform(0, self._side)
        return Place(id=name, latitude=31.0 + y / 111.0, longitude=117.0 + x / 95.0)


def _skills(scenario: Scenario, random: Random) -> list[tuple[str, ...]]:
    """Return each technician's skills; the first tenth has the rare one as well."""
    rare = max(1, scenario.technicians // 10)
    return [
        (
            *random.sample(SKILLS[: 2 + scenario.skills_each], scenario.skills_each),
            *(("rare",) if worker < rare else ()),
        )
        for worker in range(scenario.technicians)
    ]


def _shift(scenario: Scenario, worker: int, day: int, skills: tuple[str, ...], depot: str) -> Shift:
    begin = day * DAY + (8 + worker % 3) * HOUR
    pause = Break(earliest=begin + 3 * HOUR + HOUR // 2, latest=begin + 5 * HOUR, duration=45 * 60)
    return Shift(
        id=f"t{worker}-{day}", technician=f"t{worker}", start=begin, end=begin + 8 * HOUR, start_place=depot,
        end_place=depot, breaks=(pause,) if scenario.breaks else (), skills=skills,
    )  # fmt: skip


def _visit(scenario: Scenario, random: Random, number: int, site: str) -> Visit:
    priority: Priority = random.choices((1, 2, 3, 4), (0.05, 0.15, 0.5, 0.3))[0]
    skill = "rare" if random.random() < scenario.rare else random.choice(SKILLS[: 2 + scenario.skills_each])
    due = 2 * DAY - random.randrange(DAY) if random.random() < scenario.deadlines else None
    opens = _windows(scenario, random)
    kept = () if due is None else tuple(one for one in opens if one.start <= due)
    if kept and due is not None:
        opens = tuple(Window(start=one.start, end=min(one.end, due)) for one in kept)
    return Visit(
        id=f"v{number}", place=site, duration=random.randrange(*scenario.service) * 60, priority=priority,
        skills=(skill,), windows=opens, commitment_due=due if kept else None,
    )  # fmt: skip


def _windows(scenario: Scenario, random: Random) -> tuple[Window, ...]:
    """Return when the customer can be met: one appointment, certain hours of every day, or always."""
    length = random.randrange(*scenario.window) * 60
    hour = random.randrange(8 * HOUR, 17 * HOUR - length, 1800)
    kind = random.random()
    if kind < scenario.promised:
        begin = random.randrange(scenario.days) * DAY + hour
        return (Window(start=begin, end=begin + length),)
    if kind < scenario.promised + scenario.windowed:
        return tuple(Window(start=day * DAY + hour, end=day * DAY + hour + length) for day in range(scenario.days))
    return (Window(start=0, end=scenario.days * DAY),)


def all_scenarios() -> tuple[Scenario, ...]:
    """Return the 24 scenarios of the benchmark: eight of the main kind, and two of each other."""
    kinds: dict[str, dict[str, object]] = {
        "overloaded": {"visits": 420},
        "slack": {"visits": 200},
        "tight windows": {"windowed": 0.8, "window": (45, 91)},
        "rare skills": {"rare": 0.12},
        "clustered": {"clusters": 6},
        "wide": {"across": 120.0, "visits": 240},
        "short visits": {"visits": 450, "service": (15, 75), "technicians": 24},
        "one day": {"days": 1, "visits": 150, "technicians": 40, "deadlines": 0.2},
    }
    main = [Scenario(name=f"main {n}", seed=100 + n) for n in range(8)]
    others = [
        Scenario(name=f"{name} {n}", seed=200 + 10 * index + n, **settings)  # pyright: ignore[reportArgumentType]
        for index, (name, settings) in enumerate(kinds.items())
        for n in range(2)
    ]
    return (*main, *others)


def only(problem: Problem, visits: set[str]) -> Problem:
    """Return the problem with these visits alone; places stay, so that tables need no cutting."""
    return msgspec.structs.replace(problem, visits=tuple(visit for visit in problem.visits if visit.id in visits))
