"""The public instances of vehicle routing with time windows, as problems of ours.

The format is Solomon's (1987), which Gehring and Homberger kept; the convention is that of the DIMACS challenge
(2021): Euclidean distances truncated to one decimal, total distance is minimised, the fleet is the instance's.
All times and distances are multiplied by ten, so that they are whole.
"""

import math
import re
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from routing.limits import MAX_PRICE
from routing.problem import GivenTravel, PerPriority, Place, Prices, Problem, Shift, Visit, Window

SCALE: Final = 10
GENERATED: Final = "R1_10_g"
NOTHING: Final = PerPriority(p1=0, p2=0, p3=0, p4=0)
DISTANCE_ONLY: Final = Prices(
    unserved=PerPriority(p1=MAX_PRICE, p2=MAX_PRICE, p3=MAX_PRICE, p4=MAX_PRICE), late=NOTHING, late_second=NOTHING,
    promise_broken=0, promise_second=0, told_moved=0, moved=0, overtime_second=0, travel_second=1,
    delay_second=NOTHING, not_preferred=0, outside_territory=0, pin_unserved=0, unfair_second=0,
)  # fmt: skip


class Customer(NamedTuple):
    """One line of an instance; number 0 is the depot."""

    number: int
    x: int
    y: int
    demand: int
    ready: int
    due: int
    service: int


class Instance(NamedTuple):
    """A fleet of equal vehicles, and the customers after the depot."""

    name: str
    vehicles: int
    capacity: int
    customers: tuple[Customer, ...]


def read_instance(path: Path) -> Instance:
    """Read one file; raise `ValueError` when it is not in the format."""
    rows = [row for row in map(_numbers, path.read_text("utf-8").splitlines()) if row is not None]
    if len(rows) < 2 or len(rows[0]) != 2 or any(len(row) != len(Customer._fields) for row in rows[1:]):  # noqa: PLR2004
        raise ValueError(f"{path.name} is not an instance in Solomon's format")
    return Instance(path.stem, rows[0][0], rows[0][1], tuple(Customer(*row) for row in rows[1:]))


def _numbers(line: str) -> list[int] | None:
    """Return the numbers of a line that holds nothing else, or None."""
    fields = line.split()
    return [int(field) for field in fields] if fields and all(field.isdigit() for field in fields) else None


def best_known(folder: Path) -> dict[str, float]:
    """Return the best known distances that the folder's README lists as ``| instance | distance |``."""
    rows = re.findall(r"^\|\s*(\w+)\s*\|\s*([\d.]+)\s*\|$", (folder / "README.md").read_text("utf-8"), re.MULTILINE)
    return {name: float(distance) for name, distance in rows}


def problem_of(instance: Instance) -> Problem:
    """Return the instance as a problem; its distance is `Cost.travel` / 10."""
    depot, *customers = instance.customers
    places = tuple(Place(id=str(one.number)) for one in instance.customers)
    table = tuple(tuple(_tenths(one, other) for other in instance.customers) for one in instance.customers)
    shifts = tuple(
        Shift(
            id=f"vehicle{n}", technician=f"vehicle{n}", start=SCALE * depot.ready, end=SCALE * depot.due,
            start_place=places[0].id, end_place=places[0].id, capacity=instance.capacity,
        )
        for n in range(instance.vehicles)
    )  # fmt: skip
    visits = tuple(
        Visit(
            id=str(one.number), place=str(one.number), duration=SCALE * one.service, load=one.demand,
            windows=(Window(start=SCALE * one.ready, end=SCALE * one.due),),
        )
        for one in customers
    )  # fmt: skip
    travel = GivenTravel(seconds=table, metres=table, source=instance.name)
    return Problem(places=places, shifts=shifts, visits=visits, travel=travel, prices=DISTANCE_ONLY)


def _tenths(one: Customer, other: Customer) -> int:
    """Return the distance truncated to one decimal, times ten, without a detour over floating point."""
    return math.isqrt(SCALE * SCALE * ((one.x - other.x) ** 2 + (one.y - other.y) ** 2))


def generated(customers: int = 1000, seed: int = 10) -> Instance:
    """Return an instance of the R1 kind: uniform places, narrow windows everywhere, short routes, a small capacity.

    Size, horizon, service, demands (mean 18 of 200) and windows of 10 are those of Gehring and Homberger's R1_10_1.
    """
    random, side, horizon, service = Random(seed), 500, 1925, 10
    depot = Customer(0, side // 2, side // 2, 0, 0, horizon, 0)
    rows = [depot]
    for number in range(1, customers + 1):
        x, y = random.randrange(side + 1), random.randrange(side + 1)
        away = math.ceil(math.dist((x, y), (depot.x, depot.y)))
        centre = random.randint(away + 5, horizon - away - service - 5)
        demand = min(50, max(1, round(random.gauss(18, 10))))
        rows.append(Customer(number, x, y, demand, centre - 5, centre + 5, service))
    return Instance(GENERATED, customers // 4, 200, tuple(rows))
