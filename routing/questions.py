"""What can be asked about a plan: the questions a desk answers (`routing.desk`), each with the type of its answer."""

from typing import Any, Generic, TypeVar, get_args

import msgspec

from routing.answers import Fixes, InForce, Placement, Proposal, WhatIf, Why
from routing.check import Violation

A = TypeVar("A")


class Question(msgspec.Struct, Generic[A], frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="ask"):
    """Something to be answered about a sheet, by an `A`."""


def answer_type(kind: type[Question[Any]]) -> Any:
    """Return the type of the answer to a kind of question: what its class has in brackets."""
    (base,) = vars(kind)["__orig_bases__"]
    return get_args(base)[0]


class Propose(Question[tuple[Proposal, ...]], frozen=True, kw_only=True, tag="propose"):
    """Where an unplanned visit could go, cheapest first (`routing.insertion.propose`)."""

    visit: str
    limit: int = 5


class Judge(Question[list[Violation]], frozen=True, kw_only=True, tag="judge"):
    """What is wrong with the plan (`routing.check.violations`): the referee, in another process than the planner's."""


class Follow(Question[InForce], frozen=True, kw_only=True, tag="follow"):
    """What is published, from now on (`routing.in_force.in_force`); or what these `orders` of visits would be."""

    orders: dict[str, list[str]] | None = None


class Offer(Question[tuple[Proposal, ...]], frozen=True, kw_only=True, tag="offer"):
    """The best place of each shift for a visit in the plan in force (`routing.live.proposals`)."""

    visit: str
    limit: int = 5


class TryMove(Question[WhatIf], frozen=True, kw_only=True, tag="try"):
    """What a move in the plan in force comes to (`routing.live.what_if`)."""

    placement: Placement


class FindFixes(Question[Fixes], frozen=True, kw_only=True, tag="fixes"):
    """What could give way for a visit without a place, or late, in the plan in force (`routing.fixes.fixes`)."""

    visit: str
    seconds: float
    past_quarter: int


class AskWhy(Question[Why], frozen=True, kw_only=True, tag="why"):
    """Why this technician has a visit in the plan in force, and nobody else (`routing.why.why`)."""

    visit: str


class PlanFixes(Question[Fixes], frozen=True, kw_only=True, tag="plan_fixes"):
    """What could give way for a visit without a place, or late, in the sheet's own plan."""

    visit: str
    seconds: float
    past_quarter: int


class PlanWhy(Question[Why], frozen=True, kw_only=True, tag="plan_why"):
    """Why this technician has a visit in the sheet's own plan."""

    visit: str
