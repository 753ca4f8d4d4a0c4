"""The rows of latency, scale and explanations: no peer has these figures, so they stand beside their goals alone."""

import subprocess
import sys
from collections.abc import Iterator
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

import msgspec

from bench.planner.child import planned
from bench.planner.evaluate import evaluate
from bench.planner.guaranteed import Region, region
from bench.planner.measure import FIRST
from bench.planner.options import Options
from bench.planner.ours import answer_of
from bench.planner.runs import ROOT, cores, environment
from bench.table import Figure
from routing.protocol import Limits

MEGABYTE: Final = 1_000_000
MOST_LEFT: Final = 3.0
"""Percent of the visits that may stay without a place."""


class Scale(NamedTuple):
    """How much, by when, with how long a search to be done by then; the most memory, where there is a limit."""

    region: Region
    goal_seconds: float
    search_seconds: float
    goal_megabytes: float | None


SCALES: Final = (
    Scale(Region(visits=2_000, technicians=200, slack=0.05), 40, 36, None),
    Scale(Region(visits=10_000, technicians=1_000, slack=0.05), 90, 80, 1_000),
)


def _measured(name: str, options: Options) -> list[dict[str, Any]]:
    """Return what `bench.planner.measure` says for every seed, each from a process of its own."""
    found: list[dict[str, Any]] = []
    for seed in range(1, options.seeds + 1):
        command = [sys.executable, "-m", "bench.planner.measure", name, str(seed)]
        done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, env=environment(len(cores())))
        found.append(msgspec.json.decode(done.stdout))
        print(f"  {name} {seed}: {done.stdout[:300].decode()}", file=sys.stderr, flush=True)
    return found


def first(options: Options) -> Iterator[Figure]:
    """Yield how fast the first plan of 300 visits is there, in a process that is ready and in one that starts."""
    name = f"first plan, {FIRST.visits} visits, {FIRST.technicians} technicians, {FIRST.days} days"
    warm = _measured("first", options)
    for key, what in (("any", "the first seen"), ("complete", "with every visit")):
        seconds = median(one[key] for one in warm)
        met = seconds < 1 and (key == "any" or not any(one["missing"] for one in warm))
        yield Figure(f"{name}, {what}, s", round(seconds, 3), None, None, "under 1", met)
    limits = Limits(seconds=5)
    cold = [planned(region(FIRST, seed).problem, limits, seed) for seed in range(1, options.seeds + 1)]
    for what, found in (
        ("the first seen", [one.first for one in cold]),
        ("with every visit", [one.seconds if one.complete is None else one.complete for one in cold]),
    ):
        seconds = median(found)
        yield Figure(
            f"{name}, {what}, process started for it, s", round(seconds, 3), None, None, "under 1", seconds < 1
        )


def urgent(options: Options) -> Iterator[Figure]:
    """Yield how fast an urgent visit finds its place in a full plan, and what becomes of the others."""
    found = _measured("urgent", options)
    times = sorted(ms for one in found for ms in one["milliseconds"])
    placed = sum(one["placed"] for one in found)
    p95 = quantiles(times, n=20)[-1]
    name = f"urgent insertion, {len(times)} into full plans of 300"
    yield Figure(f"{name}: p95, ms", round(p95, 1), None, None, "under 100", p95 < 100)  # noqa: PLR2004
    routes, broken = max(one["routes"] for one in found), sum(one["broken"] for one in found)
    yield Figure(f"{name}: most routes changed ({placed} placed)", routes, None, None, "1", routes == 1)
    yield Figure(f"{name}: commitments of others broken", broken, None, None, "0", broken == 0)


def repair(options: Options) -> Iterator[Figure]:
    """Yield how a day with a technician ill and ten urgent visits is repaired within a budget of changes."""
    repairs = [one for run in _measured("repair", options) for one in run["repairs"]]
    slowest = max(one["seconds"] for one in repairs)
    yield Figure(
        f"repair, {len(repairs)} times: the slowest, s", round(slowest, 3), None, None, "at most 1", slowest <= 1
    )
    beyond = sum(one["changes"] > one["budget"] for one in repairs)
    yield Figure("repair: beyond the budget of changes", beyond, None, None, "never", beyond == 0)
    illegal = sum(not one["legal"] for one in repairs)
    yield Figure("repair: plans the judge refuses", illegal, None, None, "never", illegal == 0)
    for budget in sorted({one["budget"] for one in repairs}):
        of = [one for one in repairs if one["budget"] == budget]
        left, waiting = median(one["unplanned"] for one in of), median(one["waiting"] for one in of)
        row = f"repair, at most {budget} changes: unplanned after, of those without a place before"
        yield Figure(row, left, waiting, round(left / waiting, 3) if waiting else None, "fewer", left < waiting)


def scale(options: Options) -> Iterator[Figure]:
    """Yield time, memory and visits unplanned of large regions, in the process the server would start."""
    for size in SCALES:
        name = f"scale, {size.region.visits} visits, {size.region.technicians} technicians"
        if not options.wants(name):
            continue
        seconds, unplanned, late, bytes_used, illegal = list[float](), list[float](), list[float](), list[int](), 0
        for seed in range(1, options.seeds + 1):
            problem = region(size.region, seed).problem
            limits = Limits(seconds=size.search_seconds * options.seconds_scale)
            done = planned(problem, limits, seed)
            verdict = evaluate(problem, answer_of(done.plan, done.seconds))
            illegal += bool(verdict.faults)
            seconds.append(done.seconds)
            unplanned.append(100 * (1 - verdict.served / size.region.visits))
            late.append(100 * verdict.late / size.region.visits)
            bytes_used.append(done.peak_bytes)
            megabytes = done.peak_bytes / MEGABYTE
            told = (
                f"first {done.first:.1f} s, {unplanned[-1]:.2f} % unplanned, {late[-1]:.2f} % late, {megabytes:.0f} MB"
            )
            print(f"  {name} {seed}: {done.seconds:.1f} s, {told}", file=sys.stderr, flush=True)
            if verdict.faults:
                print(f"FAULT: {len(verdict.faults)}, such as {verdict.faults[:3]}", file=sys.stderr)
        took, left, used = median(seconds), median(unplanned), max(bytes_used) / MEGABYTE
        goal = size.goal_seconds
        yield Figure(f"{name}: s from start to plan", round(took, 1), None, None, f"at most {goal:g}", took <= goal)
        yield Figure(
            f"{name}: unplanned, %", round(left, 2), None, None, "at most 3", left <= MOST_LEFT and not illegal
        )
        both = left + median(late)
        row = f"{name}: unplanned or late, % (a plan with neither exists)"
        yield Figure(row, round(both, 2), None, None, "at most 3", both <= MOST_LEFT and not illegal)
        if size.goal_megabytes is not None:
            met = used < size.goal_megabytes
            yield Figure(f"{name}: memory, MB", round(used), None, None, f"under {size.goal_megabytes:g}", met)


def explain(options: Options) -> Iterator[Figure]:
    """Yield whether every visit without a place says why."""
    found = _measured("explain", options)
    unplanned = sum(one["unplanned"] for one in found)
    explained, proven = sum(one["explained"] for one in found), sum(one["proven"] for one in found)
    row = f"explanation, {unplanned} unplanned visits: with a reason marked proven or searched ({proven} proven)"
    yield Figure(row, explained, None, None, "all", explained == unplanned > 0)
    asked, offered = sum(one["asked"] for one in found), sum(one["offered"] for one in found)
    legal, unfixed = sum(one["legal"] for one in found), sum(one["unfixed"] for one in found)
    row = f"explanation, {offered} fixes of {asked} visits without a place: witness plans the referee passes"
    yield Figure(row, legal, None, None, "all", legal == offered > 0)
    row = f"explanation, {asked} visits without a place: no fix found, %"
    yield Figure(row, round(100 * unfixed / max(1, asked), 1), None, None, "printed", True)
