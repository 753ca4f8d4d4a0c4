"""Travel estimates: geopy agrees on distance, going by a third place is never shorter, tables come back as given."""

import math
import time

import numpy as np
from geopy.distance import great_circle
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.problem import EstimatedTravel, Place, Problem
from routing.travel import travel_table
from tests.routing.make import CITY, line


def table_of(places: tuple[Place, ...], estimate: EstimatedTravel | None = None):
    travel = EstimatedTravel() if estimate is None else estimate
    return travel_table(Problem(places=places, shifts=(), visits=(), travel=travel))


POINTS = st.builds(
    lambda latitude, longitude: (latitude, longitude),
    st.floats(-90, 90, allow_nan=False),
    st.floats(-180, 180, allow_nan=False),
)


@settings(deadline=None, derandomize=True)
@given(st.lists(POINTS, min_size=3, max_size=6))
def test_distances_are_great_circles_and_times_keep_the_triangle(points: list[tuple[float, float]]) -> None:
    places = tuple(Place(id=str(index), latitude=lat, longitude=lon) for index, (lat, lon) in enumerate(points))
    table = table_of(places)
    for one, first in enumerate(points):
        for other, second in enumerate(points):
            exact = great_circle(first, second, radius=6371.0088).meters
            assert math.isclose(table.metres[one, other], exact, rel_tol=1e-6, abs_tol=1.5)
    seconds = table.seconds.astype(np.int64)
    by_way = (seconds[:, :, None] + seconds[None, :, :]).min(axis=1)
    assert (seconds <= by_way + 1).all()  # one second for rounding of the distances themselves
    assert (seconds == seconds.T).all()
    assert (np.diag(seconds) == 0).all()


def test_the_formula() -> None:
    """2 s * metres ** 0.67, scaled, plus the time to get going: 7,784 m from the depot to the north."""
    table = table_of(CITY, EstimatedTravel(overhead_seconds=100, scale=1.5))
    metres = great_circle((31.23, 121.47), (31.30, 121.47), radius=6371.0088).meters
    assert table.seconds[0, 1] == math.ceil(100 + 1.5 * 2.0 * metres**0.67)
    assert table.estimated


def test_two_names_for_one_spot_take_no_time() -> None:
    again = Place(id="again", latitude=CITY[0].latitude, longitude=CITY[0].longitude)
    assert table_of((CITY[0], again)).seconds.tolist() == [[0, 0], [0, 0]]


def test_a_given_table_is_used_as_it_is() -> None:
    given_table = line(4, 60)
    table = travel_table(Problem(places=CITY, shifts=(), visits=(), travel=given_table))
    assert tuple(map(tuple, table.seconds.tolist())) == given_table.seconds
    assert tuple(map(tuple, table.metres.tolist())) == given_table.metres
    assert (table.source, table.estimated) == ("a line", False)


def test_a_thousand_places_take_a_moment() -> None:
    places = tuple(
        Place(id=str(index), latitude=31 + index % 37 / 100, longitude=121 + index % 41 / 100) for index in range(1000)
    )
    started = time.perf_counter()
    table_of(places)
    assert time.perf_counter() - started < 5  # 0.1 s on an idle core; geopy one by one takes over a minute
