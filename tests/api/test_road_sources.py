"""Road servers and road files asked: blocks, refusals, silence, places without a road."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from backend.dispatch.road_sources import OsrmServer, Points, RoadFile, RoadsUnavailable, road_source
from backend.settings import Settings, SettingsError, checked
from routing.travel.osm import read_roads
from routing.travel.roads import RoadRouter
from tests.osrm import OSRM_BIN, TableServer, real_server, table_server
from tests.routing.make_roads import metres_north, street, write_roads

KM = metres_north(1000)


@pytest.fixture
def server() -> Iterator[TableServer]:
    with table_server() as running:
        yield running


def points(*spots: tuple[float, float]) -> Points:
    return Points(*(np.array(column, dtype=np.float64) for column in zip(*spots, strict=True)))


def everyone(spots: Points) -> np.ndarray:
    return np.arange(len(spots), dtype=np.intp)


LINE = points(*((0.0, number * KM) for number in range(7)))


@pytest.mark.parametrize("most", [100, 5, 2])
async def test_a_table_comes_in_blocks_the_server_takes(server: TableServer, most: int) -> None:
    server.most = most
    legs = await OsrmServer(server.url).legs(LINE, everyone(LINE), everyone(LINE)[:5])
    apart = np.abs(np.arange(7)[:, None] - np.arange(5)[None, :])
    assert np.abs(legs.seconds - apart * 100).max() <= 1
    assert np.abs(legs.metres - apart * 1000).max() <= 1


async def test_pairs_are_asked_as_pairs(server: TableServer) -> None:
    origins, destinations = np.array([0, 6, 3, 2]), np.array([1, 0, 3, 6])
    legs = await OsrmServer(server.url, 4).legs(LINE, origins, destinations, paired=True)
    assert legs.seconds.tolist() == [100, 600, 0, 400]
    assert len(server.asked) == 2


@pytest.mark.parametrize("strict", [True, False])
async def test_a_place_without_a_road_or_a_way_is_unknown_and_the_rest_is_not(
    server: TableServer,
    strict: bool,  # noqa: FBT001 - pytest gives it
) -> None:
    server.strict = strict
    spots = points((0.0, 0.0), (0.0, 40.0), (0.0, KM), (6.0, 0.0), (0.0, 41.0))
    legs = await OsrmServer(server.url).legs(spots, everyone(spots), everyone(spots))
    assert legs.seconds.tolist() == [
        [0, -1, 100, -1, -1],
        [-1, -1, -1, -1, -1],
        [100, -1, 0, -1, -1],
        [-1, -1, -1, 0, -1],
        [-1, -1, -1, -1, -1],
    ]


async def test_a_failing_server_is_asked_again_and_a_dead_one_given_up(server: TableServer) -> None:
    server.failures = 2
    legs = await OsrmServer(server.url, first_wait=0.01).legs(LINE, everyone(LINE), everyone(LINE))
    assert legs.seconds[0, 1] == 100
    server.failures = 9
    with pytest.raises(RoadsUnavailable, match="HTTP 503"):
        await OsrmServer(server.url, first_wait=0.01).legs(LINE, everyone(LINE), everyone(LINE))
    with pytest.raises(RoadsUnavailable, match="ConnectError"):
        await OsrmServer("http://127.0.0.1:9", first_wait=0.01).version()


async def test_a_silent_server_is_given_up(server: TableServer) -> None:
    server.silent_seconds = 0.5
    with pytest.raises(RoadsUnavailable, match="longer than"):
        await OsrmServer(server.url, whole_seconds=0.2).legs(LINE, everyone(LINE), everyone(LINE))


@pytest.mark.parametrize(
    "says",
    [
        b"<html>", b"[]", b'{"code":"Ok"}',
        b'{"code":"Ok","durations":[[0]],"distances":[[0]],"sources":[],"destinations":[]}',
        b'{"code":"Ok","durations":null,"distances":null,"sources":[],"destinations":[]}', b'{"code":"InvalidQuery"}',
    ],
)  # fmt: skip
async def test_what_is_no_table_is_refused(server: TableServer, says: bytes) -> None:
    server.says = says
    with pytest.raises(RoadsUnavailable):
        await OsrmServer(server.url).legs(LINE, everyone(LINE), everyone(LINE))


async def test_a_road_file_answers_and_a_missing_one_says_so(tmp_path: Path) -> None:
    crossings = {1: (0.0, 0.0), 2: (KM, 0.0)}
    source = RoadFile(write_roads(tmp_path / "town.osm.pbf", crossings, [street(1, 2, maxspeed="45")]))
    spots = points((0.0, 0.0), (KM, 0.0), (0.0, 1.0))
    legs = await source.legs(spots, everyone(spots), everyone(spots))
    assert legs.seconds.tolist() == [[0, 100, -1], [100, 0, -1], [-1, -1, -1]]
    assert source.label == "roads of town.osm.pbf"
    gone = RoadFile(tmp_path / "gone.osm.pbf")
    with pytest.raises(RoadsUnavailable, match="no road file"):
        await gone.version()
    with pytest.raises(RoadsUnavailable, match="no road file"):
        await gone.legs(spots, everyone(spots), everyone(spots))


def test_the_setting_names_who_is_asked() -> None:
    assert road_source("estimate") is None
    assert isinstance(road_source("roads:hefei.osm.pbf"), RoadFile)
    osrm = road_source("osrm:http://user:secret@roads.test:5000/?max_table_size=1000")
    assert osrm is not None
    assert osrm.label == "road server roads.test:5000"
    assert osrm.family == "osrm:http://roads.test:5000:", "what is kept tells no password, and outlives a change of it"


@pytest.mark.parametrize(
    "travel", ["", "roads", "roads:", "osrm:", "osrm:roads.test", "osrm:ftp://x", "osrm:http://x?max_table_size=1"]
)
def test_a_setting_that_names_nobody_is_refused(travel: str) -> None:
    with pytest.raises(SettingsError, match="PAIGONG_TRAVEL"):
        checked(Settings(travel=travel))
    with pytest.raises(ValueError, match=f"^{travel.replace('?', '.')}$"):
        road_source(travel)


@pytest.mark.parametrize("most", [100, 20])
async def test_a_real_osrm_server_keeps_the_same_promises(tmp_path: Path, most: int) -> None:
    extract = Path(os.environ.get("OSM_DATA", "nowhere")) / "monaco.osm.pbf"
    if not OSRM_BIN or not extract.exists():
        pytest.skip(
            "NOT TESTED AGAINST A REAL OSRM: set OSRM_BIN to its programs and OSM_DATA to monaco.osm.pbf's folder"
        )
    router = RoadRouter(read_roads(extract))
    random = np.random.default_rng(3)
    vectors = router.network.vectors[random.integers(0, len(router.network.vectors), 60)]
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    latitudes, longitudes = np.degrees(np.arcsin(vectors[:, 2])), np.degrees(np.arctan2(vectors[:, 1], vectors[:, 0]))
    spots = Points(np.append(latitudes, 47.0), np.append(longitudes, 20.0))  # the last in another country
    own = router.legs(router.put_on_roads(spots.latitudes, spots.longitudes), everyone(spots), everyone(spots))
    with real_server(extract, tmp_path, most=most) as url:
        source = OsrmServer(url)
        assert (await source.version()).startswith(f"osrm:{url}")
        legs = await source.legs(spots, everyone(spots), everyone(spots))
        pairs = await source.legs(spots, everyone(spots)[:-1], everyone(spots)[1:], paired=True)
    assert (legs.seconds[-1] == -1).all()
    assert (legs.seconds[:, -1] == -1).all()
    assert pairs.seconds.tolist() == np.diagonal(legs.seconds, offset=1).tolist()
    both = (legs.seconds > 60) & (own.seconds > 60)
    assert both.sum() > 2_000
    ratio = legs.seconds[both] / own.seconds[both]
    assert np.abs(ratio / np.median(ratio) - 1).mean() < 0.08  # 0.04 when this was written
