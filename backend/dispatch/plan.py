"""From rows to a planning problem: which visits wait, who works when, and what is already decided.

Second 0 of a problem is the moment of planning. Shifts under way begin there, from the place where their technician is.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from backend.contracts.rules import moment_words
from backend.dispatch.away import away_of
from backend.dispatch.joining import joining, stays_of
from backend.dispatch.open_visits import (
    PRIORITIES,
    UNDER_WAY,
    Standing,
    imminent,
    open_visits,
    place_of,
    remaining,
    second,
    standings_of,
    under_way,
)
from backend.dispatch.parts_at_hand import NO_PARTS, Needs, parts_needed, van_stock
from backend.dispatch.responsible import owners_of
from backend.dispatch.roster import WorkingTime, shifts_held, working_times
from backend.dispatch.travel import learnt_travel
from backend.jobs.assigning import TOLD_TOLERANCE
from routing import problem as planning
from routing.backlog import Backlog
from routing.limits import MAX_COUPLED_VISITS

POINT_APPOINTMENT: Final = timedelta(minutes=15)
"""A promised window up to this wide names a point in time: arrive 5 to 10 minutes before it (A069)."""
ARRIVE_EARLY: Final = (timedelta(minutes=10), timedelta(minutes=5))
LEFT_OUT_TEXTS: Final = {
    "no_position": (
        "站点没有坐标,无法计算路程。请在站点档案中标注位置。",
        "The site has no position, so no way there can be planned. Pin it on the site's file.",
    ),
    "not_approved": (
        "工单尚未经部长签字确认。请先审批。",
        "The work order is not approved yet. Have the head approve it first.",
    ),
    "beyond_horizon": (
        "最早 {opens} 才能上门,晚于本计划期。请加长计划期,或以后再计划。",
        "It can begin {opens} at the earliest, after what this plan covers. Plan a longer period, or later.",
    ),
    "with_crew": (
        "已整组交给小组,由组长决定谁去,计划只为组长留出时间。请组长认领,或改派给个人。",
        "It is given to a crew as a whole, and only its leader's time is kept. Have it claimed, or send somebody.",
    ),
    "crew_in_large_plan": (
        f"需要多人同时上门;待排上门超过 {MAX_COUPLED_VISITS} 次时不自动组队。请人工指派,或按下级单位分别排程。",
        (
            f"It needs several people at once, whom no plan of over {MAX_COUPLED_VISITS} visits brings together."
            " Assign them by hand, or plan the units below one by one."
        ),
    ),
}
MOVED_PRICE: Final = 90_000
"""What moving a visit to another shift must save: 15 minutes of driving. Its technician may be out of reach and go."""
PRICES: Final = planning.Prices(moved=MOVED_PRICE, told_tolerance=int(TOLD_TOLERANCE.total_seconds()))
BACKLOG: Final = Backlog()
"""What is done about work that waits: the rule and the figures of the twin, tried on weeks of real outages (0211)."""


@dataclass(frozen=True)
class LeftOut:
    """A visit the planner was not asked about, and why: a code of LEFT_OUT_TEXTS. `opens`: when it may begin."""

    visit_id: UUID
    code: str
    opens: tuple[str, str] = ("", "")

    def reason(self) -> dict[str, str]:
        """The reason as a plan's own reasons are stored."""
        zh, en = (text.format(opens=opens) for text, opens in zip(LEFT_OUT_TEXTS[self.code], self.opens, strict=True))
        return {"code": self.code, "basis": "proven", "zh": zh, "en": en}


@dataclass(frozen=True)
class PlanningTask:
    """A problem with what is needed to read its plan back; `starts_at` is its second 0."""

    starts_at: datetime
    problem: planning.Problem
    left_out: list[LeftOut]
    standings: dict[UUID, Standing]


async def build_problem(
    session: AsyncSession, *, now: datetime, unit_ids: Iterable[UUID], horizon_ends_at: datetime,
    most_changes: int | None = None, backlog: Backlog = BACKLOG, anew: bool = False,
    most_with_crews: int = MAX_COUPLED_VISITS,
) -> PlanningTask:  # fmt: skip
    """Gather everything open in the units into a problem for the shifts that begin before `horizon_ends_at`.

    What is planned beyond that stays there. With `most_changes`, so many visits of the plan in force may change.

    `backlog` says how dear it is to leave what is long, or has waited long, for what is quick.

    With `anew`, crews that a plan put together may be put together otherwise; else each of them stays as it is.
    Among more than `most_with_crews` visits they do in any case, and other work for several people is left out.
    Raises too_many_visits.
    """
    units = list(unit_ids)
    visits = await open_visits(session, units)
    large = len(visits) > most_with_crews
    parts = await joining(session, units, now)
    shifts = await working_times(session, units, now, horizon_ends_at, under_way([*visits, *parts], now))
    seen = _Seen(
        now=now, until=horizon_ends_at, shifts=shifts, held=shifts_held([*visits, *parts], shifts, now),
        backlog=backlog, joined={},
        owners=await owners_of(session, {row.site_id for row in visits}, now),
        needs=await parts_needed(session, {row.work_order_id: row.parts_ready_at for row in visits}, now),
    )  # fmt: skip
    left_out = [left for row in visits if (left := _left_out(row, seen))]
    out = {left.visit_id for left in left_out}
    plannable = [row for row in visits if row.visit_id not in out and not _beyond_planning(row, seen)]
    loose = frozenset(row.visit_id for row in plannable if anew and not large and not seen.settled(row))
    parts = [part for part in parts if part.visit_id not in loose or part.under_way or not part.planned]
    stays = stays_of(parts, now, seen.held)
    seen = replace(seen, joined=Counter(stay.joining.visit_id for stay in stays))
    if large:
        apart = {row.visit_id for row in plannable if seen.crew(row) > 1}
        left_out += [LeftOut(row.visit_id, "crew_in_large_plan") for row in plannable if row.visit_id in apart]
        plannable = [row for row in plannable if row.visit_id not in apart]
    places = {place.id: place for shift in shifts.values() for place in shift.places}
    places |= {stay.place.id: stay.place for stay in stays}
    places |= {str(row.site_id): place_of(row) for row in plannable}
    travel, pace = await learnt_travel(session, unit_ids=units, now=now, until=horizon_ends_at)
    problem = planning.Problem(
        places=tuple(place for _, place in sorted(places.items())),
        shifts=tuple(shift.shift for shift in shifts.values()),
        visits=(*(_visit(row, seen) for row in plannable), *(stay.visit for stay in stays)),
        prices=PRICES,
        travel=travel,
        pace=pace,
        most_changes=most_changes,
        van_stock=await van_stock(session, seen.technicians, map(seen.needed, plannable)),
        away=await away_of(session, seen.technicians, shifts, now),
    )
    standing = await standings_of(session, plannable)
    standing |= {stay.joining.assignment_id: stay.joining.standing() for stay in stays}
    return PlanningTask(now, problem, left_out, standing)


@dataclass(frozen=True)
class _Seen:
    """What is known when the visits are put into the problem.

    `until`: the end of the horizon. `held`: the shift on which somebody comes by an assignment.
    `joined`: how many others come to a visit besides who leads it. `owners`: who looks after a site.
    `needs`: the parts of an order.
    """

    now: datetime
    until: datetime
    shifts: Mapping[str, WorkingTime]
    held: Mapping[UUID, planning.Shift]
    backlog: Backlog
    joined: Mapping[UUID, int]
    owners: Mapping[UUID, UUID]
    needs: Mapping[UUID, Needs]

    @cached_property
    def technicians(self) -> frozenset[str]:
        return frozenset(working.shift.technician for working in self.shifts.values())

    def previous(self, row: Any) -> planning.Previous | None:
        """Return where a visit stands: who is under way without having been given a time is there now."""
        at = row.arrives_at or self.now
        shift = self.held.get(row.assignment_id)
        return None if shift is None else planning.Previous(shift=shift.id, start=second(at, self.now))

    def settled(self, row: Any) -> bool:
        """Whether who comes to a visit is: somebody is on the way, or about to leave."""
        about_to = row.assignment_id in self.held and imminent(row.departs_at or row.arrives_at, self.now)
        return about_to or row.state in UNDER_WAY

    def crew(self, row: Any) -> int:
        """Return how many people the planner is to bring together there, besides those whose stays are given."""
        return 1 if self.settled(row) else max(1, row.technicians - self.joined.get(row.visit_id, 0))

    def preferred(self, row: Any) -> str | None:
        """Return who looks after the site, if they are at work; where they are not, everybody else is as good."""
        owner = str(self.owners.get(row.site_id))
        return owner if owner in self.technicians else None

    def needed(self, row: Any) -> Needs:
        """Return the parts its order waits for."""
        return self.needs.get(row.work_order_id, NO_PARTS)

    def earliest(self, row: Any) -> int:
        """Return the second before which the order lets nobody begin: it waits for a day, or for parts."""
        ready_at = None if self.needed(row).parts else row.parts_ready_at
        return max([0, *(second(at, self.now) for at in (row.earliest_at, ready_at) if at)])


def _left_out(row: Any, seen: _Seen) -> LeftOut | None:
    """Return why the planner is not asked about a visit, or None.

    One that may only begin beyond the horizon is not, unless it stands on a shift that is planned and has to leave it.
    """
    obstacle = _obstacle(row)
    if obstacle is not None:
        return LeftOut(row.visit_id, obstacle)
    if _beyond_planning(row, seen):
        return None
    if row.crew_id is not None and row.person_id is None:
        return LeftOut(row.visit_id, "with_crew")
    if row.assignment_id in seen.held or str(row.shift_id) in seen.shifts:
        return None
    promise = _promise(row, seen.now)
    opens = max(seen.earliest(row), 0 if promise is None else promise.start)
    if opens < second(seen.until, seen.now):
        return None
    words = moment_words(seen.now + timedelta(seconds=opens), row.time_zone, seen.now)
    return LeftOut(row.visit_id, "beyond_horizon", words)


def _obstacle(row: Any) -> str | None:
    if row.lat is None:
        return "no_position"
    return "not_approved" if row.needs_approval and row.approved_at is None else None


def _beyond_planning(row: Any, seen: _Seen) -> bool:
    """Whether nothing is left to decide: a visit is under way outside the shifts, or planned for later."""
    if row.state in UNDER_WAY:
        return row.assignment_id not in seen.held
    planned_at = row.shift_starts_at or row.arrives_at
    return planned_at is not None and planned_at >= seen.until and row.assignment_id not in seen.held


def _visit(row: Any, seen: _Seen) -> planning.Visit:
    """Return an open visit as the planner is given it; one that others join keeps its time, as they come then."""
    now, begun = seen.now, row.state in UNDER_WAY
    work = remaining(row, now)
    due_in = None if begun or row.due_at is None else second(row.due_at, now)
    placed = seen.backlog.placed(PRIORITIES[row.priority], work, due_in, PRICES)
    previous = seen.previous(row)
    frozen = previous is not None and seen.settled(row)
    kept = row.visit_id in seen.joined and previous is not None and not begun
    needs = NO_PARTS if frozen else seen.needed(row)
    return planning.Visit(
        id=str(row.visit_id),
        place=str(row.site_id),
        duration=work,
        priority=placed.priority,
        earliest=max(seen.earliest(row), previous.start if kept and previous is not None else 0),
        commitment_due=due_in,
        commitment_margin=placed.margin,
        delay_per_mille=placed.delay_per_mille,
        promise=None if begun else _promise(row, now),
        told=(kept or row.told_at is not None) and not begun,
        skills=tuple(row.required_skills),
        technicians=seen.crew(row),
        territory=str(row.territory_id) if row.territory_id else None,
        preferred_technician=seen.preferred(row),
        pin=_pin(row, seen.shifts) if (row.pinned or kept) and not frozen else None,
        previous=previous,
        frozen=frozen,
        parts=needs.parts,
        parts_ready=needs.ready(now) if needs.parts else 0,
    )


def _promise(row: Any, now: datetime) -> planning.Window | None:
    if row.window_starts_at is None or row.window_ends_at is None:
        return None
    if row.window_ends_at - row.window_starts_at <= POINT_APPOINTMENT:
        earliest, latest = (row.window_starts_at - early for early in ARRIVE_EARLY)
        return planning.Window(start=second(earliest, now), end=second(latest, now))
    return planning.Window(start=second(row.window_starts_at, now), end=second(row.window_ends_at, now))


def _pin(row: Any, shifts: Mapping[str, WorkingTime]) -> planning.Pin | None:
    """Return the pin of a visit: to its shift, or to the person where the planner would refuse that shift outright."""
    pinned = shifts.get(str(row.shift_id))
    if pinned is not None and set(row.required_skills) <= set(pinned.shift.skills):
        return planning.Pin(shift=pinned.shift.id)
    return planning.Pin(technician=str(row.person_id)) if row.person_id else None
