"""What a plan changes, against what is published now or against another plan; and the plans that were published."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.rules import span_words
from backend.core.auth import Principal
from backend.core.errors import Fault, Problem
from backend.core.paging import Page, PageRequest, fetch_rows
from backend.core.sessions import Database
from backend.dispatch.crews import crews
from backend.dispatch.desk import Desk, PlannerRefusedError, sheet_line
from backend.dispatch.live import NO_PLAN, naming
from backend.dispatch.live_wording import Naming, minutes, refusal_words
from backend.dispatch.models import PlanRun
from backend.dispatch.open_visits import Standing, standings
from backend.dispatch.queries import ONE_MORE, ONE_MORE_NAME, plan_run
from backend.dispatch.schemas import ChangeView, Difference, Hypothesis, PlacedView, PlanVersion, TermsView
from backend.dispatch.supposing import WHAT_IF
from backend.jobs.models import Visit
from backend.people.models import Person
from backend.people.sign_in import unit_trees
from routing import problem as planning
from routing.answers import InForce
from routing.differences import Change, Placed, Terms, changes, terms
from routing.plan import Plan
from routing.questions import Follow

PLAN_MISSING = Fault(
    "plan_missing", 409, "计划尚未完成,没有可比较的内容。", "The plan is not made yet, so there is nothing to compare.",
    "请等计划完成。", "Wait until it is done.",
)  # fmt: skip
NOT_COMPARABLE = Fault(
    "not_comparable", 409, "无法在这个计划里推算现行安排:{detail}。",
    "What is in force cannot be worked out within this plan: {detail_en}.",
    "请重新计划,或与另一个计划比较。", "Plan again, or compare it with another plan.",
)  # fmt: skip
IN_FORCE: Final = "in_force"
METRES_A_KM: Final = 1000
KINDS: Final = {
    "moved": ("{site}由{before}改派{after}", "{site} moves from {before} to {after}"),
    "retimed": ("{site}改时:{before} → {after}", "{site} moves: {before} → {after}"),
    "added": ("{site}排给{after}", "{site} is given to {after}"),
    "taken_off": ("{site}从{before}撤下", "{site} is taken off {before}"),
}
"""A visit that changes, by kind."""
NONE: Final = ("无", "none")
HOW: Final = {
    "counted": ("换人、撤下或改动已告知的时间 {} 次{limit}", "{} change hands or a told time, or drop out{limit}"),
    "retimed": ("仅改时 {} 次", "{} only start at another time"),
    "added": ("新排 {} 次", "{} are newly planned"),
    "gone": ("原班次已无而不计入 {} 次", "{} lost their shift and do not count"),
}
"""How visits change, with their number."""


async def difference(
    database: Database, desk: Desk, principal: Principal, *, plan_id: UUID, against: UUID | None
) -> Difference:
    """Return what a plan changes; a what-if is held against the plan it started from.

    Both sides are followed in the plan's own problem, from its first second on, so that their terms can be compared.
    Raises not_found, plan_missing and not_comparable.
    """
    async with database.read() as session:
        run = await plan_run(session, principal, plan_id, "read")
        made, problem = _made(run)
        base_id = against or (run.base_id if run.kind == WHAT_IF else None)
        if base_id is None:
            before, known = await _in_force(session, run, problem)
        else:
            before, known = _other(run, await plan_run(session, principal, base_id, "read"))
        everything = changes(problem, before, _placed_by(problem, made))
        if base_id is None:
            everything = _counted(everything, problem)
        found = await _of_visits(session, everything)
        called = await _naming(session, run, problem, before)
    before_terms = known if isinstance(known, Terms) else await _followed(desk, run, problem, known, called)
    counted = sum(one.counted for one in everything)
    views = [_change(one, called) for one in found]
    after_terms = terms(made)
    opening = _supposition(run, called) or _change_words(found, counted, run.most_changes)
    zh, en = _sentence(opening, before_terms, after_terms)
    return Difference(
        plan_id=run.id, against=IN_FORCE if base_id is None else str(base_id), sentence_zh=zh, sentence_en=en,
        counted=counted, most_changes=run.most_changes, retimed=sum(_retimed(one) for one in found), changes=views,
        told_again=[view.visit_id for view in views if view.told], before=_terms(before_terms),
        after=_terms(after_terms),
    )  # fmt: skip


async def plan_versions(
    session: AsyncSession, principal: Principal, unit_id: UUID | None, page: PageRequest
) -> Page[PlanVersion]:
    """Return the plans that were published in the units the person dispatches for, newest first."""
    units = principal.units("dispatch", "read")
    if unit_id is not None:
        units &= (await unit_trees(session, {unit_id}))[unit_id]
    listed = (
        select(
            PlanRun.id, PlanRun.unit_id, PlanRun.version, PlanRun.kind, PlanRun.published_at, PlanRun.published_by_id,
            PlanRun.publication, Person.name.label("published_by"),
        )
        .join(Person, Person.id == PlanRun.published_by_id, isouter=True)
        .where(PlanRun.unit_id.in_(units), PlanRun.version.is_not(None))
    )  # fmt: skip
    return await fetch_rows(session, listed, PlanRun.id, page, _version)


def _placed_by(problem: planning.Problem, made: Plan) -> dict[str, Placed]:
    """Return where a plan has each visit: with who leads it."""
    return {
        visit: Placed(
            shift=parts[0].route.shift,
            technician=parts[0].route.technician,
            start=parts[0].stop.start,
            joining=tuple(part.route.shift for part in parts[1:]),
        )
        for visit, parts in crews(problem, made).items()
    }


async def _of_visits(session: AsyncSession, found: tuple[Change, ...]) -> tuple[Change, ...]:
    """Return what changes of visits, not of who joins them; `told` only where it was a customer who was told."""
    ids = [UUID(one.visit) for one in found]
    visits = select(Visit.id, Visit.told_at).where(Visit.id.in_(ids))
    told_at = {str(row.id): row.told_at for row in await session.execute(visits)}
    return tuple(
        msgspec.structs.replace(one, told=one.told and told_at[one.visit] is not None)
        for one in found
        if one.visit in told_at
    )


def _version(row: RowMapping) -> PlanVersion:
    outcome: dict[str, Any] = row["publication"] or {}
    return PlanVersion(
        unit_id=row["unit_id"], version=row["version"], plan_id=row["id"], kind=row["kind"],
        published_at=row["published_at"], published_by_id=row["published_by_id"], published_by=row["published_by"],
        assigned=outcome.get("assigned", 0), unchanged=outcome.get("unchanged", 0),
        withdrawn=outcome.get("withdrawn", 0), skipped=len(outcome.get("skipped", ())),
        told_again=[UUID(visit) for visit in outcome.get("told_again", ())],
    )  # fmt: skip


def _made(run: PlanRun) -> tuple[Plan, planning.Problem]:
    if run.plan is None or run.problem is None:
        raise Problem(PLAN_MISSING)
    return msgspec.convert(run.plan, Plan), msgspec.convert(run.problem, planning.Problem)


async def _in_force(
    session: AsyncSession, run: PlanRun, problem: planning.Problem
) -> tuple[dict[str, Placed], dict[str, list[str]]]:
    """Return where people were told each visit is now, and the visits of each shift in that order."""
    standing = await standings(session, [UUID(visit.id) for visit in problem.visits])
    technicians = {shift.id: shift.technician for shift in problem.shifts}
    numbers = {visit.id: visit.technicians for visit in problem.visits}
    stood = _stood(problem)
    before = {
        str(visit_id): placed
        for visit_id, one in standing.items()
        if (placed := _given(one, technicians, stood.get(str(visit_id)), run)) is not None
    }
    for visit in problem.visits:  # who joins a visit, or is there without having been given a time, stays with it
        joins = UUID(visit.id) not in standing
        if visit.id in stood and visit.id not in before and (joins or visit.frozen):
            before[visit.id] = stood[visit.id]
    orders: dict[str, list[str]] = {}
    for name in sorted(before, key=lambda name: before[name].start):
        helpers = standing[UUID(name)].helpers if UUID(name) in standing else ()
        together = [str(one.shift_id) for one in helpers if one.planned] if numbers[name] > 1 else []
        for shift in (before[name].shift, *together):
            orders.setdefault(shift, []).append(name)
    return before, orders


async def _followed(
    desk: Desk, run: PlanRun, problem: planning.Problem, orders: dict[str, list[str]], called: Naming
) -> Terms:
    """Return what following the shifts' orders comes to; raises not_comparable where the planner refuses."""

    async def sheet() -> bytes:
        return sheet_line(problem, NO_PLAN)

    try:
        followed: InForce = await desk.ask(Follow(orders=orders), key=f"problem {run.id}", sheet=sheet)
    except PlannerRefusedError as refused:
        zh, en = refusal_words(refused.fault, called)
        raise Problem(NOT_COMPARABLE, detail=zh, detail_en=en) from refused
    return terms(followed.plan)


def _stood(problem: planning.Problem) -> dict[str, Placed]:
    """Return where each visit stood when the plan was made, on the shifts that were planned."""
    technicians = {shift.id: shift.technician for shift in problem.shifts}
    return {
        visit.id: Placed(shift=before.shift, technician=technicians[before.shift], start=before.start)
        for visit in problem.visits
        if (before := visit.previous) is not None and before.shift in technicians
    }


def _counted(found: tuple[Change, ...], problem: planning.Problem) -> tuple[Change, ...]:
    """Return the changes, of which only those count that the problem knew to stand somewhere: not of who is away."""
    stood = _stood(problem)
    return tuple(msgspec.structs.replace(one, counted=one.counted and one.visit in stood) for one in found)


def _given(standing: Standing, technicians: dict[str, str], stood: Placed | None, run: PlanRun) -> Placed | None:
    """Return where a visit is by its assignment; given by hand without a shift, on the one where it `stood`."""
    shift = str(standing.shift_id)
    if standing.arrives_at is None or standing.person_id is None:
        return None
    if stood is not None and shift not in technicians and stood.technician == str(standing.person_id):
        shift = stood.shift
    start = int((standing.arrives_at - run.horizon_starts_at).total_seconds())
    return Placed(shift=shift, technician=technicians.get(shift, str(standing.person_id)), start=start)


def _other(run: PlanRun, other: PlanRun) -> tuple[dict[str, Placed], Terms]:
    """Return where another plan has each visit, on this plan's clock, and what it comes to."""
    made, problem = _made(other)
    later = int((other.horizon_starts_at - run.horizon_starts_at).total_seconds())
    before = {
        visit: msgspec.structs.replace(placed, start=placed.start + later)
        for visit, placed in _placed_by(problem, made).items()
    }
    return before, terms(made)


async def _naming(session: AsyncSession, run: PlanRun, problem: planning.Problem, before: dict[str, Placed]) -> Naming:
    called = await naming(session, problem, run.horizon_starts_at, [run.unit_id])
    missing = {placed.technician for placed in before.values()} - called.people.keys()
    rows = await session.execute(select(Person.id, Person.name).where(Person.id.in_(map(UUID, missing))))
    names = dict(called.people) | {str(row.id): row.name for row in rows}
    return replace(called, people=names)


def _change(change: Change, called: Naming) -> ChangeView:
    label = called.visits[change.visit]
    zh, en = KINDS[change.kind]
    words = [_where(change, placed, called) for placed in (change.before, change.after)]
    (before_zh, before_en), (after_zh, after_en) = words
    return ChangeView(
        visit_id=UUID(change.visit), number=label.number, site_name=label.site, kind=change.kind,
        before=_placed(change.before, called), after=_placed(change.after, called), told=change.told,
        counted=change.counted, sentence_zh=zh.format(site=label.site, before=before_zh, after=after_zh),
        sentence_en=en.format(site=label.site, before=before_en, after=after_en),
    )  # fmt: skip


def _where(change: Change, placed: Placed | None, called: Naming) -> tuple[str, str]:
    if placed is None:
        return "", ""
    at = called.clock(placed.start, change.visit)
    if change.kind == "retimed":
        return at, at
    name = called.people.get(placed.technician)
    return (f"{name} {at}", f"{name} {at}") if name else (f"{ONE_MORE[0]} {at}", f"{ONE_MORE[1]} {at}")


def _placed(placed: Placed | None, called: Naming) -> PlacedView | None:
    if placed is None:
        return None
    name = called.people.get(placed.technician, ONE_MORE_NAME)
    return PlacedView(placed.shift, UUID(placed.technician), name, called.at(placed.start))


def _terms(given: Terms) -> TermsView:
    return TermsView(
        served=given.served, unplanned=given.unplanned, late=given.late, late_minutes=minutes(given.late_seconds),
        travel_minutes=minutes(given.travel_seconds), travel_km=round(given.travel_metres / METRES_A_KM, 1),
        overtime_minutes=minutes(given.overtime_seconds), cost=msgspec.to_builtins(given.cost),
    )  # fmt: skip


def _retimed(one: Change) -> bool:
    """Return whether a visit only starts at another time, and not one that a customer waits for."""
    return one.kind == "retimed" and not one.counted


def _change_words(found: tuple[Change, ...], counted: int, most: int | None) -> tuple[str, str]:
    """Return how many visits change, and how: what `most_changes` counts first, apart from what is merely retimed."""
    others = [one for one in found if not one.counted]
    numbers = {
        "counted": counted, "retimed": sum(map(_retimed, found)), "added": sum(one.kind == "added" for one in others),
        "gone": sum(one.kind in {"moved", "taken_off"} for one in others),
    }  # fmt: skip
    limit_zh, limit_en = ("", "") if most is None else (f"(至多 {most} 次)", f" (at most {most} may)")
    named = [name for name, number in numbers.items() if number or (name == "counted" and most is not None)]
    told, together = sum(one.told for one in found), len(found)
    zh = "、".join(HOW[name][0].format(numbers[name], limit=limit_zh) for name in named)
    en = ", ".join(HOW[name][1].format(numbers[name], limit=limit_en) for name in named)
    return (
        f"{together} 次上门有变化{zh and f'({zh})'},{told} 位客户须重新告知",
        f"{together} visits change{en and f': {en}'}; {told} customers to be told anew",
    )


def _supposition(run: PlanRun, called: Naming) -> tuple[str, str] | None:
    """Return what a what-if supposes, for a manager: nobody is told anew, so changes are not what is asked."""
    if run.kind != WHAT_IF or run.hypothesis is None:
        return None
    hypothesis = msgspec.convert(run.hypothesis, Hypothesis)
    if hypothesis.without_person_id is not None:
        name = called.person(str(hypothesis.without_person_id))
        return f"若没有{name}", f"without {name}"
    if hypothesis.everybody_has is not None:
        zh, en = called.skills.get(hypothesis.everybody_has, (hypothesis.everybody_has, hypothesis.everybody_has))
        return f"若人人具备{zh}", f"if everybody had {en}"
    return "若增加一人", "with one more person"


def _sentence(opening: tuple[str, str], before: Terms, after: Terms) -> tuple[str, str]:
    was, now = (_length(side.travel_seconds) for side in (before, after))
    longer, still = (_length(side.overtime_seconds) for side in (before, after))
    zh = (
        f"{opening[0]};已排 {before.served} → {after.served},"
        f"晚到 {before.late} → {after.late},路程 {was[0]} → {now[0]},加班 {longer[0]} → {still[0]}。"
    )
    en = (
        f"{opening[1]}; planned {before.served} → {after.served},"
        f" late {before.late} → {after.late}, travel {was[1]} → {now[1]}, overtime {longer[1]} → {still[1]}."
    )
    return zh, en


def _length(seconds: int) -> tuple[str, str]:
    """Return a length as people say it; none at all is none, not less than a minute."""
    return span_words(timedelta(seconds=seconds)) if seconds else NONE
