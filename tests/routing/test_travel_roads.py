"""Roads: what a car may use, ways as short as brute force finds, places off the road, files kept and refused."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from routing.travel.asking import MODULE, RoadAnswer, RoadRequest
from routing.travel.osm import KEPT, RoadFileError, direction_of, load_roads, read_roads, speed_of
from routing.travel.roads import OnRoads, RoadRouter
from tests.routing.make_roads import METRES_A_DEGREE, metres_north, street, write_roads

KM = metres_north(1000)
CROSS = {1: (0.0, 0.0), 2: (KM, 0.0), 3: (KM, KM), 4: (0.0, KM), 5: (2 * KM, 0.0)}
"""A square of a kilometre on the equator, and one crossing farther north."""
REAL_DATA = os.environ.get("OSM_DATA", "")
SPEED = 50 * 0.8 / 3.6
LIMITS = st.sampled_from(("20", "50", "70"))


def router_of(path: Path) -> RoadRouter:
    return RoadRouter(read_roads(path))


def on(router: RoadRouter, *points: tuple[float, float], limit: float = 500.0) -> OnRoads:
    latitudes, longitudes = zip(*points, strict=True)
    return router.put_on_roads(np.array(latitudes), np.array(longitudes), limit)


def seconds(router: RoadRouter, *points: tuple[float, float]) -> list[list[int]]:
    every = np.arange(len(points))
    return router.legs(on(router, *points), every, every).seconds.tolist()


@pytest.mark.parametrize(
    ("tags", "speed"),
    [
        ({"highway": "residential"}, 25),
        ({"highway": "residential", "maxspeed": "50"}, 40),
        ({"highway": "primary", "maxspeed": "30 mph"}, 30 * 1.609344 * 0.8),
        ({"highway": "primary", "maxspeed": "CN:urban"}, 65),
        ({"highway": "service", "maxspeed": "0"}, 5),
        ({"highway": "service", "maxspeed": "900"}, 130),
        ({"highway": "footway"}, None),
        ({"highway": "service", "access": "private"}, None),
        ({"highway": "service", "access": "private", "motorcar": "yes"}, 15),
        ({"highway": "residential", "motor_vehicle": "no"}, None),
        ({"highway": "service", "area": "yes"}, None),
        ({"building": "yes"}, None),
    ],
)
def test_what_a_car_may_use_and_how_fast(tags: dict[str, str], speed: float | None) -> None:
    assert speed_of(tags) == (None if speed is None else pytest.approx(speed))


@pytest.mark.parametrize(
    ("tags", "direction"),
    [
        ({}, 0),
        ({"oneway": "yes"}, 1),
        ({"oneway": "-1"}, -1),
        ({"junction": "roundabout"}, 1),
        ({"highway": "motorway"}, 1),
        ({"highway": "motorway", "oneway": "no"}, 0),
    ],
)
def test_which_way_a_street_may_be_driven(tags: dict[str, str], direction: int) -> None:
    assert direction_of(tags) == direction


def test_times_along_a_street_and_back(tmp_path: Path) -> None:
    router = router_of(write_roads(tmp_path / "a.osm.pbf", CROSS, [street(1, 2, 5)]))
    north = (1.5 * KM, 0.0)
    middle = (0.5 * KM, metres_north(40))
    assert seconds(router, (0.0, 0.0), middle, north) == [
        [0, round(500 / SPEED), round(1500 / SPEED)],
        [round(500 / SPEED), 0, round(1000 / SPEED)],
        [round(1500 / SPEED), round(1000 / SPEED), 0],
    ]


def test_against_a_one_way_street_it_is_round_the_block(tmp_path: Path) -> None:
    block = [street(1, 2, oneway="yes"), street(2, 3, 4, 1, oneway="yes")]
    router = router_of(write_roads(tmp_path / "a.osm.pbf", CROSS, block))
    there, back = (0.2 * KM, 0.0), (0.7 * KM, 0.0)
    took = seconds(router, there, back)
    assert took[0][1] == round(500 / SPEED)
    assert took[1][0] == pytest.approx(3500 / SPEED, abs=1)


def test_the_faster_of_two_streets_between_the_same_crossings_is_taken(tmp_path: Path) -> None:
    both = [street(1, 2, maxspeed="20"), street(1, 4, 3, 2, maxspeed="100"), street(1, 2, maxspeed="40")]
    router = router_of(write_roads(tmp_path / "a.osm.pbf", CROSS, both))
    took = router.legs(on(router, CROSS[1], CROSS[2]), np.arange(2), np.arange(2))
    assert took.seconds[0, 1] == round(1000 / (32 / 3.6))
    assert took.metres[0, 1] == 1000


def test_what_lies_beyond_the_extract_or_cannot_be_left_is_no_road(tmp_path: Path) -> None:
    points = CROSS | {6: (3 * KM, 0.0), 7: (10 * KM, 0.0), 8: (11 * KM, 0.0)}
    streets = [
        street(1, 2, 99, 3, 4),  # crossing 99 is not in the file
        street(2, 3),
        street(5, 6, oneway="yes"),
        street(2, 5, oneway="yes"),  # nobody comes back from there
        street(7, 8),  # an island
    ]
    network = read_roads(write_roads(tmp_path / "a.osm.pbf", points, streets))
    assert network.junctions == 4
    assert network.decimetres.sum() == pytest.approx(30_000, abs=5)


def test_a_place_far_from_roads_is_said_to_be_and_nobody_gets_there(tmp_path: Path) -> None:
    router = router_of(write_roads(tmp_path / "a.osm.pbf", CROSS, [street(1, 2)]))
    places = on(router, (0.0, 0.0), (0.5 * KM, metres_north(499)), (0.5 * KM, metres_north(501)))
    assert places.off_road.tolist() == [False, False, True]
    assert places.metres[1:] == pytest.approx([499, 501], abs=0.1)
    legs = router.legs(places, np.arange(3), np.arange(3))
    assert legs.seconds[2].tolist() == [-1, -1, -1]
    assert legs.seconds[:, 2].tolist() == [-1, -1, -1]
    assert (legs.seconds[:2, :2] >= 0).all()


@st.composite
def towns(draw: st.DrawFn):
    """Crossings, no three in a line, and straight streets between any two, some one-way."""
    count = draw(st.integers(2, 7))
    spots = draw(st.lists(st.integers(0, 9), min_size=count, max_size=count, unique=True))
    points = {number: (0.1 * KM * at, 0.02 * KM * at**2) for number, at in enumerate(spots, start=1)}
    ends = st.tuples(st.integers(1, count), st.integers(1, count)).filter(lambda pair: pair[0] != pair[1])
    streets = [
        street(*draw(ends), oneway=draw(st.sampled_from(("no", "no", "yes", "-1"))), maxspeed=draw(LIMITS))
        for _ in range(draw(st.integers(1, 10)))
    ]
    return points, streets


def _brute(points, streets) -> dict[tuple[int, int], float]:
    """Shortest seconds between all crossings, by trying every way through every third."""
    far = float("inf")
    best = {(one, other): 0.0 if one == other else far for one in points for other in points}
    for one in streets:
        a, b = one.nodes
        metres = METRES_A_DEGREE * np.hypot(points[a][0] - points[b][0], points[a][1] - points[b][1])
        took = metres / (float(one.tags["maxspeed"]) * 0.8 / 3.6)
        if one.tags["oneway"] in {"no", "yes"}:
            best[a, b] = min(best[a, b], took)
        if one.tags["oneway"] in {"no", "-1"}:
            best[b, a] = min(best[b, a], took)
    for by in points:
        for one in points:
            for other in points:
                best[one, other] = min(best[one, other], best[one, by] + best[by, other])
    return best


@settings(deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(towns())
def test_ways_are_as_fast_as_trying_them_all(tmp_path: Path, town) -> None:
    points, streets = town
    best = _brute(points, streets)
    path = write_roads(tmp_path / "town.osm.pbf", points, streets)
    if all(one == other or best[one, other] + best[other, one] == float("inf") for one, other in best):
        with pytest.raises(RoadFileError, match="no road"):
            read_roads(path)
        return
    router = router_of(path)
    numbers = list(points)
    places = on(router, *points.values(), limit=0.5)
    inside = [index for index in range(len(numbers)) if not places.off_road[index]]
    legs = router.legs(places, np.array(inside), np.array(inside))
    for row, one in enumerate(inside):
        for column, other in enumerate(inside):
            fastest = best[numbers[one], numbers[other]]
            assert abs(legs.seconds[row, column] - fastest) <= 1


def test_the_network_is_kept_beside_the_file_until_the_file_changes(tmp_path: Path) -> None:
    path = write_roads(tmp_path / "a.osm.pbf", CROSS, [street(1, 2)])
    first = load_roads(path)
    kept = path.with_name(path.name + KEPT)
    written = kept.stat().st_mtime_ns
    again = load_roads(path)
    assert kept.stat().st_mtime_ns == written
    assert (again.version, again.name, again.junctions) == (first.version, first.name, 2)
    assert (again.vectors == first.vectors).all()
    kept.write_bytes(kept.read_bytes()[:200])  # a disk that was full
    assert load_roads(path).junctions == 2
    changed = load_roads(write_roads(path, CROSS, [street(1, 2, 5)]))
    assert changed.version != first.version
    assert list(tmp_path.glob("*.npz")) == [kept]


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "roads_file_missing"), (b"no map at all", "roads_file_damaged"), ("footway", "roads_file_empty")],
)
def test_a_file_without_roads_is_refused(tmp_path: Path, content: bytes | str | None, code: str) -> None:
    path = tmp_path / "a.osm.pbf"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        write_roads(path, CROSS, [street(1, 2, highway=content)])
    with pytest.raises(RoadFileError) as refused:
        load_roads(path)
    assert refused.value.code == code
    assert "a.osm.pbf" in refused.value.en
    assert "a.osm.pbf" in refused.value.zh


def _asked(request: RoadRequest) -> RoadAnswer:
    ran = subprocess.run(
        [sys.executable, "-m", MODULE], input=msgspec.msgpack.encode(request), stdout=subprocess.PIPE, check=True
    )
    return msgspec.msgpack.decode(ran.stdout, type=RoadAnswer)


def test_a_process_of_its_own_answers_tables_and_pairs(tmp_path: Path) -> None:
    path = write_roads(tmp_path / "a.osm.pbf", CROSS, [street(1, 2, 5)])
    latitudes = [0.0, KM, 2 * KM]
    request = RoadRequest(
        file=str(path), latitudes=latitudes, longitudes=[0.0] * 3, origins=[0, 1], destinations=[2, 0], paired=True
    )
    kilometre, two = round(1000 / SPEED), round(2000 / SPEED)
    assert _asked(request).legs((2,)).seconds.tolist() == [two, kilometre]
    refused = _asked(msgspec.structs.replace(request, file=str(tmp_path / "gone.osm.pbf"))).refusal
    assert refused is not None
    assert refused.code == "roads_file_missing"


def test_a_process_of_its_own_has_bounded_memory_and_says_when_it_is_too_little(tmp_path: Path) -> None:
    path = write_roads(tmp_path / "a.osm.pbf", CROSS, [street(1, 2, 5)])
    request = RoadRequest(file=str(path), latitudes=[0.0, KM], longitudes=[0.0] * 2, origins=[0], destinations=[1])
    refused = _asked(msgspec.structs.replace(request, address_space_bytes=64 * 1024 * 1024)).refusal
    assert refused is not None
    assert (refused.code, "64 MB" in refused.en, "64 MB" in refused.zh) == ("roads_out_of_memory", True, True)
    assert _asked(request).refusal is None


@pytest.mark.parametrize("name", ["monaco", "porto-alegre"])
def test_real_extracts(name: str, tmp_path: Path) -> None:
    source = Path(REAL_DATA or "nowhere") / f"{name}.osm.pbf"
    if not source.exists():
        pytest.skip(f"NOT TESTED ON REAL ROADS: set OSM_DATA to a folder with {source.name}")
    path = tmp_path / source.name
    path.symlink_to(source)
    network = load_roads(path)
    router = RoadRouter(network)
    assert network.junctions > 1_000
    spots = network.vectors[np.random.default_rng(7).integers(0, len(network.vectors), 60)]
    unit = spots / np.linalg.norm(spots, axis=1)[:, None]
    latitudes, longitudes = np.degrees(np.arcsin(unit[:, 2])), np.degrees(np.arctan2(unit[:, 1], unit[:, 0]))
    places = router.put_on_roads(latitudes, longitudes)
    assert places.metres.max() < 0.5
    every = np.arange(60)
    legs = router.legs(places, every, every)
    took = legs.seconds.astype(np.int64)
    assert (took >= 0).all()
    assert (took <= (took[:, :, None] + took[None, :, :]).min(axis=1) + 2).all()  # rounding of both parts
