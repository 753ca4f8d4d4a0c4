"""Cutting a failing history down to what it needs, by leaving out steps as long as the same promise breaks."""

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from bench.sim.steps import Step, Trip

SECONDS: Final = 60.0
"""How long a history is cut down."""

Fails = Callable[[Sequence[Step]], Awaitable[bool]]
"""Whether a history still breaks the promise."""


async def shrunk(steps: Sequence[Step], fails: Fails, seconds: float = SECONDS) -> list[Step]:
    """Return a history that still fails and of which, unless time ran out, no step can be left out."""
    until = time.monotonic() + seconds
    left, part = list(steps), max(1, len(steps) // 2)
    while part:
        at, shorter = 0, False
        while at < len(left) and time.monotonic() < until:
            tried = left[:at] + left[at + part :]
            if await fails(tried):
                left, shorter = tried, True
            else:
                at += part
        part = part if shorter and part == 1 and time.monotonic() < until else part // 2
    return await _simpler(left, fails, until)


async def _simpler(steps: list[Step], fails: Fails, until: float) -> list[Step]:
    """Let requests simply arrive, as far as that keeps the failure."""
    for at, step in enumerate(steps):
        trip = next((arg for arg in step.args if isinstance(arg, Trip)), None)
        for simpler in () if trip is None else _simpler_trips(trip):
            args = tuple(simpler if isinstance(arg, Trip) else arg for arg in step.args)
            tried = [*steps[:at], Step(step.name, *args), *steps[at + 1 :]]
            if time.monotonic() < until and await fails(tried):
                steps = tried
                break
    return steps


def _simpler_trips(trip: Trip) -> list[Trip]:
    simpler = [
        Trip(),
        Trip(fault=trip.fault),
        msgspec.structs.replace(trip, meanwhile=None, paused_at=0),
        msgspec.structs.replace(trip, killed_at=0),
        msgspec.structs.replace(trip, server=0),
    ]
    return [one for one in simpler if one != trip]


def as_python(steps: Sequence[Step]) -> str:
    """Return the history as Python, to be pasted into a test."""
    lines = "".join(f"    {step!r},\n" for step in steps)
    return f"HISTORY = [\n{lines}]\n"
