"""Which rule each table's fields follow when phones change them. Tables not named here belong to the server."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sync.store import Fields


class Rule(StrEnum):
    """What a phone may do to rows of a table by `edit`, `add` and `remove`."""

    MERGE = "merge"
    """Each field, or group of fields, is merged three ways; edits that clash become conflicts for a person."""
    SERVER = "server"
    """The server decides (plans, prices, templates); an attempt is rejected with the reason."""
    APPEND = "append"
    """Notes, readings, part uses: added by their own commands, never changed."""
    SEALED = "sealed"
    """Forms and signatures: immutable; a correction is a new one that supersedes."""


@dataclass(frozen=True)
class EntityPolicy:
    """One table. `groups` name the fields a phone may edit; the fields of one group change together or not at all.

    `parent` is the table a new row belongs to, through `parent_column`: whoever may edit that may add this. Without a
    parent, phones add no rows. `born_with` are fields a phone gives to a row it adds, and nobody changes later.
    """

    rule: Rule
    groups: Mapping[str, tuple[str, ...]]
    parent: str = ""
    parent_column: str = ""
    removable: bool = False
    born_with: tuple[str, ...] = ()

    def editable(self) -> Iterator[str]:
        """Every field a phone may edit."""
        return (name for members in self.groups.values() for name in members)

    def editable_part(self, fields: Fields) -> dict[str, object]:
        """Return the fields a phone may edit, as they are in a row."""
        return {name: fields[name] for name in self.editable() if name in fields}


SERVER: Final = EntityPolicy(Rule.SERVER, {})
APPEND: Final = EntityPolicy(Rule.APPEND, {})
SEALED: Final = EntityPolicy(Rule.SEALED, {})
SUCCESSOR: Final = "merged_into_id"
"""The column that leads from a record merged into another to that other; pending edits follow it."""


def merged(
    *names: str,
    parent: tuple[str, str] = ("", ""),
    removable: bool = False,
    born_with: tuple[str, ...] = (),
    **groups: tuple[str, ...],
) -> EntityPolicy:
    """Describe a table whose fields are merged: `names` each for itself, `groups` together."""
    return EntityPolicy(Rule.MERGE, {**{name: (name,) for name in names}, **groups}, *parent, removable, born_with)


@dataclass(frozen=True)
class Policy:
    """The rules of every table."""

    entities: Mapping[str, EntityPolicy]

    def of(self, entity: str) -> EntityPolicy:
        """Return a table's rules."""
        return self.entities.get(entity, SERVER)


POLICY: Final = Policy(
    {
        "site": merged(
            "name", "access_notes", "acceptance_on",
            place=("address", "lat", "lon", "position_source", "position_confidence"),
        ),
        "position": merged("name", "description", "parent_id", parent=("site", "site_id"), removable=True),
        "asset": merged(
            "name", "serial", "quantity", "software_version", "protocol", "connection", "purchased_on", "note",
            model=("asset_type", "asset_model_id"), parent=("site", "site_id"), removable=True,
        ),
        "site_contact": merged("primary", parent=("site", "site_id"), removable=True, born_with=("contact_id",)),
        "contact": merged("name", "title", "function", "language", parent=("customer", "customer_id")),
        "contact_point": merged(
            address=("kind", "address"), consent=("consent", "consented_at"),
            parent=("contact", "contact_id"), removable=True,
        ),
        "job_note": APPEND,
        "part_use": APPEND,
        "visit_event": APPEND,
        "checklist_answer": APPEND,
        "completion_form": SEALED,
        "signature": SEALED,
        "service_report": SEALED,
    }
)  # fmt: skip
"""The rules of design table "Conflict rules", by table name."""
