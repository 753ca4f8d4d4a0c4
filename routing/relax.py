"""What could give way so that a visit fits: one rule of a problem, by so much.

A lever opens a rule as far as it can give at all, so that one scan prices every place it would allow; closing it at a
place says how far it must give there, and who or what has to agree.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec

from routing.limits import MAX_HORIZON_SECONDS, MAX_WINDOWS_PER_VISIT, SECONDS_PER_DAY
from routing.plan import Route
from routing.problem import Away, Break, PartNeed, Problem, Shift, VanStock, Visit, Window

Kind: TypeAlias = Literal[
    "overtime", "shift_earlier", "shift_added", "skill", "allowed", "pin", "window", "promise", "deadline", "earliest",
    "part_ready", "part_van", "van", "changes",
]  # fmt: skip

QUARTER: Final = 900
"""Times that are offered lie on so many seconds: on the quarters of an hour, wherever in one second 0 is."""
OVERTIME_STEP: Final = 1_800
MOST_OVERTIME: Final = 7_200
"""More overtime than a shift allows is offered up to here, in half hours."""
EARLIER: Final = (1_800, 3_600)
"""By how much a shift may begin earlier."""
REST_BETWEEN: Final = 10 * 3_600
"""Time a technician has off between an added shift and the others."""
ADDED_SHIFTS: Final = 60
"""Shifts that might be added, looked at for one visit."""
NEW_WINDOW: Final = 3_600
"""How long a window is that a customer is asked for."""


class Relaxation(msgspec.Struct, frozen=True, kw_only=True):
    """One rule that gives way, of `visit`, of `shift` or for `technician`; instants and lengths in seconds.

    `seconds`: how much longer the overtime or how much earlier the shift. `window`: the customer's new one, or an added
    shift's span. `at`: the new deadline or earliest time, when parts are at hand, or how much later than `shift` an
    added one that repeats it would be. `amount`: the load the van must take, or the changes that must be allowed.
    """

    kind: Kind
    visit: str | None = None
    shift: str | None = None
    technician: str | None = None
    seconds: int = 0
    window: Window | None = None
    at: int | None = None
    skills: tuple[str, ...] = ()
    parts: tuple[PartNeed, ...] = ()
    amount: int = 0


# --- carrying one out ---------------------------------------------------------------------------------------------


def relaxed(problem: Problem, relaxations: Sequence[Relaxation]) -> Problem:
    """Return `problem` with the rules of `relaxations` given way, and nothing else changed."""
    for one in relaxations:
        if one.kind == "changes":
            problem = msgspec.structs.replace(problem, most_changes=one.amount)
        elif one.kind == "part_van":
            more = tuple(
                VanStock(technician=one.technician or "", part=need.part, quantity=need.quantity) for need in one.parts
            )
            problem = msgspec.structs.replace(problem, van_stock=problem.van_stock + more)
        elif one.kind == "shift_added":
            model = next(shift for shift in problem.shifts if shift.id == one.shift)
            added = _added(model, one.at or 0, one.window and one.window.start)
            problem = msgspec.structs.replace(problem, shifts=(*problem.shifts, added))
        elif one.kind in {"overtime", "shift_earlier", "skill", "van"}:
            problem = _with_shifts(problem, one)
        else:
            problem = _with_visits(problem, one)
    return problem


def _with_shifts(problem: Problem, one: Relaxation) -> Problem:
    concerned = [
        shift.id == one.shift if one.kind != "skill" else shift.technician == one.technician for shift in problem.shifts
    ]
    return msgspec.structs.replace(
        problem,
        shifts=tuple(
            _given_way(shift, one) if it else shift for shift, it in zip(problem.shifts, concerned, strict=True)
        ),
    )


def _given_way(shift: Shift, one: Relaxation) -> Shift:
    if one.kind == "overtime":
        return msgspec.structs.replace(shift, overtime_allowed=shift.overtime_allowed + one.seconds)
    if one.kind == "shift_earlier":
        return msgspec.structs.replace(shift, start=shift.start - one.seconds)
    if one.kind == "van":
        return msgspec.structs.replace(shift, capacity=one.amount)
    return msgspec.structs.replace(shift, skills=tuple(sorted({*shift.skills, *one.skills})))


def _with_visits(problem: Problem, one: Relaxation) -> Problem:
    visits = tuple(_agreed(visit, one) if visit.id == one.visit else visit for visit in problem.visits)
    return msgspec.structs.replace(problem, visits=visits)


def _agreed(visit: Visit, one: Relaxation) -> Visit:
    if one.kind == "allowed":
        allowed, name = visit.allowed_technicians, one.technician or ""
        return msgspec.structs.replace(
            visit, allowed_technicians=None if allowed is None else (*allowed, name),
            forbidden_technicians=tuple(other for other in visit.forbidden_technicians if other != name),
        )  # fmt: skip
    if one.kind == "window" and one.window is not None:
        return msgspec.structs.replace(visit, windows=(*visit.windows[: MAX_WINDOWS_PER_VISIT - 1], one.window))
    change = {
        "pin": {"pin": None}, "promise": {"promise": one.window}, "deadline": {"commitment_due": one.at},
        "earliest": {"earliest": one.at}, "part_ready": {"parts_ready": one.at},
    }  # fmt: skip
    return msgspec.structs.replace(visit, **change[one.kind])


def _added(model: Shift, later: int, begin: int | None = None) -> Shift:
    """Return `model` so much later; from `begin` on, if given, with what of its breaks can still be begun then."""
    start = model.start + later if begin is None else begin
    breaks = tuple(
        Break(earliest=max(start, pause.earliest + later), latest=pause.latest + later, duration=pause.duration)
        for pause in model.breaks
        if pause.latest + later >= start
    )
    return msgspec.structs.replace(
        model, id=f"{model.id}+{later}", start=start, end=model.end + later, breaks=breaks, overtime_allowed=0
    )


def quarter_before(second: int, past_quarter: int) -> int:
    """Return the last quarter of the hour up to `second`; `past_quarter`: by how much second 0 is past one itself."""
    return second - (second + past_quarter) % QUARTER


def quarter_after(second: int, past_quarter: int) -> int:
    """Return the first quarter of the hour from `second` on."""
    return second + -(second + past_quarter) % QUARTER


# --- levers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a visit went in an opened problem: the shift there, its route, and the visit's start."""

    problem: Problem
    """As it is, nothing opened."""
    visit: Visit
    shift: Shift
    route: Route
    start: int
    changes: int
    """Visits of the plan in force that the plan changes then; 0 where they are not counted."""
    past_quarter: int
    """Seconds of its quarter of an hour that are over at second 0."""


Ways: TypeAlias = list[Relaxation]
"""Ways to close a lever at a place, the smallest first; none: it need not give way there."""


@dataclass(frozen=True)
class Lever:
    """`opened` returns None where there is nothing to give."""

    kind: Kind
    opened: Callable[[Problem, Visit], Problem | None]
    closed: Callable[[Place], Ways]


def _of_visit(problem: Problem, visit: Visit, **changes: object) -> Problem:
    changed = msgspec.structs.replace(visit, **changes)
    visits = tuple(changed if one.id == visit.id else one for one in problem.visits)
    return msgspec.structs.replace(problem, visits=visits)


def _current(problem: Problem, visit: Visit) -> Visit:
    """Return the visit as it is in `problem`, where another lever may have opened it already."""
    return next(one for one in problem.visits if one.id == visit.id)


def _open_visit(needed: Callable[[Visit], bool], **changes: object) -> Callable[[Problem, Visit], Problem | None]:
    def opened(problem: Problem, visit: Visit) -> Problem | None:
        return _of_visit(problem, _current(problem, visit), **changes) if needed(visit) else None

    return opened


def _free_after(problem: Problem, shift: Shift) -> int:
    """Return the seconds between the shift's latest end and when the technician works or is away next."""
    ends = shift.end + shift.overtime_allowed
    nexts = [one.start for one in problem.shifts if one.technician == shift.technician and one.start > shift.start]
    nexts += [one.start for one in problem.away if one.technician == shift.technician and one.end > ends]
    return min([MAX_HORIZON_SECONDS, *nexts]) - ends


def _open_overtime(problem: Problem, _visit: Visit) -> Problem:
    shifts = tuple(
        msgspec.structs.replace(
            shift, overtime_allowed=shift.overtime_allowed + max(0, min(MOST_OVERTIME, _free_after(problem, shift)))
        )
        for shift in problem.shifts
    )
    return msgspec.structs.replace(problem, shifts=shifts)


def _close_overtime(place: Place) -> Ways:
    beyond = place.route.end - place.shift.end - place.shift.overtime_allowed
    if beyond <= 0:
        return []
    free = _free_after(place.problem, place.shift)
    return [Relaxation(
        kind="overtime", shift=place.shift.id, technician=place.shift.technician,
        seconds=min(free, -(-beyond // OVERTIME_STEP) * OVERTIME_STEP),
    )]  # fmt: skip


def _free_before(problem: Problem, shift: Shift) -> int:
    ends = [
        one.end + one.overtime_allowed
        for one in problem.shifts
        if one.technician == shift.technician and one.start < shift.start
    ]
    ends += [one.end for one in problem.away if one.technician == shift.technician and one.start < shift.start]
    return shift.start - max([0, *ends])


def _open_earlier(problem: Problem, _visit: Visit) -> Problem:
    frozen = {visit.previous.shift for visit in problem.visits if visit.frozen and visit.previous is not None}
    shifts = tuple(
        shift
        if shift.id in frozen
        else msgspec.structs.replace(shift, start=shift.start - max(0, min(EARLIER[-1], _free_before(problem, shift))))
        for shift in problem.shifts
    )
    return msgspec.structs.replace(problem, shifts=shifts)


def _close_earlier(place: Place) -> Ways:
    if place.route.leaves >= place.shift.start:
        return []
    free = _free_before(place.problem, place.shift)
    return [
        Relaxation(kind="shift_earlier", shift=place.shift.id, technician=place.shift.technician, seconds=seconds)
        for seconds in sorted({min(free, step) for step in EARLIER})
    ]


def _addable(problem: Problem, visit: Visit) -> Iterator[tuple[Shift, int]]:
    """Yield shifts to repeat, and how much later, on days on which their technicians are off and not away."""
    last = max((shift.start for shift in problem.shifts), default=0) + SECONDS_PER_DAY
    own: dict[str, list[Shift]] = {}
    for shift in problem.shifts:
        own.setdefault(shift.technician, []).append(shift)
    away: dict[str, list[Away]] = {}
    for gone in problem.away:
        away.setdefault(gone.technician, []).append(gone)
    for technician, shifts in own.items():
        model = max(shifts, key=lambda shift: (shift.end - shift.start, -shift.start))
        if not set(visit.skills) <= set(model.skills):
            continue
        first = -(model.start // SECONDS_PER_DAY)
        for days in range(first, (last - model.start) // SECONDS_PER_DAY + 1):
            start, end = model.start + days * SECONDS_PER_DAY, model.end + days * SECONDS_PER_DAY
            rested = all(
                end + REST_BETWEEN <= one.start or one.end + one.overtime_allowed + REST_BETWEEN <= start
                for one in shifts
            )
            there = all(end <= gone.start or gone.end <= start for gone in away.get(technician, ()))
            if rested and there and end <= MAX_HORIZON_SECONDS:
                yield model, days * SECONDS_PER_DAY


def _open_added(problem: Problem, visit: Visit) -> Problem | None:
    chosen = sorted(_addable(problem, visit), key=lambda one: (one[0].start + one[1], one[0].id))[:ADDED_SHIFTS]
    if not chosen:
        return None
    return msgspec.structs.replace(problem, shifts=problem.shifts + tuple(_added(*one) for one in chosen))


def _close_added(place: Place) -> Ways:
    model, plus, later = place.shift.id.rpartition("+")
    if not plus or any(shift.id == place.shift.id for shift in place.problem.shifts):
        return []
    start = place.shift.start
    if start == int(later):  # it repeats a shift that is under way, and so begins now
        start = quarter_after(start, place.past_quarter)
    span = Window(start=start, end=place.shift.end)
    return [Relaxation(
        kind="shift_added", shift=model, technician=place.shift.technician, at=int(later), window=span
    )]  # fmt: skip


def _close_skill(place: Place) -> Ways:
    lacking = tuple(sorted(set(place.visit.skills) - set(place.shift.skills)))
    return [Relaxation(kind="skill", technician=place.shift.technician, skills=lacking)] if lacking else []


def _close_allowed(place: Place) -> Ways:
    visit, technician = place.visit, place.shift.technician
    if (
        visit.allowed_technicians is None or technician in visit.allowed_technicians
    ) and technician not in visit.forbidden_technicians:
        return []
    return [Relaxation(kind="allowed", visit=visit.id, technician=technician)]


def _close_pin(place: Place) -> Ways:
    pin = place.visit.pin
    if pin is None or (
        pin.shift in {None, place.shift.id}
        and pin.technician in {None, place.shift.technician}
        and pin.start in {None, place.start}
    ):
        return []
    return [Relaxation(kind="pin", visit=place.visit.id, technician=place.shift.technician)]


def _new_window(place: Place, length: int) -> Window:
    begin = quarter_before(place.start, place.past_quarter)
    return Window(start=begin, end=begin + max(length, QUARTER))


def _close_window(place: Place) -> Ways:
    visit = place.visit
    if not visit.windows or any(window.start <= place.start <= window.end for window in visit.windows):
        return []
    return [Relaxation(kind="window", visit=visit.id, window=_new_window(place, NEW_WINDOW))]


def _close_promise(place: Place) -> Ways:
    promise = place.visit.promise
    if promise is None or promise.start <= place.start <= promise.end:
        return []
    window = _new_window(place, promise.end - promise.start)
    return [Relaxation(kind="promise", visit=place.visit.id, window=window)]


def _close_earliest(place: Place) -> Ways:
    if place.start >= place.visit.earliest:
        return []
    at = max(0, quarter_before(place.start, place.past_quarter))
    return [Relaxation(kind="earliest", visit=place.visit.id, at=at)]


def _waits_for_parts(place: Place) -> bool:
    ready = place.visit.parts_ready
    return bool(place.visit.parts) and (ready is None or place.start < ready)


def _close_part_ready(place: Place) -> Ways:
    if not _waits_for_parts(place):
        return []
    at = max(0, quarter_before(place.start, place.past_quarter))
    return [Relaxation(kind="part_ready", visit=place.visit.id, at=at, parts=place.visit.parts)]


def _close_part_van(place: Place) -> Ways:
    if not _waits_for_parts(place):
        return []
    return [Relaxation(kind="part_van", technician=place.shift.technician, parts=place.visit.parts)]


def _open_vans(problem: Problem, visit: Visit) -> Problem | None:
    if not visit.load or all(shift.capacity is None for shift in problem.shifts):
        return None
    shifts = tuple(msgspec.structs.replace(shift, capacity=None) for shift in problem.shifts)
    return msgspec.structs.replace(problem, shifts=shifts)


def _close_van(place: Place) -> Ways:
    loads = {visit.id: visit.load for visit in place.problem.visits}
    load = sum(loads[stop.visit] for stop in place.route.stops)
    if place.shift.capacity is None or load <= place.shift.capacity:
        return []
    return [Relaxation(kind="van", shift=place.shift.id, technician=place.shift.technician, amount=load)]


def _open_changes(problem: Problem, _visit: Visit) -> Problem | None:
    return None if problem.most_changes is None else msgspec.structs.replace(problem, most_changes=None)


def _close_changes(place: Place) -> Ways:
    most = place.problem.most_changes
    if most is None or place.changes <= most:
        return []
    return [Relaxation(kind="changes", amount=place.changes)]


LEVERS: Final[tuple[Lever, ...]] = (
    Lever("overtime", _open_overtime, _close_overtime),
    Lever("pin", _open_visit(lambda visit: visit.pin is not None, pin=None), _close_pin),
    Lever("window", _open_visit(lambda visit: bool(visit.windows), windows=()), _close_window),
    Lever("promise", _open_visit(lambda visit: visit.promise is not None, promise=None), _close_promise),
    Lever("earliest", _open_visit(lambda visit: visit.earliest > 0, earliest=0), _close_earliest),
    Lever("skill", _open_visit(lambda visit: bool(visit.skills), skills=()), _close_skill),
    Lever(
        "allowed",
        _open_visit(
            lambda visit: visit.allowed_technicians is not None or bool(visit.forbidden_technicians),
            allowed_technicians=None, forbidden_technicians=(),
        ),
        _close_allowed,
    ),
    Lever("part_ready", _open_visit(lambda visit: bool(visit.parts), parts_ready=0), _close_part_ready),
    Lever("part_van", _open_visit(lambda visit: bool(visit.parts), parts_ready=0), _close_part_van),
    Lever("van", _open_vans, _close_van),
    Lever("changes", _open_changes, _close_changes),
    Lever("shift_earlier", _open_earlier, _close_earlier),
    Lever("shift_added", _open_added, _close_added),
)  # fmt: skip
"""Every rule that may give way; a deadline only where a visit has a place and is late."""
