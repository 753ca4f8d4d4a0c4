"""What somebody may import over the network: records of their own units' Cases, not people, prices or contracts."""

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from backend.imports.known import Columns, View

UNIT_BEHIND: Final[Mapping[str, tuple[str, str]]] = {
    "asset": ("site_id", "site"),
    "asset_placement": ("site_id", "site"),
    "contact": ("customer_id", "customer"),
    "contact_point": ("contact_id", "contact"),
    "position": ("site_id", "site"),
    "site_contact": ("site_id", "site"),
}
"""Entity, and the record whose unit is its own."""
SCOPED: Final = frozenset({"customer", "service_request", "site", *UNIT_BEHIND})
"""What may be imported over the network; the rest is for the command, which is the operator's."""


def unit_of(entity: str, columns: Columns, view: View) -> UUID | None:
    """Return the organisation unit a record belongs to; None where that is not known."""
    while "unit_id" not in columns:
        if entity not in UNIT_BEHIND:
            return None
        column, entity = UNIT_BEHIND[entity]
        columns = view.row(entity, columns[column]) if columns.get(column) else {}
        if not columns:
            return None
    return columns["unit_id"]


def outside(units: frozenset[UUID] | None, entity: str, columns: Columns, view: View) -> bool:
    """Whether a record belongs to none of these units; without units, as for the command, everything is inside."""
    if units is None:
        return False
    return entity not in SCOPED or unit_of(entity, columns, view) not in units
