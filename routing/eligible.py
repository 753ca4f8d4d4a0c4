"""Who may take a visit at all, whatever the time."""

from collections.abc import Hashable
from typing import Literal, TypeAlias

from routing.problem import Shift, Visit

Exclusion: TypeAlias = Literal["no_skill", "not_allowed", "pinned_away"]


def exclusion(visit: Visit, shift: Shift) -> Exclusion | None:
    """Return the first rule that keeps `visit` off `shift` whatever the time, or None when the shift may take it."""
    if visit.frozen:
        return None if visit.previous is not None and visit.previous.shift == shift.id else "pinned_away"
    if not set(visit.skills) <= set(shift.skills):
        return "no_skill"
    allowed = visit.allowed_technicians is None or shift.technician in visit.allowed_technicians
    if not allowed or shift.technician in visit.forbidden_technicians:
        return "not_allowed"
    pin = visit.pin
    if pin is not None and (pin.shift not in {None, shift.id} or pin.technician not in {None, shift.technician}):
        return "pinned_away"
    return None


def rules_about_people(visit: Visit) -> Hashable:
    """Return all that `exclusion` looks at: visits alike in it are kept off the same shifts, by the same rules."""
    frozen = visit.previous if visit.frozen else None
    return visit.skills, visit.allowed_technicians, visit.forbidden_technicians, visit.pin, visit.frozen, frozen
