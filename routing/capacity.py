"""Other people than there are: the same problem without somebody, with one more, or with a skill everybody has.

For managers, who ask what a vacancy, a hire or a course would be worth. Planned like any problem, never published.
"""

from collections.abc import Callable

import msgspec

from routing.problem import Problem, ProblemError, Shift


def without_technician(problem: Problem, technician: str) -> Problem:
    """Return the problem without the technician's shifts; visits that were on them, or pinned there, are free.

    Raises `ProblemError` 'plan_contradicts_problem' for a technician who has no shift in it.
    """
    gone = {shift.id for shift in problem.shifts if shift.technician == technician}
    if not gone:
        raise _no_shifts_of(technician)
    visits = tuple(
        msgspec.structs.replace(
            visit,
            frozen=visit.frozen and (visit.previous is None or visit.previous.shift not in gone),
            pin=None if visit.pin and (visit.pin.shift in gone or visit.pin.technician == technician) else visit.pin,
        )
        for visit in problem.visits
    )
    kept = tuple(shift for shift in problem.shifts if shift.id not in gone)
    return msgspec.structs.replace(
        problem, shifts=kept, visits=visits,
        van_stock=tuple(stock for stock in problem.van_stock if stock.technician != technician),
    )  # fmt: skip


def with_skill_for_all(problem: Problem, skill: str) -> Problem:
    """Return the problem in which everybody has `skill` on every shift."""
    shifts = tuple(
        msgspec.structs.replace(shift, skills=tuple(sorted({*shift.skills, skill}))) for shift in problem.shifts
    )
    return msgspec.structs.replace(problem, shifts=shifts)


def with_one_more(
    problem: Problem, *, technician: str, like: str | None, skills: tuple[str, ...], new_id: Callable[[], str]
) -> Problem:
    """Return the problem with one more person, `technician`, of these skills; `new_id` names the shifts.

    The person works the shifts of `like`, from and to the same places, or those of whoever works longest. Raises
    `ProblemError` 'plan_contradicts_problem' where `like` has none.
    """
    model = like or longest_at_work(problem)
    shifts = [shift for shift in problem.shifts if shift.technician == model]
    if not shifts:
        raise _no_shifts_of(model or "")
    more = tuple(msgspec.structs.replace(shift, id=new_id(), technician=technician, skills=skills) for shift in shifts)
    return msgspec.structs.replace(problem, shifts=(*problem.shifts, *more))


def longest_at_work(problem: Problem) -> str | None:
    """Return the technician with the longest working time, None where nobody works."""
    worked: dict[str, int] = {}
    for shift in problem.shifts:
        worked[shift.technician] = worked.get(shift.technician, 0) + _length(shift)
    return max(worked, key=lambda technician: (worked[technician], technician), default=None)


def _length(shift: Shift) -> int:
    return shift.end - shift.start


def _no_shifts_of(technician: str) -> ProblemError:
    return ProblemError("plan_contradicts_problem", f"technician '{technician}'", detail=technician)
