"""`make bench-explain`: fixes for visits without a place, judged; and every reason called proven, against brute force.

.venv/bin/python -m bench.planner.explain_rows --visits 500 --small 400
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations
from random import Random
from statistics import median, quantiles
from typing import Any, Final

import msgspec

from bench.planner.evaluate import evaluate
from bench.planner.guaranteed import DAY, HOUR, SKILLS, Region, region
from bench.planner.ours import answer_of, warm
from bench.table import Figure, report
from routing.answers import Fix
from routing.assemble import assembled
from routing.check import violations
from routing.draft import Draft, empty_draft, simulate_route
from routing.explain import Explainer
from routing.fixes import fixes
from routing.instance import prepare
from routing.plan import Plan, Reason, Unplanned
from routing.problem import GivenTravel, PartNeed, Pin, Place, Previous, Problem, Shift, VanStock, Visit, Window
from routing.redraft import draft_of
from routing.relax import relaxed
from routing.solve import solve
from routing.stop import StopWhen

FULL: Final = Region(visits=150, technicians=10, days=3, slack=0.04, overtime=1_800, spare=300)
"""Full plans: every shift has hardly any time left."""
SEARCH_SECONDS: Final = 3.0
ASKED_EACH: Final = 60
"""Visits asked about for one plan."""
TOLD: Final = 0.7
MOST_SECONDS: Final = 0.6
GRID: Final = 300


@dataclass
class Tally:
    """What was seen of the visits without a place."""

    asked: int = 0
    no_need: int = 0
    unplannable: int = 0
    without_fix: int = 0
    offered: int = 0
    illegal: int = 0
    broken: int = 0
    cut_short: int = 0
    seconds: list[float] = field(default_factory=list[float])
    reasons: Counter[str] = field(default_factory=Counter[str])
    bases: Counter[str] = field(default_factory=Counter[str])
    kinds: Counter[str] = field(default_factory=Counter[str])
    unfixed: Counter[str] = field(default_factory=Counter[str])


def in_force(problem: Problem, plan: Plan, random: Random) -> tuple[Problem, Plan]:
    """Return the problem in which `plan` is in force and most customers were told their times; nothing may change."""
    where = {stop.visit: Previous(shift=route.shift, start=stop.start) for route in plan.routes for stop in route.stops}
    visits = tuple(
        msgspec.structs.replace(visit, previous=where.get(visit.id), told=random.random() < TOLD)
        for visit in problem.visits
    )
    shifts = tuple(msgspec.structs.replace(shift, capacity=random.choice((None, 4, 8))) for shift in problem.shifts)
    stock = tuple(
        VanStock(technician=shift.technician, part="fan", quantity=1) for shift in problem.shifts[: len(shifts) // 6]
    )
    most = random.choice((None, 0, 2))
    held = msgspec.structs.replace(problem, visits=visits, shifts=shifts, van_stock=stock, most_changes=most)
    return held, msgspec.structs.replace(plan, cost=assembled(draft_of(held, plan))[1])


def unplannable(random: Random, problem: Problem, number: int) -> tuple[str, Visit]:
    """Return a visit that will hardly find a place, and the cause that was built into it."""
    shift = random.choice(problem.shifts)
    begin = shift.start + random.randrange(0, 7 * HOUR)
    causes: dict[str, dict[str, Any]] = {
        "long": {"duration": random.randrange(3, 8) * HOUR},
        "skill": {"skills": ("crane",)},
        "two skills": {"skills": SKILLS},
        "window": {"windows": (Window(start=begin, end=begin + 900),)},
        "night": {"windows": (Window(start=shift.end + 2 * HOUR, end=shift.end + 4 * HOUR),)},
        "pin": {"pin": Pin(shift=shift.id), "skills": shift.skills[:1]},
        "pinned time": {"pin": Pin(shift=shift.id, start=begin), "skills": shift.skills[:1], "duration": 1_800},
        "person": {"allowed_technicians": (shift.technician,)},
        "nobody": {"allowed_technicians": ()},
        "parts": {"parts": (PartNeed(part="pump"),), "parts_ready": None},
        "late parts": {"parts": (PartNeed(part="fan", quantity=2),), "parts_ready": 4 * DAY},
        "van": {"load": 20},
        "promise": {"promise": Window(start=3 * DAY + 20 * HOUR, end=3 * DAY + 21 * HOUR)},
        "earliest": {"earliest": 4 * DAY},
        "skill and window": {"skills": ("crane",), "windows": (Window(start=begin, end=begin + 600),)},
        "three at once": {
            "skills": ("crane",), "windows": (Window(start=5 * DAY, end=5 * DAY),), "parts": (PartNeed(part="pump"),),
            "parts_ready": None, "duration": 20 * HOUR,
        },
    }  # fmt: skip
    cause = random.choice(sorted(causes))
    values: dict[str, Any] = {
        "id": f"asked{number}", "place": f"spare{number % FULL.spare}", "duration": random.randrange(40, 150) * 60,
        "priority": random.choice((1, 2, 3)), "skills": (random.choice(SKILLS),),
        "commitment_due": random.randrange(DAY, 4 * DAY),
    }  # fmt: skip
    return cause, Visit(**values | causes[cause])


def plans(visits: int) -> Iterator[tuple[Random, Problem, Plan]]:
    """Yield full plans, half of them in force with customers told, until enough visits can be asked about."""
    for seed in range(1, visits // 10 + 2):
        random = Random(seed)
        problem = region(FULL, seed).problem
        plan = solve(problem, StopWhen(seconds=SEARCH_SECONDS), seed)
        yield random, problem, plan
        yield random, *in_force(problem, plan, random)


def ask(tally: Tally, random: Random, problem: Problem, plan: Plan) -> None:
    """Ask about one visit without a place in a plan, and judge what is offered."""
    cause, visit = unplannable(random, problem, tally.asked)
    asked = msgspec.structs.replace(problem, visits=(*problem.visits, visit))
    base, draft, reason = _without(asked, plan, visit)
    began = time.perf_counter()
    found = fixes(asked, base, visit.id, draft=draft)
    seconds = time.perf_counter() - began
    tally.asked += 1
    if found.outcome in {"no_need", "misses_commitment", "misses_promise"}:
        tally.no_need += 1
        tally.illegal += any(violations(relaxed(asked, fix.relaxations), _plan(fix)) != [] for fix in found.fixes)
        return
    tally.unplannable += 1
    tally.seconds.append(seconds)
    tally.cut_short += not found.exhausted
    tally.reasons[reason.code] += 1
    tally.bases[reason.basis] += 1
    tally.without_fix += not found.fixes
    tally.unfixed[cause] += not found.fixes
    for fix in found.fixes:
        tally.offered += 1
        tally.kinds["+".join(sorted(one.kind for one in fix.relaxations))] += 1
        loose = relaxed(asked, fix.relaxations)
        tally.illegal += bool(violations(loose, _plan(fix)))
        tally.illegal += bool(evaluate(loose, answer_of(_plan(fix), 0)).faults) and problem.most_changes is None
        tally.broken += others_broken(asked, base, _plan(fix), visit.id)


def _plan(fix: Fix) -> Plan:
    assert fix.witness is not None, "the planner's own answer carries its witness"  # noqa: S101
    return fix.witness


def _without(asked: Problem, plan: Plan, visit: Visit) -> tuple[Plan, Draft, Reason]:
    """Return `plan` with the visit left out and explained, and the draft equal to it."""
    left_out = Unplanned(visit=visit.id, reasons=(Reason(code="no_room", basis="searched", facts={}),))
    draft = draft_of(asked, msgspec.structs.replace(plan, unplanned=(*plan.unplanned, left_out)))
    why = Explainer(empty_draft(draft.instance), draft)
    unplanned = why.unplanned()
    base = msgspec.structs.replace(plan, unplanned=unplanned, late=why.late(), cost=assembled(draft)[1])
    return base, draft, next(one for one in unplanned if one.visit == visit.id).reasons[0]


def others_broken(problem: Problem, before: Plan, after: Plan, visit: str) -> int:
    """Return how many other visits lost their place, their commitment or their promise; counted from the plans."""
    old, new = ({stop.visit: stop.start for route in plan.routes for stop in route.stops} for plan in (before, after))
    lost = 0
    for one in problem.visits:
        if one.id == visit or one.id not in old:
            continue
        limits = [one.commitment_due, one.promise.end if one.promise else None]
        kept = one.id in new and not any(end is not None and old[one.id] <= end < new[one.id] for end in limits)
        lost += not kept
    return lost


# --- proven, against brute force ----------------------------------------------------------------------------------


def small(seed: int) -> Problem:
    """Return a small random problem with everything a proven reason speaks of."""
    random = Random(seed)
    places = tuple(Place(id=f"place{number}") for number in range(4))
    table = tuple(tuple(0 if a == b else random.randrange(0, HOUR) for b in range(4)) for a in range(4))
    shifts = tuple(
        Shift(
            id=f"shift{number}", technician=("li-wei", "zhou-tao", "wu-gang")[number],
            start=(start := random.randrange(0, 12) * 1_800), end=start + random.randrange(2, 12) * 1_800,
            start_place=random.choice(places).id, end_place=random.choice(places).id,
            skills=random.choice(((), ("lift",), ("lift", "door"))), capacity=random.choice((None, 1, 2)),
            overtime_allowed=random.choice((0, 1_800)),
        )
        for number in range(random.randrange(1, 4))
    )  # fmt: skip
    visits = tuple(_small_visit(random, f"visit{number}", places) for number in range(random.randrange(1, 4)))
    visits += (
        msgspec.structs.replace(_small_visit(random, "crew", places), technicians=random.choice((2, 3)), parts=()),
    )
    stock = tuple(VanStock(technician=shift.technician, part="pump", quantity=random.randrange(3)) for shift in shifts)
    return Problem(
        places=places, shifts=shifts, visits=visits, van_stock=stock,
        travel=GivenTravel(seconds=table, metres=table, source="random"),
    )  # fmt: skip


def _small_visit(random: Random, name: str, places: Sequence[Place]) -> Visit:
    begin = random.randrange(0, 20) * 1_800
    window = (Window(start=begin, end=begin + random.randrange(3) * 1_800),)
    return Visit(
        id=name, place=random.choice(places).id, duration=random.randrange(1, 8) * 1_800,
        windows=random.choice(((), window)), skills=random.choice(((), ("lift",), ("door",))),
        load=random.choice((0, 1, 2, 3)), parts=random.choice(((), (PartNeed(part="pump", quantity=2),))),
        parts_ready=random.choice((0, None, begin)), commitment_due=random.choice((None, begin)),
        allowed_technicians=random.choice((None, None, ("wu-gang",))),
    )  # fmt: skip


def starts_of(problem: Problem, visit: int, shift: int) -> Iterator[int]:
    """Yield a start of the visit on the shift for every order of every set of visits that can be driven there."""
    instance = prepare(problem)
    able = [one for one in range(len(problem.visits)) if shift in instance.eligible[one]]
    for count in range(1, len(able) + 1):
        for order in permutations(able, count):
            route = simulate_route(instance, shift, order) if visit in order else None
            if route is not None:
                yield route.starts()[order.index(visit)]


def refuted(problem: Problem, visit: int) -> bool:
    """Return whether brute force finds the visit served after all; a crew's members one by one, at a common time."""
    wanted, shifts = problem.visits[visit], range(len(problem.shifts))
    if wanted.technicians == 1:
        return any(True for shift in shifts for _ in starts_of(problem, visit, shift))
    last = max((shift.end + shift.overtime_allowed for shift in problem.shifts), default=0)
    earliest = [start for shift in shifts for start in starts_of(problem, visit, shift)]
    for start in sorted({*earliest, *range(0, last, GRID)}):
        windows = wanted.windows or (Window(start=0, end=last),)
        if not any(window.start <= start <= window.end for window in windows):
            continue
        alone = msgspec.structs.replace(wanted, windows=(Window(start=start, end=start),))
        single = msgspec.structs.replace(problem, visits=(alone,))
        able = {problem.shifts[shift].technician for shift in shifts if any(True for _ in starts_of(single, 0, shift))}
        if len(able) >= wanted.technicians:
            return True
    return False


def cross_checked(count: int) -> tuple[int, int, Counter[str]]:
    """Return how many reasons called proven were looked at, how many brute force refutes, and their codes."""
    checked, wrong, codes = 0, 0, Counter[str]()
    for seed in range(count):
        problem = small(seed)
        base = empty_draft(prepare(problem))
        index = {visit.id: number for number, visit in enumerate(problem.visits)}
        for one in Explainer(base, base).unplanned():
            if one.reasons[0].basis == "proven":
                checked += 1
                codes[one.reasons[0].code] += 1
                wrong += refuted(problem, index[one.visit])
    return checked, wrong, codes


# --- the table ----------------------------------------------------------------------------------------------------


def measured(visits: int) -> Tally:
    """Return what is seen of so many visits without a place."""
    tally = Tally()
    for random, problem, plan in plans(visits):
        for _ in range(ASKED_EACH):
            if tally.unplannable == visits:
                return tally
            ask(tally, random, problem, plan)
        print(f"  {tally.unplannable} of {visits}", file=sys.stderr, flush=True)
    return tally


def figures(tally: Tally, checked: int, wrong: int) -> Iterator[Figure]:
    """Yield the rows."""
    name = f"explanation, {tally.unplannable} unplannable visits in full plans of {FULL.visits}"
    legal = tally.offered - tally.illegal
    yield Figure(f"{name}: witness plans the referee passes, of {tally.offered} fixes", legal, None, None, "all",
                 not tally.illegal and tally.offered > 0)  # fmt: skip
    yield Figure(f"{name}: commitments and places of others broken", tally.broken, None, None, "0", not tally.broken)
    share = round(100 * tally.without_fix / max(1, tally.unplannable), 1)
    yield Figure(f"{name}: no fix found, %", share, None, None, "printed", True)
    p95 = quantiles(tally.seconds, n=20)[-1]
    yield Figure(f"{name}: p50, s", round(median(tally.seconds), 3), None, None, "printed", True)
    yield Figure(f"{name}: p95, s", round(p95, 3), None, None, f"under {MOST_SECONDS:g}", p95 < MOST_SECONDS)
    every = sum(tally.bases.values())
    yield Figure(f"{name}: with a reason ({tally.bases['proven']} proven, {tally.bases['searched']} searched)", every,
                 None, None, "all", every == tally.unplannable)  # fmt: skip
    yield Figure(f"reasons called proven in small random problems: refuted by brute force, of {checked}", wrong, None,
                 None, "0", not wrong and checked > 0)  # fmt: skip


def main() -> None:
    """Measure, print the table, and one line of figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--visits", type=int, default=500)
    parser.add_argument("--small", type=int, default=400)
    asked = parser.parse_args()
    warm()
    tally = measured(asked.visits)
    checked, wrong, codes = cross_checked(asked.small)
    rows = list(figures(tally, checked, wrong))
    report("bench-explain", rows)
    for title, counted in (
        ("reasons", tally.reasons),
        ("fixes offered", tally.kinds),
        ("no fix found, by the cause built in", tally.unfixed),
        ("proven and checked", codes),
    ):
        print(f"{title}: " + ", ".join(f"{key} {number}" for key, number in counted.most_common() if number))
    print(
        f"unplannable={tally.unplannable} asked={tally.asked} no_need={tally.no_need} fixes={tally.offered}"
        f" witnesses_illegal={tally.illegal} others_broken={tally.broken}"
        f" no_fix_share={tally.without_fix / max(1, tally.unplannable):.3f} cut_short={tally.cut_short}"
        f" proven={tally.bases['proven']} searched={tally.bases['searched']}"
        f" p50_s={median(tally.seconds):.3f} p95_s={quantiles(tally.seconds, n=20)[-1]:.3f}"
        f" proven_checked={checked} proven_refuted={wrong}"
    )
    raise SystemExit(0 if all(row.met for row in rows) else 1)


if __name__ == "__main__":
    main()
