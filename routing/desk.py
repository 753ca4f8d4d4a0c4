"""Small questions about a plan in force, answered one by one by a process that stays (`python -m routing desk`).

A new kind of question is one struct, in `routing.questions`, and one function here::

    class Explain(Question[Explanation], frozen=True, kw_only=True, tag="explain"):
        visit: str

    @answers(Explain)
    def _explain(sheet: Sheet, question: Explain) -> Explanation:
        return explanation(sheet.problem, sheet.plan, question.visit)

The type in brackets is what `backend.dispatch.desk.Desk.ask` returns to whoever asks, and what the function returns.
Who asks does not load what answers. A function raises `ProblemError` for what it refuses. What is costly to derive from
the problem and the plan alone is derived once a sheet: `sheet.derived(prepared)`. The travel table, first of all.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, cast

import msgspec

from routing import memory
from routing.answers import Fixes, InForce, Proposal, WhatIf, Why
from routing.check import Violation, violations
from routing.draft import Draft
from routing.fixes import fixes, without_witness
from routing.in_force import in_force
from routing.insertion import propose
from routing.limits import DESK_SHEETS
from routing.live import proposals, what_if
from routing.plan import Plan
from routing.problem import Problem, ProblemError
from routing.protocol import DeskAnswer, DeskRequest, fault
from routing.questions import (
    AskWhy,
    FindFixes,
    Follow,
    Judge,
    Offer,
    PlanFixes,
    PlanWhy,
    Propose,
    Question,
    TryMove,
)
from routing.redraft import draft_of
from routing.simulate import delay_price
from routing.travel import TravelTable, travel_table
from routing.validate import validate
from routing.why import why

Q = TypeVar("Q", bound="Question[Any]")
T = TypeVar("T")


@dataclass(frozen=True)
class Sheet:
    """What questions are about: a problem and a plan of it. Neither is ever changed; another plan is another sheet."""

    problem: Problem
    plan: Plan
    _derived: dict[object, Any] = field(default_factory=dict[object, Any])

    def derived(self, make: "Callable[[Sheet], T]") -> T:
        """Return `make(sheet)`, made once; `make` is a function of a module, not one made on the spot."""
        if make not in self._derived:
            self._derived[make] = make(self)
        return cast("T", self._derived[make])


FUNCTIONS: Final[dict[type[Question[Any]], Callable[[Sheet, Any], Any]]] = {}
"""What answers each kind of question."""


def answers(kind: type[Q]) -> Callable[[Callable[[Sheet, Q], T]], Callable[[Sheet, Q], T]]:
    """Register the decorated function as what answers questions of this kind."""

    def register(function: Callable[[Sheet, Q], T]) -> Callable[[Sheet, Q], T]:
        FUNCTIONS[kind] = function
        return function

    return register


@answers(Propose)
def _propose(sheet: Sheet, question: Propose) -> tuple[Proposal, ...]:
    return propose(sheet.problem, sheet.plan, question.visit, limit=question.limit)


def _travel(sheet: Sheet) -> TravelTable:
    validate(sheet.problem)  # which bounds the table
    return travel_table(sheet.problem)


@answers(Judge)
def _judge(sheet: Sheet, _question: Judge) -> list[Violation]:
    return violations(sheet.problem, sheet.plan)


# --- the plan in force: of these sheets only the problem counts, and what is in force is derived from it ------------


def _now(sheet: Sheet) -> InForce:
    return in_force(sheet.problem, travel=sheet.derived(_travel))


def _draft_now(sheet: Sheet) -> Draft:
    now = sheet.derived(_now)
    return draft_of(now.problem, now.plan, travel=sheet.derived(_travel))


@answers(Follow)
def _follow(sheet: Sheet, question: Follow) -> InForce:
    if question.orders is not None:
        return in_force(sheet.problem, question.orders, travel=sheet.derived(_travel))
    return sheet.derived(_now)


@answers(Offer)
def _offer(sheet: Sheet, question: Offer) -> tuple[Proposal, ...]:
    problem, plan, draft = _about(sheet, question.visit)
    return proposals(problem, plan, question.visit, limit=question.limit, draft=draft)


@answers(TryMove)
def _try_move(sheet: Sheet, question: TryMove) -> WhatIf:
    problem, plan, draft = _about(sheet, question.placement.visit)
    return what_if(problem, plan, question.placement, draft=draft)


@answers(FindFixes)
def _find_fixes(sheet: Sheet, question: FindFixes) -> Fixes:
    problem, _, draft = _about(sheet, question.visit)
    plan = _delayed_since_released(sheet, draft, question.visit)
    return _searched(problem, plan, draft, question)


def _searched(problem: Problem, plan: Plan, draft: Draft, question: FindFixes | PlanFixes) -> Fixes:
    found = fixes(
        problem, plan, question.visit, draft=draft, seconds=question.seconds, past_quarter=question.past_quarter
    )
    return without_witness(found)


def _delayed_since_released(sheet: Sheet, draft: Draft, visit: str) -> Plan:
    """Return the plan in force, its delay counted as in `draft`, where `visit` has no published time."""
    now, held = sheet.derived(_now), sheet.derived(_draft_now)
    plan = now.plan
    start = next((stop.start for route in plan.routes for stop in route.stops if stop.visit == visit), None)
    if start is None:
        return plan
    index = next(number for number, one in enumerate(now.problem.visits) if one.id == visit)
    since_released, since_published = (int(delay_price(one.instance.arrays, index, start)) for one in (draft, held))
    delay = plan.cost.delay + since_released - since_published
    return msgspec.structs.replace(plan, cost=msgspec.structs.replace(plan.cost, delay=delay))


@answers(AskWhy)
def _ask_why(sheet: Sheet, question: AskWhy) -> Why:
    problem, plan, draft = _about(sheet, question.visit)
    return why(problem, plan, question.visit, draft=draft)


# --- a plan that was made, with its reasons -----------------------------------------------------------------------


def _draft(sheet: Sheet) -> Draft:
    return draft_of(sheet.problem, sheet.plan, travel=sheet.derived(_travel))


@answers(PlanFixes)
def _plan_fixes(sheet: Sheet, question: PlanFixes) -> Fixes:
    return _searched(sheet.problem, sheet.plan, sheet.derived(_draft), question)


@answers(PlanWhy)
def _plan_why(sheet: Sheet, question: PlanWhy) -> Why:
    return why(sheet.problem, sheet.plan, question.visit, draft=sheet.derived(_draft))


def _about(sheet: Sheet, visit: str) -> tuple[Problem, Plan, Draft]:
    """Return what is in force; the visit that is to move is not held to the time it was published for."""
    now, draft = sheet.derived(_now), sheet.derived(_draft_now)
    own = next((one for one in sheet.problem.visits if one.id == visit), None)
    if own is None or own in now.problem.visits:
        return now.problem, now.plan, draft
    visits = tuple(own if one.id == visit else one for one in now.problem.visits)
    problem = msgspec.structs.replace(now.problem, visits=visits)
    return problem, now.plan, draft_of(problem, now.plan, travel=draft.instance.travel)


class Sheets:
    """The sheets this process holds, by key; the one unused longest goes first."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Sheet] = OrderedDict()

    def sheet(self, request: DeskRequest) -> Sheet | None:
        """Return the sheet the request is about, keeping one that it brings; None for one that is not held."""
        if request.sheet is not None:
            self._held[request.key] = Sheet(request.sheet.problem, request.sheet.plan)
            while len(self._held) > DESK_SHEETS:
                self._held.popitem(last=False)
        if request.key not in self._held:
            return None
        self._held.move_to_end(request.key)
        return self._held[request.key]

    def forget(self) -> None:
        """Let go of every sheet: memory ran out."""
        self._held.clear()


def respond(sheets: Sheets, line: bytes) -> DeskAnswer:
    """Return the answer to one line; a bug in a function ends the process, and its parent says so."""
    try:
        request = _read(line, DeskRequest)
        sheet = sheets.sheet(request)
        if sheet is None:
            return DeskAnswer(unknown_key=True)
        question = _read(bytes(request.question), _kinds())
        return DeskAnswer(answer=msgspec.Raw(msgspec.json.encode(FUNCTIONS[type(question)](sheet, question))))
    except ProblemError as error:
        return DeskAnswer(error=fault(error))
    except MemoryError:
        sheets.forget()
        return DeskAnswer(error=fault(ProblemError("out_of_memory", "process", limit=memory.most())))


def _kinds() -> Any:
    kinds = list(FUNCTIONS)
    union: Any = kinds[0]
    for kind in kinds[1:]:
        union = union | kind
    return union


def _read(line: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=kind)
    except msgspec.DecodeError as error:
        raise ProblemError("request_unreadable", "request", detail=str(error)) from error
