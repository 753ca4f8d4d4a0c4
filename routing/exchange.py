"""Exchanges between a few routes that make room for a visit: each gives away one of its visits, takes one, or both."""

import time
from collections.abc import Container, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from routing.draft import Draft, DraftRoute, simulate_route
from routing.ortools.exact import Column, smallest_relaxation
from routing.relax import Lever
from routing.scan import candidates

ABLE: Final = 3
OTHERS: Final = 2
"""Routes looked at together: the nearest to the visit that may take it, and the nearest of all others."""
CHOICES: Final = 4
"""Best choices handed over, one after the other, until one keeps what others were promised."""
MOST_RULES: Final = 2
OF_SHIFTS: Final = frozenset({"overtime", "shift_earlier", "van"})
"""Levers that make room for any visit, not only for the one that has none."""

Opened: TypeAlias = "tuple[Lever | None, Draft]"
Needed: TypeAlias = "list[tuple[Lever, Draft, int]]"
"""The levers that an exchange needs: each with its opened draft and the shift it gives way on."""


class _Made(NamedTuple):
    column: Column
    lever: Lever | None
    draft: Draft


def exchanges(
    opened: Sequence[Opened], visit: int, until: float, held: Container[int] = ()
) -> Iterator[tuple[dict[int, list[int]], Needed]]:
    """Yield the routes of some shifts, by shift, with `visit` in one of them, and the levers they need; best first.

    `opened` begins with the draft as it is, which has `visit` in no route; the others have one lever open each. The
    fewest levers, then the lowest price. Visits that are `held` stay where they are. Prices and rules are exact; what
    others were promised is for the caller.
    """
    shifts, draft = _nearest(opened, visit), opened[0][1]
    planned = [one for shift in shifts for one in draft.routes[shift].visits]
    movable = [one for one in planned if one not in held and not draft.instance.visits[one].frozen]
    made = list(_made(opened, shifts, visit, movable, until))
    for _ in range(CHOICES):
        left = until - time.monotonic()
        if left <= 0 or not made:
            return
        chosen = smallest_relaxation(
            [one.column for one in made], [visit, *sorted(movable)], most_rules=MOST_RULES, seconds=left
        )
        if chosen is None:
            return
        picked = [next(one for one in made if one.column is column) for column in chosen]
        orders = {one.column.shift: list(one.column.visits) for one in picked}
        yield orders, [(one.lever, one.draft, one.column.shift) for one in picked if one.lever is not None]
        holder = next(one for one in picked if visit in one.column.visits)
        made.remove(holder)


def _nearest(opened: Sequence[Opened], visit: int) -> list[int]:
    draft = opened[0][1]
    instance = draft.instance
    here = instance.visits[visit].place
    able = {shift for _, one in opened for shift in one.instance.eligible[visit]}

    def distance(shift: int) -> tuple[bool, int, int]:
        places = [instance.shifts[shift].start_place, *(instance.visits[v].place for v in draft.routes[shift].visits)]
        return shift not in instance.eligible[visit], min(instance.seconds[place][here] for place in places), shift

    chosen = sorted(able, key=distance)[:ABLE]
    rest = sorted(set(range(len(draft.routes))) - set(chosen), key=lambda shift: distance(shift)[1:])
    return sorted([*chosen, *rest[:OTHERS]])


def _made(
    opened: Sequence[Opened], shifts: Sequence[int], visit: int, movable: Sequence[int], until: float
) -> Iterator[_Made]:
    """Yield the columns: each route as it is, without one of its visits, with one more, or both."""
    for lever, original in opened:
        draft = original.copy()
        for shift in shifts:
            before = draft.routes[shift]
            for rest in _rests(draft, shift, movable):
                if time.monotonic() > until:
                    return
                if lever is None:
                    yield _Made(Column(shift, tuple(rest.visits), rest.price), None, original)
                draft.replace(shift, rest)
                wanted = [visit, *movable] if lever is None or lever.kind in OF_SHIFTS else [visit]
                for column in _grown(draft, shift, rest, [one for one in wanted if one not in before.visits]):
                    needs = frozenset[str]() if lever is None else frozenset({f"{lever.kind} {shift}"})
                    yield _Made(column._replace(needs=needs), lever, original)
            draft.replace(shift, before)


def _rests(draft: Draft, shift: int, movable: Sequence[int]) -> Iterator[DraftRoute]:
    before = draft.routes[shift]
    yield before
    for out in before.visits:
        if out in movable:
            rest = simulate_route(draft.instance, shift, [one for one in before.visits if one != out])
            if rest is not None:
                yield rest


def _grown(draft: Draft, shift: int, rest: DraftRoute, incoming: Sequence[int]) -> Iterator[Column]:
    for one in incoming:
        if shift in draft.instance.eligible[one]:
            for added, _, position in candidates(draft, one, [shift])[:1]:
                order = (*rest.visits[:position], one, *rest.visits[position:])
                yield Column(shift, order, rest.price + added)
