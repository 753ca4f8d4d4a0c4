"""`make bench-travel DATA=<folder with .osm.pbf extracts>`: how far travel times are off, before and after learning.

The truth of a simulated trip is the fastest way on an extract's roads, slower in rush hours, times lognormal noise;
stops on the way (3 % of trips) are in what is learnt from and not in what is measured. Nobody foresees the noise, so
the floor is the error of one who knows roads and hours exactly.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from geopy.distance import geodesic  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from bench.table import Figure, report
from routing.problem import EstimatedTravel, Place
from routing.travel.estimate import EARTH_RADIUS_METRES, CoordinateEstimate, base_seconds
from routing.travel.learn import ESTIMATE, ROADS, Learner, Trips, error, learn_and_judge, untrained
from routing.travel.osm import load_roads
from routing.travel.roads import RoadRouter

TAUGHT: Final = (50, 200, 1_000, 5_000)
TESTED: Final = 2_000
SITES: Final = 400
"""Places customers are at; trips go between any two."""
TOWN_SCALE: Final = 1.25
"""Lights, turns and parking, which roads do not know of: the figure to be learnt."""
HOURS: Final = {7: 0.85, 8: 0.65, 9: 0.8, 16: 0.9, 17: 0.7, 18: 0.75}
"""Speed in rush hours of workdays; 1 else."""
NOISE: Final = 0.15
STOPS: Final = 0.03
STOP_SECONDS: Final = 2_400.0
LEAST_METRES: Final = 500.0
CELL_DEGREES: Final = 0.02
"""Zones are squares of about 2 km: an extract is one town's middle."""
GEODESICS: Final = 2_000
GOAL_SECONDS: Final = 0.2
ROAD_GOAL_SECONDS: Final = 2.0


@dataclass(frozen=True)
class Town:
    """Trips of one extract: for the estimate and for roads, what it takes, and what one could know of it."""

    estimated: Trips
    by_road: Trips
    foreseeable: NDArray[np.float64]
    stopped: NDArray[np.bool_]


def main() -> None:
    """Measure each extract of the folder, and the speeds."""
    parser = argparse.ArgumentParser(prog="bench-travel", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="a folder with .osm.pbf extracts")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    extracts = sorted(options.data.glob("*.osm.pbf"))
    if not extracts:
        parser.error(f"{options.data} holds no .osm.pbf")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        for extract in extracts:
            copy = Path(folder) / extract.name  # what is kept beside a file is not wanted beside this one
            copy.write_bytes(extract.read_bytes())
            figures += _measured(copy, options.seeds)
    report("bench-travel", [*figures, *_speed_of_estimate()])


def _measured(extract: Path, seeds: int) -> list[Figure]:
    began = time.perf_counter()
    network = load_roads(extract)
    name = extract.name.removesuffix(".osm.pbf")
    figures = [_row(f"{name}: reading the extract, s", time.perf_counter() - began, None, "told", met=True)]
    began = time.perf_counter()
    load_roads(extract)
    figures.append(_row(f"{name}: loading what was kept, s", time.perf_counter() - began, None, "told", met=True))
    router = RoadRouter(network)
    towns = [_town(router, seed) for seed in range(seeds)]
    floor = statistics.median(_floor(town) for town in towns)
    figures += _errors(name, towns, floor)
    seconds = _matrix_seconds(router, 200)
    figures.append(_row(f"{name}: 200 x 200 by road, s", seconds, None, "under 2 s", met=seconds < ROAD_GOAL_SECONDS))
    return figures


def _errors(name: str, towns: list[Town], floor: float) -> list[Figure]:
    """Return the rows of errors in %, medians over the seeds; the peer is the floor."""
    rows: list[Figure] = []
    for what, learner in (("estimate", ESTIMATE), ("roads", ROADS)):
        errors = [
            100 * statistics.median(_error_after(town, count, learner) for town in towns) for count in (0, *TAUGHT)
        ]
        least = min(errors)
        enough = next(count for count, now in zip((0, *TAUGHT), errors, strict=True) if now <= least + 1)
        rows.append(_row(f"{name}: {what} untrained, MAPE %", errors[0], 100 * floor, "told", met=True))
        for count, now in zip(TAUGHT, errors[1:], strict=True):
            rows.append(
                _row(f"{name}: {what} after {count} trips, MAPE %", now, 100 * floor, "not above untrained",
                     met=now <= errors[0])
            )  # fmt: skip
        rows.append(_row(f"{name}: {what}, trips until within 1 point of its best", enough, None, "told", met=True))
    return rows


def _error_after(town: Town, count: int, learner: Learner) -> float:
    """Return the error on the last TESTED trips after learning from `count` of those before, used if it errs less."""
    trips = town.estimated if learner is ESTIMATE else town.by_road
    judged = learn_and_judge(trips.at(np.arange(count)), learner) if count else None
    learnt = judged.learnt if judged is not None and judged.better else untrained(learner)
    tested = np.arange(len(trips)) >= len(trips) - TESTED
    return error(trips.at(tested & ~town.stopped), learnt)


def _floor(town: Town) -> float:
    driven = ~town.stopped
    return float(np.mean(np.abs(town.foreseeable[driven] / town.estimated.actual[driven] - 1)))


def _town(router: RoadRouter, seed: int) -> Town:
    """Simulate trips between the places of a town."""
    random = np.random.default_rng(seed)
    latitudes, longitudes = _sites(router, SITES, random)
    places = router.put_on_roads(latitudes, longitudes)
    everyone = np.arange(SITES)
    roads = router.legs(places, everyone, everyone)
    straight = CoordinateEstimate(EstimatedTravel()).table(_places(latitudes, longitudes)).metres
    origins, destinations = np.nonzero((straight >= LEAST_METRES) & (roads.seconds > 0))
    chosen = random.integers(0, len(origins), max(TAUGHT) + TESTED)
    pair = origins[chosen], destinations[chosen]
    slots = random.choice(np.array([*range(7, 20), *range(24 + 9, 24 + 17)]), len(chosen))
    pace = np.array([HOURS.get(slot, 1.0) for slot in slots.tolist()])
    by_road = roads.seconds[pair].astype(np.float64)
    foreseeable = by_road * TOWN_SCALE / pace
    actual = foreseeable * np.exp(random.normal(0, NOISE, len(chosen)))
    stopped = random.random(len(chosen)) < STOPS
    actual[stopped] += STOP_SECONDS
    _, cells = np.unique(
        np.stack((latitudes // CELL_DEGREES, longitudes // CELL_DEGREES), axis=1), axis=0, return_inverse=True
    )
    zones = cells.reshape(-1)[pair[0]].astype(np.int64), cells.reshape(-1)[pair[1]].astype(np.int64)
    estimated = Trips(base_seconds(straight[pair].astype(np.float64)), actual, *zones, slots)
    return Town(estimated, Trips(by_road, actual, *zones, slots), foreseeable, stopped)


def _sites(
    router: RoadRouter, count: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return places within about 30 m of a road."""
    vectors = router.network.vectors
    unit = vectors[random.integers(0, len(vectors), count)] / EARTH_RADIUS_METRES
    latitudes, longitudes = np.degrees(np.arcsin(unit[:, 2])), np.degrees(np.arctan2(unit[:, 1], unit[:, 0]))
    return latitudes + random.normal(0, 2e-4, count), longitudes + random.normal(0, 2e-4, count)


def _places(latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]) -> list[Place]:
    pairs = zip(latitudes.tolist(), longitudes.tolist(), strict=True)
    return [Place(id=str(number), latitude=lat, longitude=lon) for number, (lat, lon) in enumerate(pairs)]


def _matrix_seconds(router: RoadRouter, count: int) -> float:
    """Return the seconds to put places on the roads and to find all ways between them, the median of five."""
    latitudes, longitudes = _sites(router, count, np.random.default_rng(1))
    everyone = np.arange(count)
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        router.legs(router.put_on_roads(latitudes, longitudes), everyone, everyone)
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def _speed_of_estimate() -> list[Figure]:
    """Return how long 1000 x 1000 legs take, beside geopy's geodesic, a sample of which is multiplied up."""
    random = np.random.default_rng(1)
    places = _places(random.uniform(31.0, 31.4, 1_000), random.uniform(117.0, 117.5, 1_000))
    took: list[float] = []
    for _ in range(5):
        began = time.perf_counter()
        CoordinateEstimate(EstimatedTravel()).table(places)
        took.append(time.perf_counter() - began)
    ours = statistics.median(took)
    spots = [(place.latitude, place.longitude) for place in places]
    began = time.perf_counter()
    for one in range(GEODESICS):
        geodesic(spots[one % 1_000], spots[one * 7 % 1_000])
    peer = (time.perf_counter() - began) / GEODESICS * 1_000_000
    return [
        Figure(
            "1000 x 1000 estimated, s (peer: geopy's geodesic)",
            ours,
            peer,
            ours / peer,
            "under 0.2 s",
            ours < GOAL_SECONDS,
        )
    ]


def _row(row: str, ours: float, peer: float | None, goal: str, *, met: bool) -> Figure:
    return Figure(row, ours, peer, None if peer is None else ours / peer, goal, met)


if __name__ == "__main__":
    main()
