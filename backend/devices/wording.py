"""What a phone is told of a refusal of ours: the same sentences the office gets, as the result of a mutation."""

import msgspec

from backend.core.errors import INVALID, Problem
from backend.core.findings import BODY, finding
from backend.core.reading import PLACE
from sync.handler import Rejection


def invalid(error: msgspec.ValidationError) -> Problem:
    """Return what is wrong with a value of a phone's as the office is told it, with the field's name."""
    place = PLACE.match(str(error))
    said, field = (place["said"], place["field"] or BODY) if place else (str(error), BODY)
    return Problem(INVALID, finding(field, said))


def rejection_of(problem: Problem, kind: type[Rejection] = Rejection) -> Rejection:
    """Return a refusal as the end of a mutation, of a kind: its code, and its sentences in both languages."""
    told = problem.details()
    zh = "".join(f"{finding.field}:{finding.zh}。" for finding in problem.findings)
    en = "; ".join(f"{finding.field}: {finding.en}" for finding in problem.findings)
    return kind(told.code, f"{told.detail_zh}{zh}{told.todo_zh}", f"{told.detail} {en} {told.todo}")
