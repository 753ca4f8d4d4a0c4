# pyright: basic
"""Exact small questions, by CP-SAT: which of a few routes' variants together, with the fewest rules given way."""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

RULE_WEIGHT: Final = 1 << 40
"""More than any price: first the fewest rules, then the lowest price."""


class Column(NamedTuple):
    """One way a shift's route could be: its visits in order, its price, and the rules that must give way for it."""

    shift: int
    visits: tuple[int, ...]
    price: int
    needs: frozenset[str] = frozenset()


def solver() -> Any:
    """Return the module of CP-SAT, loaded when it is first needed: it brings pandas, which takes half a second."""
    from ortools.sat.python import cp_model  # noqa: PLC0415

    return cp_model


def smallest_relaxation(
    columns: Sequence[Column], visits: Iterable[int], *, most_rules: int, seconds: float
) -> list[Column] | None:
    """Return one column a shift that together have each of `visits` once, with the fewest rules, then cheapest.

    None when no choice of the columns does so with at most `most_rules` rules, or none was found within `seconds`. The
    same columns give the same answer unless time runs out.
    """
    cp_model = solver()
    model = cp_model.CpModel()
    chosen = [model.new_bool_var(f"column{index}") for index in range(len(columns))]
    rules = {name: model.new_bool_var(name) for name in sorted({need for one in columns for need in one.needs})}
    for shift in sorted({one.shift for one in columns}):
        model.add_exactly_one(var for var, one in zip(chosen, columns, strict=True) if one.shift == shift)
    for visit in visits:
        model.add_exactly_one(var for var, one in zip(chosen, columns, strict=True) if visit in one.visits)
    for var, one in zip(chosen, columns, strict=True):
        for need in one.needs:
            model.add_implication(var, rules[need])
    model.add(sum(rules.values()) <= most_rules)
    model.minimize(
        RULE_WEIGHT * sum(rules.values()) + sum(one.price * var for var, one in zip(chosen, columns, strict=True))
    )
    search = cp_model.CpSolver()
    search.parameters.num_workers = 1
    search.parameters.max_time_in_seconds = max(0.001, seconds)
    if search.solve(model) not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        return None
    return [one for var, one in zip(chosen, columns, strict=True) if search.value(var)]
