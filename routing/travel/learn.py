"""What finished trips teach about travel: scale, overhead, factors of zones and of hours. Pure numbers, no dates.

A trip took ``(overhead + scale * zone factor * base) / pace of the hour``. Every part is a median of ratios in
logarithms, which a lunch on the way cannot pull, and is drawn towards 1 where few trips stand behind it
(docs/decisions/0207).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

SLOTS: Final = 48
"""Hours of the day on workdays (0 to 23) and on other days (24 to 47)."""
LEAST_TRIPS: Final = 30
"""With fewer trips nothing is learnt."""
ZONE_TRIPS: Final = 10
"""As many trips of a pair of zones count half against 'like everywhere else'."""
HOUR_TRIPS: Final = 20
"""As many trips in an hour count half against 'like all day'."""
OVERHEADS: Final = (0, 60, 120, 180, 240, 300)
"""Seconds for getting going and parking that are tried."""
OVERHEAD_TRIPS: Final = 150
"""With fewer trips the overhead stays what it was."""
ROUNDS: Final = 4
"""Passes over scale, hours and zones in turn; figures move by less than 0.1 % after the third."""
FACTOR_BOUNDS: Final = (0.4, 2.5)
PER_MILLE_BOUNDS: Final = (400, 1_600)
SCALE_BOUNDS: Final = (0.2, 5.0)
LEAST_CUT: Final = float(np.log(2.0))
"""A trip up to twice or half of what the others say always counts."""
SPREADS_CUT: Final = 3.5
"""Beyond, one counts only within this many robust standard deviations: who stopped for lunch did not just drive."""
SPREAD: Final = 1.4826
"""Median absolute deviation to standard deviation, for normal errors."""
LEAST_SHARE: Final = 0.1
"""What is left of a trip after the overhead is at least this share of its base."""
FOLDS: Final = 5


@dataclass(frozen=True, slots=True)
class Trips:
    """Finished trips, one entry each.

    `base` is what the provider says before anything is learnt and `actual` what it took, both in seconds and above 0;
    zones are numbers, -1 for none; `slots` the hour, below SLOTS.
    """

    base: NDArray[np.float64]
    actual: NDArray[np.float64]
    origin_zones: NDArray[np.int64]
    destination_zones: NDArray[np.int64]
    slots: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.base)

    def at(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "Trips":
        """Return some of the trips."""
        return Trips(
            self.base[chosen],
            self.actual[chosen],
            self.origin_zones[chosen],
            self.destination_zones[chosen],
            self.slots[chosen],
        )


@dataclass(frozen=True, slots=True)
class Learner:
    """What may be learnt: of an estimate all of it, of a road network or server no overhead and no zones."""

    overheads: Sequence[int] = OVERHEADS
    usual_overhead: int = 120
    zones: bool = True


ESTIMATE: Final = Learner()
ROADS: Final = Learner(overheads=(0,), usual_overhead=0, zones=False)


@dataclass(frozen=True, slots=True)
class Learnt:
    """What trips taught. `zones` by pair of zone numbers, `per_mille` by slot: (value, trips behind it)."""

    overhead_seconds: int
    scale: float
    zones: dict[tuple[int, int], tuple[float, int]]
    per_mille: dict[int, tuple[int, int]]
    trips: int
    left_out: int


def untrained(learner: Learner) -> Learnt:
    """Return what is used before anything is learnt."""
    return Learnt(learner.usual_overhead, 1.0, {}, {}, 0, 0)


def learn(trips: Trips, learner: Learner = ESTIMATE) -> Learnt:
    """Return what the trips teach: with less than LEAST_TRIPS of them, nothing."""
    if len(trips) < LEAST_TRIPS:
        return untrained(learner)
    tried = learner.overheads if len(trips) >= OVERHEAD_TRIPS else (learner.usual_overhead,)
    fits = [_fit(trips, overhead, learner) for overhead in tried]
    best = min(range(len(fits)), key=lambda one: (_median_error(trips, fits[one]), one))
    return fits[best]


def predicted(trips: Trips, learnt: Learnt) -> NDArray[np.float64]:
    """Return what the trips should have taken, in seconds; what they took is not looked at."""
    drive = learnt.overhead_seconds + learnt.scale * _factors_of(trips, learnt.zones) * trips.base
    return drive / _pace_of(trips, learnt.per_mille)


def error(trips: Trips, learnt: Learnt) -> float:
    """Return the mean absolute error as a share of what the trips took; 0 without trips."""
    return float(np.mean(np.abs(predicted(trips, learnt) / trips.actual - 1.0))) if len(trips) else 0.0


def error_on_others(trips: Trips, learner: Learner = ESTIMATE) -> float:
    """Return the error on trips that were not learnt from: each fifth of them, after learning from the rest."""
    fold = np.arange(len(trips)) % FOLDS
    parts = [
        np.abs(predicted(tested, learn(trips.at(fold != one), learner)) / tested.actual - 1.0)
        for one in range(FOLDS)
        if len(tested := trips.at(fold == one))
    ]
    return float(np.mean(np.concatenate(parts))) if parts else 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """What was learnt, and the error before and after on usual trips that were not learnt from; None: too few."""

    learnt: Learnt
    before: float | None
    after: float | None

    @property
    def better(self) -> bool:
        """Whether it errs less than what nobody taught, so that it should be used."""
        return self.before is not None and self.after is not None and self.after < self.before


def learn_and_judge(trips: Trips, learner: Learner = ESTIMATE) -> Judged:
    """Learn from the trips, and say whether to use it."""
    learnt = learn(trips, learner)
    if not learnt.trips:
        return Judged(learnt, None, None)
    counted = trips.at(usual(trips, learner))
    return Judged(learnt, error(counted, untrained(learner)), error_on_others(counted, learner))


def usual(trips: Trips, learner: Learner = ESTIMATE) -> NDArray[np.bool_]:
    """Return which trips are like the others; the rest stopped on the way, or were reported wrongly."""
    return _inside(_log_rest(trips, _fit(trips, learner.usual_overhead, learner)))


def _fit(trips: Trips, overhead: int, learner: Learner) -> Learnt:
    log_base = np.log(trips.base)
    log_zone = np.zeros(len(trips))
    log_pace = np.zeros(len(trips))
    zones: dict[tuple[int, int], tuple[float, int]] = {}
    hours: dict[int, tuple[int, int]] = {}
    log_scale, inside = 0.0, np.ones(len(trips), dtype=bool)
    for _ in range(ROUNDS):
        ratio = _log_drive(trips, overhead, log_pace) - log_base
        inside = _inside(ratio - log_zone)
        log_scale = float(
            np.clip(np.median((ratio - log_zone)[inside]), np.log(SCALE_BOUNDS[0]), np.log(SCALE_BOUNDS[1]))
        )
        if learner.zones:
            zones = _by_zone(trips, ratio - log_scale, inside)
            log_zone = np.log(_factors_of(trips, zones))
        driven = np.log(overhead + np.exp(log_scale + log_zone + log_base))
        hours = _by_hour(trips, driven - np.log(trips.actual), inside)
        log_pace = np.log(_pace_of(trips, hours))
    outside = int(np.count_nonzero(~inside))
    return Learnt(overhead, float(np.exp(log_scale)), zones, hours, len(trips) - outside, outside)


def _log_drive(trips: Trips, overhead: int, log_pace: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of what a trip took at the usual pace, the overhead taken off."""
    drive = trips.actual * np.exp(log_pace) - overhead
    return np.log(np.maximum(drive, LEAST_SHARE * trips.base))


def _inside(rest: NDArray[np.float64]) -> NDArray[np.bool_]:
    off = np.abs(rest - np.median(rest))
    return off <= max(LEAST_CUT, SPREADS_CUT * SPREAD * float(np.median(off)))


def _log_rest(trips: Trips, learnt: Learnt) -> NDArray[np.float64]:
    return np.log(trips.actual / predicted(trips, learnt))


def _median_error(trips: Trips, learnt: Learnt) -> float:
    return float(np.median(np.abs(_log_rest(trips, learnt))))


def _by_zone(
    trips: Trips, rest: NDArray[np.float64], inside: NDArray[np.bool_]
) -> dict[tuple[int, int], tuple[float, int]]:
    known = inside & (trips.origin_zones >= 0) & (trips.destination_zones >= 0)
    pairs = np.stack((trips.origin_zones[known], trips.destination_zones[known]), axis=1)
    found, group = np.unique(pairs, axis=0, return_inverse=True)
    medians = _medians(rest[known], group.reshape(-1), len(found), ZONE_TRIPS)
    low, high = FACTOR_BOUNDS
    return {
        (int(origin), int(destination)): (float(np.clip(np.exp(log), low, high)), count)
        for (origin, destination), (log, count) in zip(found, medians, strict=True)
    }


def _by_hour(trips: Trips, rest: NDArray[np.float64], inside: NDArray[np.bool_]) -> dict[int, tuple[int, int]]:
    found, group = np.unique(trips.slots[inside], return_inverse=True)
    medians = _medians(rest[inside], group, len(found), HOUR_TRIPS)
    low, high = PER_MILLE_BOUNDS
    return {
        int(slot): (int(np.clip(round(1_000 * float(np.exp(log))), low, high)), count)
        for slot, (log, count) in zip(found, medians, strict=True)
    }


def _medians(
    values: NDArray[np.float64], group: NDArray[np.intp], groups: int, half_at: int
) -> list[tuple[float, int]]:
    """Return each group's median, drawn towards 0 by how few are in it, and how many are."""
    order = np.argsort(group, kind="stable")
    parts = np.split(values[order], np.searchsorted(group[order], np.arange(1, groups)))
    return [(float(np.median(part)) * len(part) / (len(part) + half_at), len(part)) for part in parts if len(part)]


def _factors_of(trips: Trips, zones: dict[tuple[int, int], tuple[float, int]]) -> NDArray[np.float64]:
    pairs = zip(trips.origin_zones.tolist(), trips.destination_zones.tolist(), strict=True)
    return np.array([zones.get(pair, (1.0, 0))[0] for pair in pairs], dtype=np.float64)


def _pace_of(trips: Trips, hours: dict[int, tuple[int, int]]) -> NDArray[np.float64]:
    paces = np.ones(SLOTS)
    for slot, (per_mille, _) in hours.items():
        paces[slot] = per_mille / 1_000
    return paces[trips.slots]
