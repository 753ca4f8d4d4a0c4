"""Asking for plans, stopping them, and publishing one as assignments."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import Actor, record
from backend.core.errors import Fault, Finding, Problem
from backend.core.tasks import Task
from backend.dispatch.away import absences_of
from backend.dispatch.basis import Basis, Hours, hours_of, newest_versions
from backend.dispatch.crews import Part, crews
from backend.dispatch.models import OPEN_STATES, PlanRun
from backend.dispatch.open_visits import MOVABLE, UNDER_WAY, Helper, Standing, standings
from backend.dispatch.placing import as_assigned, locked_visits
from backend.dispatch.queue import RUN_PLAN, enqueue_plan, on_tasks
from backend.dispatch.schemas import Hypothesis, NewPlan, NewReplan, Publication, SkipCode, SkippedVisit
from backend.dispatch.supposing import WHAT_IF, supposed
from backend.jobs.actions import assign_visit, withdraw_assignments
from backend.jobs.assigning import starts_anew
from backend.jobs.models import Visit
from backend.jobs.reclaiming import REPLANNED
from backend.people.models import Person, Shift, Unit
from backend.people.queries import must_know_skills
from backend.people.roster_actions import add_absence
from backend.people.roster_schemas import NewAbsence
from backend.people.sign_in import unit_trees
from routing import problem as planning
from routing.differences import NOTICED_SECONDS
from routing.plan import Plan

OPEN_PLANS_MAXIMUM: Final = 4
"""Plans of one unit waiting or running at a time."""
HOLDERS: Final = ("person_id", "shift_id")
TIMES: Final = ("departs_at", "arrives_at", "ends_at")
"""What of a visit's assignment a plan decides: who, and when."""
NOTICED: Final = timedelta(seconds=NOTICED_SECONDS)
"""A time that shifts by less is the same time, and no phone hears of it."""
LEAVE_LATE: Final = timedelta(minutes=15)
"""A plan takes minutes to make and to look at: whoever is to leave at once still gets their first visit that long."""
SKIPPED_TEXTS: Final[Mapping[SkipCode, tuple[str, str]]] = {
    "begun": ("计划之后已出发、完成或取消。", "It set off, ended or was cancelled after the plan was made."),
    "decided": (
        "计划之后有人改派、固定或告知了客户;以人的决定为准。",
        "Somebody assigned, moved or pinned it or told the customer after the plan was made; that stands.",
    ),
    "pinned": ("已固定,计划中没有空档;原指派保留。", "It is pinned and the plan found no room; its assignment stands."),
    "shift_gone": (
        "计划所用的班次已取消或人员已离职。请重新计划。",
        "The shift it was planned for is gone, or its technician left. Plan again.",
    ),
    "shift_changed": (
        "计划之后有人更改了所用班次的时间、休息或出发地。请重新计划。",
        "The hours, breaks or start of the shift it was planned for were changed after the plan was made. Plan again.",
    ),
    "away": (
        "所安排的人员在该时段休假或缺勤。请重新计划。",
        "Who it was planned for is on leave or absent at that time. Plan again.",
    ),
    "past": (
        "按计划出发的时间已过。请重新计划。",
        "The time to set off for it by the plan has passed. Plan again.",
    ),
}

NO_TECHNICIANS = Fault(
    "no_technicians", 409, "计划期内没有任何人上班,无法排程。",
    "Nobody works in this period, so there is nothing to plan.",
    "请先登记班次,或把计划期延长到有人上班的日子。", "Enter shifts first, or plan up to a day on which people work.",
)  # fmt: skip
TOO_MANY_PLANS = Fault(
    "too_many_plans", 429, "这个单位已有太多计划在排队。", "Too many plans of this unit are waiting already.",
    "请等一个完成,或取消一个。", "Wait for one to finish, or cancel one.",
)  # fmt: skip
PLAN_NOT_READY = Fault(
    "plan_not_ready", 409, "计划尚未完成或没有通过复核,不能发布。",
    "The plan is not finished or did not pass the referee.",
    "请等计划完成后再发布,或重新计划。", "Wait until it is done, or plan again.",
)  # fmt: skip
PLAN_HYPOTHETICAL = Fault(
    "plan_hypothetical", 409, "这是假设方案,不能发布。", "This is a what-if and cannot be published.",
    "请重新计划实际的人员。", "Plan with the people there are.",
)  # fmt: skip
PLAN_OUTDATED = Fault(
    "plan_outdated", 409, "本单位或其上下级单位已有更新的计划发布,或这个计划由旧版本程序生成,不能再发布。",
    "A newer plan of this unit, or of one above or below it, is published already, or an older version made this one.",
    "请重新计划。", "Plan again.",
)  # fmt: skip
NOTHING_TO_PUBLISH = Fault(
    "nothing_to_publish", 409, "这个计划已没有一项可以发布。", "Nothing of this plan can be published any more.",
    "请查看 findings 中的原因,然后重新计划。", "See the findings for why, then plan again.",
)  # fmt: skip


async def request_plan(
    session: AsyncSession, *, now: datetime, actor: Actor, new: NewPlan | NewReplan, default_seconds: float,
    most_changes: int | None = None,
) -> PlanRun:  # fmt: skip
    """Queue a plan, or with `most_changes` a re-plan; raises no_technicians and too_many_plans."""
    horizon_ends_at = now + timedelta(hours=new.horizon_hours)
    units = (await unit_trees(session, {new.unit_id}))[new.unit_id]
    await _must_have_technicians(session, units, now, horizon_ends_at)
    await _must_have_room(session, new.unit_id)
    run = PlanRun(
        unit_id=new.unit_id, horizon_starts_at=now, horizon_ends_at=horizon_ends_at, seed=new.seed,
        seconds=new.seconds or default_seconds, state="queued", progress={}, cancel_requested=False,
        requested_by_id=actor.person_id, requested_at=now, violations=[], most_changes=most_changes,
        kind="plan" if most_changes is None else "replan",
    )  # fmt: skip
    return await _queued(session, run, now, actor)


async def request_replan(
    session: AsyncSession, *, now: datetime, actor: Actor, new: NewReplan, units: frozenset[UUID],
    default_seconds: float,
) -> PlanRun:  # fmt: skip
    """Queue a re-plan within its budget of changes, entering first who is away; raises as `request_plan`, and invalid.

    `units`: those whose people the dispatcher may enter as away.
    """
    if new.away is not None:
        absence = NewAbsence(
            person_id=new.away.person_id, starts_at=now, ends_at=new.away.until, kind=new.away.kind, note=new.away.note
        )
        await add_absence(session, now=now, actor=actor, units=units, new=absence)
    return await request_plan(
        session, now=now, actor=actor, new=new, default_seconds=default_seconds, most_changes=new.most_changes
    )


async def problem_with(base: PlanRun, hypothesis: Hypothesis) -> dict[str, Any]:
    """Return the problem of `base` with other people, as it is stored; raises plan_not_ready and hypothesis.

    Of a large plan it takes long: hence in a thread, and ahead of the transaction that everybody waits for.
    """
    problem = base.problem
    if base.state != "done" or problem is None:
        raise Problem(PLAN_NOT_READY, Finding("state", base.state, base.state))

    def worked_out() -> dict[str, Any]:
        return msgspec.to_builtins(supposed(msgspec.convert(problem, planning.Problem), hypothesis))

    return await asyncio.to_thread(worked_out)


async def request_what_if(
    session: AsyncSession, *, now: datetime, actor: Actor, base: PlanRun, hypothesis: Hypothesis,
    problem: dict[str, Any],
) -> PlanRun:  # fmt: skip
    """Queue a plan of what `problem_with` made of the problem of `base`; raises invalid and too_many_plans."""
    if hypothesis.everybody_has is not None:
        await must_know_skills(session, [hypothesis.everybody_has], "everybody_has")
    if hypothesis.one_more is not None:
        await must_know_skills(session, hypothesis.one_more.skills, "one_more.skills.{}")
    await _must_have_room(session, base.unit_id)
    run = PlanRun(
        unit_id=base.unit_id, horizon_starts_at=base.horizon_starts_at, horizon_ends_at=base.horizon_ends_at,
        seed=base.seed, seconds=base.seconds, state="queued", progress={}, cancel_requested=False,
        requested_by_id=actor.person_id, requested_at=now, violations=[], kind=WHAT_IF, base_id=base.id,
        most_changes=base.most_changes, hypothesis=msgspec.to_builtins(hypothesis), problem=problem,
    )  # fmt: skip
    return await _queued(session, run, now, actor)


async def _queued(session: AsyncSession, run: PlanRun, now: datetime, actor: Actor) -> PlanRun:
    session.add(run)
    await session.flush()
    await enqueue_plan(session, now=now, run_id=run.id)
    record(session, now=now, actor=actor, action="plan.requested", row=run, after={"kind": run.kind})
    return run


async def cancel_plan(session: AsyncSession, *, now: datetime, actor: Actor, run: PlanRun) -> None:
    """Ask a plan to stop; the planner hands over its best so far. A plan that has ended stays as it is."""
    if run.state in OPEN_STATES and not run.cancel_requested:
        run.cancel_requested = True
        record(session, now=now, actor=actor, action="plan.cancel_requested", row=run)


async def publish_plan(session: AsyncSession, *, now: datetime, actor: Actor, run: PlanRun) -> Publication:
    """Turn a plan into assignments. A second time changes nothing.

    Visits that moved on since (under way, finished, cancelled), about which somebody decided since, whose technician is
    not there any more as planned, or for which it is too late to set off, are passed over and listed. Visits the plan
    leaves where they are stay untouched, so their technicians' phones hear nothing.
    Raises plan_not_ready, plan_outdated, and nothing_to_publish where every visit would be passed over.
    """
    if run.publication is not None:
        return msgspec.convert(run.publication, Publication)
    plan, basis = _publishable(run)
    used = [UUID(route.shift) for route in plan.routes]
    visits = await locked_visits(session, list(basis.visits), used)
    await _must_be_newest(session, run, basis)
    problem = msgspec.convert(run.problem, planning.Problem)
    publishing = _Publishing(
        session, now, actor, run, visits, basis, frozenset(visit.id for visit in problem.visits if visit.frozen),
        standing=await standings(session, list(basis.visits)),
        shifts=await hours_of(session, used),
        away=await absences_of(session, {UUID(route.technician) for route in plan.routes}, now),
    )  # fmt: skip
    for parts in crews(problem, plan).values():
        await publishing.place(parts)
    for unplanned in plan.unplanned:
        await publishing.take_off(UUID(unplanned.visit))
    publishing.must_have_come_to_something()
    run.version, run.published_by_id = await _next_version(session, run.unit_id), actor.person_id
    outcome = publishing.outcome()
    run.published_at, run.publication = now, msgspec.to_builtins(outcome)
    done = {"assigned": publishing.assigned, "version": run.version}
    record(session, now=now, actor=actor, action="plan.published", row=run, after=done)
    return outcome


@dataclass
class _Publishing:
    session: AsyncSession
    now: datetime
    actor: Actor
    run: PlanRun
    visits: Mapping[UUID, Visit]
    basis: Basis
    """What the plan was made from."""
    settled: frozenset[str]
    """Visits that somebody was on the way to, or about to be, when the plan was made: it took them as they were."""
    standing: Mapping[UUID, Standing]
    """How its visits stand now."""
    shifts: Mapping[UUID, Hours]
    """The plan's shifts that are still worked."""
    away: Mapping[UUID, Sequence[tuple[datetime, datetime]]]
    """When its people are away, as is known now."""
    assigned: int = 0
    unchanged: int = 0
    withdrawn: int = 0
    skipped: list[SkippedVisit] = field(default_factory=list[SkippedVisit])
    told_again: list[UUID] = field(default_factory=list[UUID])

    async def place(self, parts: Sequence[Part]) -> None:
        """Give a visit to who comes there by the plan, the lead first."""
        (route, stop), *others = parts
        visit = self.visits.get(UUID(stop.visit))
        if visit is None:  # somebody's part in a visit that another leads: they were asked for it by name
            return
        standing, starts_at = self.standing[visit.id], self.run.horizon_starts_at
        wanted = as_assigned(route, stop, starts_at)
        joining = [as_assigned(part.route, part.stop, starts_at) for part in others]
        if visit.state in UNDER_WAY and stop.visit in self.settled:
            self.unchanged += 1
        elif visit.state not in MOVABLE:
            self._skip(visit, "begun")
        elif _as_it_is(standing, wanted) and _with_whom_it_is(self._replaceable(standing), standing, joining):
            self.unchanged += 1
        elif standing != self.basis.visits[visit.id]:
            self._skip(visit, "decided")
        elif (obstacle := self._obstacle([wanted, *joining])) is not None:
            self._skip(visit, obstacle)
        else:
            pinned = bool(standing.pinned) and standing.person_id == wanted["person_id"]
            await assign_visit(
                self.session, now=self.now, actor=self.actor, visit=visit, plan_id=self.run.id, pinned=pinned,
                reason=REPLANNED, **wanted,
            )  # fmt: skip
            await self._send_along(visit, standing, wanted["person_id"], joining)
            self.assigned += 1
            self._note_told(standing, visit.id, wanted)

    def _obstacle(self, coming: Sequence[dict[str, Any]]) -> SkipCode | None:
        """Return why one of those who are to come cannot come as planned after all."""
        for one in coming:
            shift_id, departs_at, ends_at = one["shift_id"], one["departs_at"], one["ends_at"]
            if shift_id not in self.shifts:
                return "shift_gone"
            if self.shifts[shift_id] != self.basis.shifts[shift_id]:
                return "shift_changed"
            if any(gone < ends_at and departs_at < back for gone, back in self.away.get(one["person_id"], ())):
                return "away"
            if departs_at + LEAVE_LATE < self.now:
                return "past"
        return None

    async def _send_along(
        self, visit: Visit, standing: Standing, lead_id: UUID, joining: Sequence[dict[str, Any]]
    ) -> None:
        """Send the others along, and nobody whom only an earlier plan sent there; who was asked by hand still comes."""
        for wanted in joining:
            await assign_visit(
                self.session, now=self.now, actor=self.actor, visit=visit, plan_id=self.run.id, leads=False, **wanted
            )
        coming = {lead_id, *(one["person_id"] for one in joining)}
        for helper in self._replaceable(standing):
            if helper.person_id not in coming:
                await withdraw_assignments(
                    self.session, now=self.now, actor=self.actor, visit=visit, reason=REPLANNED,
                    person_id=helper.person_id,
                )  # fmt: skip

    def _replaceable(self, standing: Standing) -> list[Helper]:
        """Return whom this plan was free to send or not: sent by an earlier plan, and not given to it as a stay."""
        return [one for one in standing.helpers if one.planned and one.assignment_id not in self.basis.visits]

    async def take_off(self, visit_id: UUID) -> None:
        visit = self.visits.get(visit_id)
        if visit is None:
            return
        standing = self.standing[visit_id]
        if visit.state not in MOVABLE:
            self._skip(visit, "begun")
        elif standing.assignment_id is None:
            return
        elif standing != self.basis.visits[visit_id]:
            self._skip(visit, "decided")
        elif standing.pinned:
            self._skip(visit, "pinned")
        else:
            await withdraw_assignments(self.session, now=self.now, actor=self.actor, visit=visit, reason="unplanned")
            self.withdrawn += 1
            self._note_told(standing, visit_id, None)

    def must_have_come_to_something(self) -> None:
        """Refuse a plan of which every visit is passed over: it would only overtake others."""
        if not self.skipped or self.assigned or self.unchanged or self.withdrawn:
            return
        findings: list[Finding] = []
        counted: Counter[SkipCode] = Counter(one.code for one in self.skipped)
        for code, number in counted.items():
            zh, en = SKIPPED_TEXTS[code]
            findings.append(Finding(code, f"{number} 次上门:{zh}", f"{en} (visits: {number})"))
        raise Problem(NOTHING_TO_PUBLISH, *findings)

    def outcome(self) -> Publication:
        return Publication(
            plan_id=self.run.id, assigned=self.assigned, unchanged=self.unchanged, withdrawn=self.withdrawn,
            skipped=self.skipped, version=self.run.version, told_again=self.told_again,
        )  # fmt: skip

    def _note_told(self, standing: Standing, visit_id: UUID, wanted: dict[str, Any] | None) -> None:
        """Note a visit whose customer was told, and has to hear of another time or person, or that nobody comes."""
        if standing.told_at is None:
            return
        if wanted is None or (
            standing.arrives_at is not None
            and (standing.person_id != wanted["person_id"] or starts_anew(standing.arrives_at, wanted["arrives_at"]))
        ):
            self.told_again.append(visit_id)

    def _skip(self, visit: Visit, code: SkipCode) -> None:
        zh, en = SKIPPED_TEXTS[code]
        self.skipped.append(SkippedVisit(visit_id=visit.id, state=visit.state, code=code, zh=zh, en=en))


def _as_it_is(standing: Standing | Helper, wanted: dict[str, Any]) -> bool:
    """Whether the plan leaves a visit where it is, as far as people notice."""
    if any(getattr(standing, name) != wanted[name] for name in HOLDERS):
        return False
    pairs = [(getattr(standing, name), wanted[name]) for name in TIMES]
    return all(one is not None and abs(one - other) < NOTICED for one, other in pairs)


def _with_whom_it_is(replaceable: Sequence[Helper], standing: Standing, joining: Sequence[dict[str, Any]]) -> bool:
    """Whether the plan sends those along who come already; who is not `replaceable` comes in any case."""
    come = {one.person_id: one for one in standing.helpers}
    go = {one["person_id"]: one for one in joining}
    if {one.person_id for one in replaceable} - go.keys():
        return False
    return all(person in come and _as_it_is(come[person], wanted) for person, wanted in go.items())


def _publishable(run: PlanRun) -> tuple[Plan, Basis]:
    if run.kind == WHAT_IF:
        raise Problem(PLAN_HYPOTHETICAL)
    if run.state != "done" or run.plan is None:
        raise Problem(PLAN_NOT_READY, Finding("state", run.state, run.state))
    try:
        return msgspec.convert(run.plan, Plan), msgspec.convert(run.basis, Basis)
    except msgspec.ValidationError as error:  # made before plans kept all they rest on
        raise Problem(PLAN_OUTDATED) from error


async def _next_version(session: AsyncSession, unit_id: UUID) -> int:
    """Return the version after the newest of the unit; who publishes next waits for us."""
    await session.execute(select(Unit.id).where(Unit.id == unit_id).with_for_update())
    newest = select(func.max(PlanRun.version)).where(PlanRun.unit_id == unit_id)
    return ((await session.execute(newest)).scalar() or 0) + 1


async def _must_be_newest(session: AsyncSession, run: PlanRun, basis: Basis) -> None:
    """Refuse a plan if one that shares a unit with it was published since its rows were read.

    It is asked once the orders and shifts are locked: whoever published a related plan while we waited is seen then.
    """
    newest = await newest_versions(session)
    units = {unit for unit, version in newest.items() if version != basis.versions.get(unit)}
    trees = await unit_trees(session, {run.unit_id, *units})
    if any(trees[unit] & trees[run.unit_id] for unit in units):
        raise Problem(PLAN_OUTDATED)


async def _must_have_technicians(session: AsyncSession, units: frozenset[UUID], now: datetime, until: datetime) -> None:
    working = (
        select(Shift.id)
        .join(Person, Person.id == Shift.person_id)
        .where(Person.unit_id.in_(units), Person.active, Shift.ends_at > now, Shift.starts_at < until)
    )
    if (await session.execute(working.limit(1))).first() is None:
        raise Problem(NO_TECHNICIANS)


async def _must_have_room(session: AsyncSession, unit_id: UUID) -> None:
    """Count plans that somebody still works on or will: a run whose task was given up waits for nothing.

    Where plans wait in a queue of their own (PostgreSQL), none of them is ever given up without being settled.
    """
    open_runs = select(PlanRun.id).where(PlanRun.unit_id == unit_id, PlanRun.state.in_(OPEN_STATES))
    waiting = (await session.execute(open_runs)).scalars().all()
    alive = len(waiting)
    if on_tasks(session):
        keys = [f"{RUN_PLAN}:{run_id}" for run_id in waiting]
        tasks = select(func.count()).where(Task.key.in_(keys), Task.state == "waiting")
        alive = (await session.execute(tasks)).scalar_one()
    if alive >= OPEN_PLANS_MAXIMUM:
        raise Problem(TOO_MANY_PLANS)
