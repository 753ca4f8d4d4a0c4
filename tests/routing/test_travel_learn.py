"""Learning from trips: known factors come back, a lunch on the way changes nothing, few trips teach little."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.travel.learn import (
    ESTIMATE,
    LEAST_TRIPS,
    PER_MILLE_BOUNDS,
    ROADS,
    SLOTS,
    Trips,
    error,
    error_on_others,
    learn,
    predicted,
    untrained,
)

MORNING, NOON, WEEKEND = 8, 12, 24 + 12


def trips_of(
    count: int, *, seed: int = 1, scale: float = 1.0, overhead: float = 120.0, noise: float = 0.1,
    pace: dict[int, float] | None = None, zones: dict[tuple[int, int], float] | None = None,
) -> Trips:  # fmt: skip
    """Trips of 4 to 25 minutes between three zones, in the morning, at noon and at the weekend."""
    random = np.random.default_rng(seed)
    base = random.uniform(200, 1_500, count)
    origins, destinations = random.integers(0, 3, count), random.integers(0, 3, count)
    slots = random.choice([MORNING, NOON, WEEKEND], count)
    pairs = zip(origins.tolist(), destinations.tolist(), strict=True)
    factor = np.array([(zones or {}).get(pair, 1.0) for pair in pairs])
    speed = np.array([(pace or {}).get(slot, 1.0) for slot in slots.tolist()])
    actual = (overhead + scale * factor * base) / speed * np.exp(random.normal(0, noise, count))
    return Trips(base, actual, origins, destinations, slots)


@settings(deadline=None, derandomize=True, max_examples=8)
@given(
    st.floats(0.5, 3.0),
    st.sampled_from((0, 60, 120, 240)),
    st.floats(0.6, 1.0),
    st.floats(0.6, 1.8),
    st.integers(1, 99),
)
def test_known_factors_come_back(scale: float, overhead: int, rush: float, slow: float, seed: int) -> None:
    zones = {(0, 1): slow}
    known = trips_of(2_000, seed=seed, scale=scale, overhead=overhead, pace={MORNING: rush}, zones=zones)
    learnt = learn(known)
    fresh = trips_of(500, seed=seed + 1, scale=scale, overhead=overhead, pace={MORNING: rush}, zones=zones, noise=0.0)
    assert error(fresh, learnt) < 0.05
    ratio = learnt.per_mille[MORNING][0] / learnt.per_mille[NOON][0]
    assert ratio == pytest.approx(rush, rel=0.06)
    assert learnt.zones[0, 1][0] / learnt.zones[1, 0][0] == pytest.approx(slow, rel=0.1)


def test_the_error_is_that_of_the_noise_and_less_than_before() -> None:
    trips = trips_of(1_500, scale=1.4, pace={MORNING: 0.7}, noise=0.15)
    noise = float(np.mean(np.abs(np.exp(-np.random.default_rng(5).normal(0, 0.15, 100_000)) - 1)))
    after = error_on_others(trips)
    assert error(trips, untrained(ESTIMATE)) > 2 * after
    assert noise * 0.9 < after < noise * 1.1


@settings(deadline=None, derandomize=True, max_examples=8)
@given(st.integers(1, 99), st.integers(1, 60))
def test_a_lunch_on_the_way_changes_nothing(seed: int, lunches: int) -> None:
    trips = trips_of(600, seed=seed)
    stopped = Trips(trips.base, trips.actual.copy(), trips.origin_zones, trips.destination_zones, trips.slots)
    stopped.actual[:lunches] += 5_400
    plain, robust = learn(trips), learn(stopped)
    assert robust.left_out >= lunches
    moved = np.abs(predicted(trips, robust) / predicted(trips, plain) - 1)
    assert moved.mean() < 0.05  # ten of a hundred trips are missing among those counted


@settings(deadline=None, derandomize=True, max_examples=40)
@given(st.integers(0, 80), st.floats(1, 1e6), st.floats(1, 1e6), st.integers(0, SLOTS - 1), st.data())
def test_whatever_is_reported_what_is_learnt_stays_sane(
    count: int, base: float, actual: float, slot: int, data: st.DataObject
) -> None:
    times = st.lists(st.floats(1, 1e6), min_size=count, max_size=count)
    zone = np.full(count, data.draw(st.integers(-1, 2)))
    wild = Trips(
        np.array(data.draw(times), dtype=np.float64), np.array(data.draw(times), dtype=np.float64),
        zone, zone, np.full(count, slot),
    )  # fmt: skip
    learnt = learn(wild)
    assert 0.2 <= learnt.scale <= 5.0
    assert all(0.4 <= factor <= 2.5 for factor, _ in learnt.zones.values())
    assert all(PER_MILLE_BOUNDS[0] <= per_mille <= PER_MILLE_BOUNDS[1] for per_mille, _ in learnt.per_mille.values())
    assert learnt.trips + learnt.left_out in {0, count}
    assert np.isfinite(predicted(wild, learnt)).all()


def test_few_trips_teach_nothing_and_some_teach_a_little() -> None:
    assert learn(trips_of(LEAST_TRIPS - 1, scale=2.0)) == untrained(ESTIMATE)
    some, many = (learn(trips_of(count, zones={(0, 1): 1.8})).zones[0, 1] for count in (60, 3_000))
    assert 1.0 < some[0] < many[0] == pytest.approx(1.8, rel=0.12)
    assert some[1] < 20 < many[1]


def test_of_roads_one_scale_and_the_hours_are_learnt() -> None:
    learnt = learn(trips_of(900, scale=1.2, overhead=0, pace={MORNING: 0.8}, zones={(0, 1): 1.1}), ROADS)
    assert learnt.overhead_seconds == 0
    assert learnt.zones == {}
    assert learnt.scale == pytest.approx(1.2 / 0.93, rel=0.06)  # the usual hour lies between rush hour and the rest


def test_without_trips_there_is_no_error() -> None:
    none = trips_of(0)
    assert (error(none, learn(none)), error_on_others(none)) == (0.0, 0.0)
