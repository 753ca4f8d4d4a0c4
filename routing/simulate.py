"""The exact simulation of one route: travel, opening times, breaks, shift end, overtime and prices.

Earliest is best except for two choices: where to put a break, and whether to wait so that a customer who was told a
time is not moved. The simulation therefore carries a few *labels* (moments the technician can be free at, with the
price paid by then) and drops a label when another is as early, as cheap and has as many breaks behind it. What
remains contains the cheapest schedule of the given order of visits, exactly.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from routing.instance import Instance, ShiftData, VisitData


@dataclass(slots=True)
class Label:
    """One way to have come this far: free at `time`, having paid `price`, with `taken` breaks behind.

    `rests` are the begins of the breaks taken since `parent`; `leaves` is when the drive here began.
    """

    time: int
    price: int
    taken: int
    parent: "Label | None"
    leaves: int
    arrival: int
    start: int
    rests: tuple[int, ...]

    def starts(self) -> list[int]:
        """Return when service starts at each visit up to here."""
        starts: list[int] = []
        label = self
        while label.parent is not None:
            starts.append(label.start)
            label = label.parent
        return starts[::-1]


class Ending(NamedTuple):
    """A whole route: back at `end`, at `price` in all, `last` being the label of its last visit."""

    price: int
    end: int
    leaves: int
    rests: tuple[int, ...]
    last: Label


class Terms(NamedTuple):
    """What one visit's start costs, by term."""

    late: int
    promise: int
    churn: int
    delay: int


def start_terms(visit: VisitData, shift: int, start: int, instance: Instance) -> Terms:
    """Return what starting `visit` at `start` on `shift` costs; the choice of the shift itself is priced apart."""
    prices = instance.prices
    late = visit.late + visit.late_second * (start - visit.due) if start > visit.due else 0
    promise = 0
    if start > visit.promise_end:
        promise = prices.promise_broken + prices.promise_second * (start - visit.promise_end)
    moved = visit.told_shift == shift and not visit.told_from <= start <= visit.told_until
    churn = prices.told_moved if moved else 0
    return Terms(late, promise, churn, visit.delay_second * max(0, start - visit.release))


def origin(shift: ShiftData) -> list[Label]:
    """Return the labels of a technician who has not left the start place yet."""
    return [Label(shift.start, 0, 0, None, shift.start, shift.start, shift.start, ())]


def advance(instance: Instance, shift: ShiftData, labels: Sequence[Label], place: int, visit: VisitData) -> list[Label]:
    """Return the labels after `visit`, coming from `place`; empty when it cannot be reached in time."""
    leg = instance.seconds[place][visit.place]
    fixed = instance.prices.travel_second * leg + instance.preference[visit.index][shift.index]
    grown: list[Label] = []
    for label in labels:
        for ready, leaves, arrival, taken, rests in _arrivals(shift, label, leg):
            for start in _starts(visit, shift.index, ready):
                time = start + visit.duration
                if time > shift.last or (taken < len(shift.pauses) and time > shift.pauses[taken].latest):
                    continue
                price = label.price + fixed + sum(start_terms(visit, shift.index, start, instance))
                grown.append(Label(time, price, taken, label, leaves, arrival, start, rests))
    if visit.frozen and grown:
        first = min(label.start for label in grown)  # a break never delays what is frozen
        grown = [label for label in grown if label.start == first]
    return grown if len(grown) <= 1 else _undominated(grown)


def finish(instance: Instance, shift: ShiftData, labels: Sequence[Label], place: int) -> Ending | None:
    """Return the cheapest way home from `place` (the earliest of them), or None when there is none in time."""
    leg = instance.seconds[place][shift.end_place]
    best: Ending | None = None
    for label in labels:
        for _, leaves, arrival, taken, rests in _arrivals(shift, label, leg):
            if taken < len(shift.pauses) or arrival > shift.last:
                continue
            overtime = instance.prices.overtime_second * max(0, arrival - shift.end)
            price = label.price + instance.prices.travel_second * leg + overtime
            if best is None or (price, arrival) < (best.price, best.end):
                best = Ending(price, arrival, leaves, rests, label)
    return best


def _arrivals(shift: ShiftData, label: Label, leg: int) -> Iterator[tuple[int, int, int, int, tuple[int, ...]]]:
    """Yield (ready for service, leaves, arrival, breaks taken, their begins): breaks before the drive and after it."""
    pauses = shift.pauses
    if label.taken == len(pauses):
        arrival = label.time + leg
        yield arrival, label.time, arrival, label.taken, ()
        return
    for leaves, before, rests in _rested(shift, label.time, label.taken):
        for ready, taken, after in _rested(shift, leaves + leg, before):
            yield ready, leaves, leaves + leg, taken, rests + after


def _rested(shift: ShiftData, time: int, taken: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Yield (free again, breaks taken, their begins): no further break at `time`, the next one, the next two..."""
    rests: tuple[int, ...] = ()
    yield time, taken, rests
    for pause in shift.pauses[taken:]:
        begin = max(time, pause.earliest)
        if begin > pause.latest:
            return
        time = begin + pause.duration
        taken += 1
        rests = (*rests, begin)
        yield time, taken, rests


def _starts(visit: VisitData, shift: int, ready: int) -> Iterator[int]:
    """Yield the moments at which service may sensibly start: the earliest, and the one that keeps what was told."""
    start = first_open(visit, ready)
    if start is None:
        return
    yield start
    if visit.told_shift == shift and start < visit.told_from:
        told = first_open(visit, visit.told_from)
        if told is not None and told <= visit.told_until:
            yield told


def first_open(visit: VisitData, ready: int) -> int | None:
    """Return the first moment from `ready` on at which service may start, or None."""
    for opens, closes in visit.opens:
        if ready <= closes:
            return max(ready, opens)
    return None


def _undominated(labels: list[Label]) -> list[Label]:
    """Return the labels that no other one equals or beats in time, price and breaks behind."""
    labels.sort(key=lambda label: (label.time, label.price, -label.taken))
    kept: list[Label] = []
    for label in labels:
        if not any(other.price <= label.price and other.taken >= label.taken for other in kept):
            kept.append(label)
    return kept


def stages(instance: Instance, shift: ShiftData, sequence: Sequence[int]) -> list[list[Label]]:
    """Return the labels before the first visit of `sequence` and after each; shorter where a visit is out of reach."""
    labels = origin(shift)
    place = shift.start_place
    reached = [labels]
    for index in sequence:
        visit = instance.visits[index]
        labels = advance(instance, shift, labels, place, visit)
        if not labels:
            break
        reached.append(labels)
        place = visit.place
    return reached


def run(instance: Instance, shift: ShiftData, sequence: Sequence[int]) -> Ending | None:
    """Simulate the non-empty `sequence` of visits on `shift`; None when the rules of the day exclude it."""
    reached = stages(instance, shift, sequence)
    if len(reached) <= len(sequence):
        return None
    return finish(instance, shift, reached[-1], instance.visits[sequence[-1]].place)
