"""Travel estimates: geopy agrees on distance, going by a third place is never shorter, tables come back as given,

and legs asked one by one are to the second what the table says.
"""

import math
import time

import numpy as np
from geopy.distance import great_circle
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.problem import EstimatedTravel, GivenTravel, Place, Problem, ZoneFactor
from routing.travel import travel_between, travel_table
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


ESTIMATES = st.builds(
    EstimatedTravel,
    overhead_seconds=st.integers(0, 600),
    scale=st.floats(0.2, 5),
    zones=st.lists(
        st.builds(
            ZoneFactor,
            origin=st.sampled_from("abc"),
            destination=st.sampled_from("abc"),
            factor=st.floats(0.4, 2.5),
        ),
        max_size=4,
        unique_by=lambda zone: (zone.origin, zone.destination),
    ).map(tuple),
)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.lists(st.tuples(POINTS, st.sampled_from((None, "a", "b", "c"))), min_size=1, max_size=9), ESTIMATES, st.data()
)
def test_legs_say_what_the_table_says(
    points: list[tuple[tuple[float, float], str | None]], estimate: EstimatedTravel, data: st.DataObject
) -> None:
    places = tuple(
        Place(id=str(index), latitude=lat, longitude=lon, zone=zone) for index, ((lat, lon), zone) in enumerate(points)
    )
    estimated = Problem(places=places, shifts=(), visits=(), travel=estimate)
    rows = travel_table(estimated)
    given_rows = GivenTravel(
        seconds=tuple(map(tuple, rows.seconds.tolist())), metres=tuple(map(tuple, rows.metres.tolist())), source="rows"
    )
    given_back = Problem(places=places, shifts=(), visits=(), travel=given_rows)
    some = data.draw(st.lists(st.integers(0, len(points) - 1), max_size=12))
    ends = np.array([(one, other) for one in some for other in some], dtype=np.intp).reshape(-1, 2)
    for problem in (estimated, given_back):
        between = travel_between(problem)
        legs = between.legs(ends[:, 0], ends[:, 1])
        assert (legs.seconds == rows.seconds[ends[:, 0], ends[:, 1]]).all()
        assert (legs.metres == rows.metres[ends[:, 0], ends[:, 1]]).all()
        among = between.table(np.array(some, dtype=np.intp))
        assert (among.seconds == rows.seconds[np.ix_(some, some)]).all()


def test_many_legs_come_in_blocks_and_still_agree() -> None:
    places = tuple(Place(id=str(one), latitude=31 + one % 29 / 97, longitude=117 + one % 31 / 89) for one in range(700))
    between = travel_between(Problem(places=places, shifts=(), visits=()))
    origins, destinations = np.divmod(np.arange(700 * 700)[::-1], 700)
    legs = between.legs(origins, destinations)
    assert (legs.seconds.reshape(700, 700)[::-1, ::-1] == between.table().seconds).all()


def test_the_factor_is_that_of_the_zones_in_that_direction() -> None:
    places = (
        Place(id="in", latitude=31.2, longitude=117.0, zone="old town"),
        Place(id="out", latitude=31.3, longitude=117.0, zone="new town"),
        Place(id="elsewhere", latitude=31.2, longitude=117.1),
    )
    slow = EstimatedTravel(
        overhead_seconds=0, zones=(ZoneFactor(origin="new town", destination="old town", factor=1.5),)
    )
    plain, zoned = table_of(places, EstimatedTravel(overhead_seconds=0)).seconds, table_of(places, slow).seconds
    assert math.isclose(zoned[1, 0], 1.5 * plain[1, 0], abs_tol=1.5)
    other = [(0, 1), (0, 2), (2, 0), (1, 2)]
    assert [zoned[pair] for pair in other] == [plain[pair] for pair in other]


def test_a_table_that_says_it_is_estimated_is_believed() -> None:
    told = GivenTravel(seconds=((0,),), metres=((0,),), source="the server is down", estimated=True)
    table = travel_table(Problem(places=CITY[:1], shifts=(), visits=(), travel=told))
    assert (table.source, table.estimated) == ("the server is down", True)


def test_a_thousand_places_take_a_moment() -> None:
    places = tuple(
        Place(id=str(index), latitude=31 + index % 37 / 100, longitude=121 + index % 41 / 100) for index in range(1000)
    )
    started = time.perf_counter()
    table_of(places)
    assert time.perf_counter() - started < 5  # 0.1 s on an idle core; geopy one by one takes over a minute
