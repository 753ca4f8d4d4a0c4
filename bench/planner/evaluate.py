"""The judge of every planner's answer, ours too: from the scenario's words and the answer's sequences and times.

It shares no code with our simulator or our referee. In one point it is milder than our own rules, so that no peer
falls by it: a break may interrupt a drive.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import msgspec

from routing.problem import Break, GivenTravel, Problem, Shift, Visit

EARTH_METRES = 6_371_008.8
HAIR_SECONDS = 1e-6
"""By how much two ways of computing the same estimate may differ."""


class Line(msgspec.Struct, frozen=True):
    """One route of an answer: (visit, start of service) in order, and the breaks as (start, end)."""

    shift: str
    stops: tuple[tuple[str, int], ...]
    rests: tuple[tuple[int, int], ...] = ()


class Answer(msgspec.Struct, frozen=True):
    """What a planner returned, and the wall time it took for it."""

    routes: tuple[Line, ...]
    seconds: float = 0.0


@dataclass
class Verdict:
    """What an answer is worth. `faults` is empty when it keeps every rule; only then do the figures count."""

    served: int = 0
    weight: int = 0
    """Sum of `Prices.unserved` over the visits served."""
    late: int = 0
    """Served after the commitment, or after the promised window."""
    travel: int = 0
    faults: list[str] = field(default_factory=list[str])
    visits: set[str] = field(default_factory=set[str])

    @property
    def hours(self) -> float:
        """Return the travel in hours."""
        return self.travel / 3600


def evaluate(problem: Problem, answer: Answer) -> Verdict:
    """Judge `answer`. Hours with a pace of their own and zone factors are not judged, and refused with `ValueError`."""
    verdict = Verdict()
    judge = _Judge(problem, verdict)
    shifts = {shift.id: shift for shift in problem.shifts}
    for line, count in Counter(line.shift for line in answer.routes).items():
        if count > 1 or line not in shifts:
            verdict.faults.append(f"shift {line}: {count} routes")
    for line in answer.routes:
        if line.shift in shifts:
            judge.route(shifts[line.shift], line)
    judge.sums(answer)
    return verdict


class _Judge:
    def __init__(self, problem: Problem, verdict: Verdict) -> None:
        self._leg = legs(problem)
        self.prices = problem.prices
        self.visits = {visit.id: visit for visit in problem.visits}
        self.verdict = verdict

    def fault(self, line: Line, text: str) -> None:
        self.verdict.faults.append(f"shift {line.shift}: {text}")

    def route(self, shift: Shift, line: Line) -> None:
        unknown = [name for name, _ in line.stops if name not in self.visits]
        if unknown:
            self.fault(line, f"unknown visits {unknown}")
            return
        stops = [(self.visits[name], start) for name, start in line.stops]
        for visit, start in stops:
            self._visit(shift, line, visit, start)
        if shift.capacity is not None and sum(visit.load for visit, _ in stops) > shift.capacity:
            self.fault(line, "more load than the van takes")
        if stops:
            self._breaks(shift, line, stops)
            self._drives(shift, line, stops)

    def _visit(self, shift: Shift, line: Line, visit: Visit, start: int) -> None:
        if not set(visit.skills) <= set(shift.skills):
            self.fault(line, f"visit {visit.id} lacks a skill")
        if visit.windows and not any(window.start <= start <= window.end for window in visit.windows):
            self.fault(line, f"visit {visit.id} starts at {start}, outside its windows")
        promised = visit.earliest if visit.promise is None else visit.promise.start
        if start < max(0, visit.earliest, promised):
            self.fault(line, f"visit {visit.id} starts at {start}, too early")

    def _breaks(self, shift: Shift, line: Line, stops: list[tuple[Visit, int]]) -> None:
        if len(line.rests) != len(shift.breaks):
            self.fault(line, f"{len(line.rests)} breaks of {len(shift.breaks)}")
        for pause, (start, end) in zip(shift.breaks, sorted(line.rests), strict=False):
            if not _kept(pause, start, end):
                self.fault(line, f"a break from {start} to {end}")
            for visit, begins in stops:
                if start < begins + visit.duration and begins < end and visit.duration:
                    self.fault(line, f"a break at {start} within visit {visit.id}")

    def _drives(self, shift: Shift, line: Line, stops: list[tuple[Visit, int]]) -> None:
        """Between two services lies the drive, and every break that lies between them."""
        first, last = stops[0][0], stops[-1][0]
        legs = [self._leg(shift.start_place, first.place)]
        begins = [shift.start]
        for (before, start), (after, _) in pairwise(stops):
            legs.append(self._leg(before.place, after.place))
            begins.append(start + before.duration)
        for free, leg, (visit, start) in zip(begins, legs, stops, strict=True):
            if start < free + leg + _resting(line.rests, free, start):
                self.fault(line, f"visit {visit.id} starts at {start}, before anybody can be there")
        back = self._leg(last.place, shift.end_place)
        end = stops[-1][1] + last.duration
        if self._home(line, end, back) > shift.end + shift.overtime_allowed:
            self.fault(line, "back after the end of the shift")
        self.verdict.travel += sum(legs) + back

    def _home(self, line: Line, done: int, back: int) -> int:
        """Return when the technician is back: breaks that begin on the way lengthen it."""
        home = done + back
        for start, end in sorted(line.rests):
            if done <= start < home:
                home += end - start
        return home

    def sums(self, answer: Answer) -> None:
        """Count each visit once; one served twice, or by too few or unequal starts, is a fault."""
        starts: dict[str, list[int]] = {}
        for line in answer.routes:
            for name, start in line.stops:
                starts.setdefault(name, []).append(start)
        for name, found in starts.items():
            visit = self.visits.get(name)
            if visit is None:
                continue
            if len(found) != visit.technicians or len(set(found)) > 1:
                self.verdict.faults.append(f"visit {name} is served at {found}")
            self.verdict.visits.add(name)
            self.verdict.served += 1
            self.verdict.weight += self.prices.unserved.of(visit.priority)
            self.verdict.late += _late(visit, found[0])


def legs(problem: Problem) -> Callable[[str, str], int]:
    """Return the function that knows the seconds of a drive: from the given table, or estimated from coordinates."""
    travel = problem.travel
    if problem.pace is not None:
        raise ValueError("hours with a pace of their own are not judged")
    if isinstance(travel, GivenTravel):
        seconds, index = travel.seconds, {place.id: number for number, place in enumerate(problem.places)}
        return lambda origin, destination: seconds[index[origin]][index[destination]]
    if travel.zones:
        raise ValueError("zone factors are not judged")
    where = {
        place.id: (math.radians(place.latitude or 0.0), math.radians(place.longitude or 0.0))
        for place in problem.places
    }

    def estimate(origin: str, destination: str) -> int:
        metres = _great_circle(where[origin], where[destination])
        if metres == 0:
            return 0
        return math.ceil(travel.overhead_seconds + travel.scale * 2.0 * metres**0.67 - HAIR_SECONDS)

    return estimate


def _great_circle(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return metres by the haversine formula."""
    (lat, lon), (to_lat, to_lon) = one, other
    half = math.sin((to_lat - lat) / 2) ** 2 + math.cos(lat) * math.cos(to_lat) * math.sin((to_lon - lon) / 2) ** 2
    return 2 * EARTH_METRES * math.asin(min(1.0, math.sqrt(half)))


def _kept(pause: Break, start: int, end: int) -> bool:
    return pause.earliest <= start <= pause.latest and end - start == pause.duration


def _resting(rests: Iterable[tuple[int, int]], begin: int, end: int) -> int:
    """Return the seconds of breaks that lie in [begin, end], as far as they lie there."""
    return sum(max(0, min(end, until) - max(begin, since)) for since, until in rests)


def _late(visit: Visit, start: int) -> bool:
    due = visit.commitment_due is not None and start > visit.commitment_due
    return due or (visit.promise is not None and start > visit.promise.end)
