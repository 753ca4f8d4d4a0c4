"""Explanations on demand: what could give way for a visit without a place, or late, and why this technician."""

import hashlib
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.core.errors import Fault, Problem
from backend.dispatch import live
from backend.dispatch.desk import Desk, PlannerRefusedError, sheet_line
from backend.dispatch.fix_schemas import (
    FIX_NAME_LENGTH,
    AlternativeView,
    Decides,
    FixesView,
    FixView,
    GivesWay,
    WhyView,
)
from backend.dispatch.fix_wording import (
    OF_CUSTOMERS,
    OF_DISPATCHERS,
    first_words,
    fix_words,
    found_words,
    relaxation_words,
    why_words,
)
from backend.dispatch.live_wording import Naming, minutes, refusal_words
from backend.dispatch.models import PlanRun
from backend.dispatch.queries import ONE_MORE_NAME, part_names, plan_run
from backend.dispatch.travel import Roads
from routing.answers import Alternative, Fix, Fixes, Why
from routing.problem import Problem as PlanningProblem
from routing.questions import AskWhy, FindFixes, PlanFixes, PlanWhy, Question
from routing.relax import QUARTER, Relaxation

FIX_SECONDS: Final = 0.5
"""Searching for fixes to show."""
APPLY_SECONDS: Final = 3.0
"""Searching for a fix that was shown and is to be applied: what was found in less is found again."""

PLAN_WITHOUT_ANSWER = Fault(
    "plan_without_answer", 409, "计划尚未完成,无法解释。", "The plan is not finished, so nothing can be explained yet.",
    "请等计划完成后再试。", "Wait until it is done.",
)  # fmt: skip


async def situation_of(
    session: AsyncSession, desk: Desk, roads: Roads, principal: Principal, level: str, *, visit_id: UUID, now: datetime
) -> live.Situation:
    """Return what is in force in the unit a visit belongs to and below it; raises not_found and not_in_plan."""
    seen = await live.situation_of_visit(session, desk, roads, principal, level, visit_id=visit_id, now=now)
    seen.must_know(visit_id)
    return replace(seen, naming=replace(seen.naming, parts=await part_names(session, seen.problem)))


async def fixes_in_force(seen: live.Situation, visit_id: UUID, seconds: float = FIX_SECONDS) -> Fixes:
    """Return the fixes for a visit in the plan in force; raises not_in_plan for one that has its place in time."""
    return await seen.ask(FindFixes(visit=str(visit_id), seconds=seconds, past_quarter=past_quarter(seen.naming)))


def past_quarter(naming: Naming) -> int:
    """Return by how many seconds second 0 is past a quarter of the hour; zones differ by whole quarters."""
    return int(naming.starts_at.timestamp()) % QUARTER


async def why_in_force(seen: live.Situation, visit_id: UUID) -> Why:
    """Return why this technician, in the plan in force; raises not_in_plan for a visit without a place."""
    return await seen.ask(AskWhy(visit=str(visit_id)))


async def plan_that_was_made(session: AsyncSession, principal: Principal, plan_id: UUID) -> tuple[PlanRun, Naming]:
    """Return a plan run and what its ids are called; raises not_found and plan_without_answer."""
    run = await plan_run(session, principal, plan_id, "read")
    if run.plan is None or run.problem is None:
        raise Problem(PLAN_WITHOUT_ANSWER)
    problem = msgspec.convert(run.problem, PlanningProblem)
    naming = await live.naming(session, problem, run.horizon_starts_at, {run.unit_id})
    everybody = (name for shift in problem.shifts for name in (shift.id, shift.technician))
    people = dict.fromkeys(everybody, ONE_MORE_NAME) | dict(naming.people)
    return run, replace(naming, people=people, parts=await part_names(session, problem))


async def of_plan(desk: Desk, run: PlanRun, naming: Naming, visit_id: UUID) -> Fixes:
    """Return the fixes for a visit in a plan that was made; raises not_in_plan."""
    asked = PlanFixes(visit=str(visit_id), seconds=FIX_SECONDS, past_quarter=past_quarter(naming))
    return await _ask_plan(desk, run, naming, asked)


async def why_of_plan(desk: Desk, run: PlanRun, naming: Naming, visit_id: UUID) -> Why:
    """Return why this technician in a plan that was made; raises not_in_plan."""
    return await _ask_plan(desk, run, naming, PlanWhy(visit=str(visit_id)))


async def _ask_plan(desk: Desk, run: PlanRun, naming: Naming, question: Question[Any]) -> Any:
    """Return the answer about a plan that was made."""

    async def sheet() -> bytes:
        return sheet_line(run.problem, run.plan)

    try:
        return await desk.ask(question, key=f"plan {run.id} {run.finished_at}", sheet=sheet)
    except PlannerRefusedError as refused:
        zh, en = refusal_words(refused.fault, naming)
        raise Problem(live.NOT_IN_PLAN, detail=zh, detail_en=en) from refused


# --- as people read it --------------------------------------------------------------------------------------------


def fixes_view(found: Fixes, naming: Naming, base: str | None) -> FixesView:
    """Return the fixes with names and sentences."""
    views = [_view(fix, naming) for fix in found.fixes]
    zh, en = found_words(found, [(view.sentence_zh, view.sentence_en) for view in views])
    return FixesView(
        visit_id=UUID(found.visit), at=naming.starts_at, base=base, outcome=found.outcome, fixes=views,
        tried=found.tried, rules=found.levers, exhausted=found.exhausted, sentence_zh=zh, sentence_en=en,
    )  # fmt: skip


def fix_name(fix: Fix, naming: Naming) -> str:
    """Return what a fix is called: the same for what gives way by the same amount, whenever it is asked.

    Instants are part of it to the quarter of an hour they lie in; that of an added shift is how much later it is.
    """

    def quarter(second: int) -> int:
        return int(naming.at(second).timestamp()) // QUARTER

    subjects = [
        (
            *(one.kind, one.shift, one.technician, one.visit, one.seconds, one.amount),
            one.at if one.at is None or one.kind == "shift_added" else quarter(one.at),
            *((quarter(one.window.start), quarter(one.window.end)) if one.window else ()),
        )
        for one in fix.relaxations
    ]
    return hashlib.sha256(msgspec.json.encode([*subjects, fix.visit, fix.technician])).hexdigest()[:FIX_NAME_LENGTH]


def decides(one: Relaxation) -> Decides:
    """Return who makes it so."""
    if one.kind in OF_DISPATCHERS:
        return "dispatcher"
    return "customer" if one.kind in OF_CUSTOMERS else "others"


def _view(fix: Fix, naming: Naming) -> FixView:
    zh, en = fix_words(fix, naming)
    moved = [live.moved_view(one, naming) for one in fix.moved]
    return FixView(
        fix=fix_name(fix, naming), gives_way=[_gives_way(one, naming) for one in fix.relaxations],
        person_id=UUID(fix.technician), person_name=naming.person(fix.technician), starts_at=naming.at(fix.start),
        late_minutes=minutes(fix.late_seconds), promise_late_minutes=minutes(fix.promise_late_seconds),
        price=fix.price, cost=msgspec.to_builtins(fix.cost), moved=moved,
        added_travel_minutes=minutes(fix.added_travel_seconds),
        added_overtime_minutes=minutes(fix.added_overtime_seconds),
        told_again=[one.visit_id for one in moved if one.told],
        applicable=all(decides(one) != "others" for one in fix.relaxations), sentence_zh=zh, sentence_en=en,
    )  # fmt: skip


def _gives_way(one: Relaxation, naming: Naming) -> GivesWay:
    zh, en = relaxation_words(one, naming)
    first_zh, first_en = first_words(one, naming) or (None, None)
    return GivesWay(kind=one.kind, zh=zh, en=en, decides=decides(one), first_zh=first_zh, first_en=first_en)


def why_view(why: Why, naming: Naming) -> WhyView:
    """Return the comparison with names and sentences."""
    zh, en = why_words(why, naming)
    return WhyView(
        visit_id=UUID(why.visit), at=naming.starts_at, person_id=UUID(why.technician),
        person_name=naming.person(why.technician), starts_at=naming.at(why.start), able=why.able,
        alternatives=[_alternative(one, naming) for one in why.alternatives], sentence_zh=zh, sentence_en=en,
    )  # fmt: skip


def _alternative(one: Alternative, naming: Naming) -> AlternativeView:
    tried = one.what_if
    zh, en = live.sentences(tried, naming)
    return AlternativeView(
        person_id=UUID(one.technician), person_name=naming.person(one.shift), shift_id=UUID(one.shift),
        feasible=tried.broken is None, rule=tried.broken and tried.broken.code,
        starts_at=None if tried.start is None else naming.at(tried.start),
        added_travel_minutes=minutes(tried.added_travel_seconds), added_cost=tried.added_cost,
        moved=[live.moved_view(moved, naming) for moved in tried.moved], sentence_zh=zh, sentence_en=en,
    )  # fmt: skip
