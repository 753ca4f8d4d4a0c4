"""Two generations of the app: a schema the company's server has shipped before, and the one it speaks now."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from sync.policy import POLICY, Policy, merged
from sync.replica import Replica, Stored
from sync.schemas import Schemas, SchemaStep

OLD: Final = 1
NEW: Final = 2
SERVER: Final = Schemas(
    current=NEW,
    steps={
        NEW: SchemaStep(
            renamed={"asset": {"remark": "note"}},
            added={"site": frozenset({"acceptance_on"})},
            commands={"sign": lambda args: {"site": args["site"], "mark": args["stamp"]}},
        )
    },
)
"""The old app called the note of an asset its remark, knew no date of acceptance, and signed with a stamp."""
APPS: Final[Mapping[int, Schemas]] = {OLD: Schemas(current=OLD), NEW: SERVER}
OLD_SITE: Final = merged(
    "name", "access_notes", place=("address", "lat", "lon", "position_source", "position_confidence")
)
OLD_ASSET: Final = merged(
    "name", "serial", "quantity", "software_version", "protocol", "connection", "purchased_on", "remark",
    model=("asset_type", "asset_model_id"), parent=("site", "site_id"), removable=True,
)  # fmt: skip
POLICIES: Final[Mapping[int, Policy]] = {
    OLD: Policy({**POLICY.entities, "site": OLD_SITE, "asset": OLD_ASSET}),
    NEW: POLICY,
}


def started(disk: bytes, schema: int) -> Replica:
    """Return the phone whose disk holds this, under an app of this schema."""
    stored = msgspec.json.decode(disk, type=Stored)
    return Replica.restored(stored, policy=POLICIES[schema], schemas=APPS[schema])


def words(schema: int, entity: str, fields: Mapping[str, Any]) -> dict[str, Any] | None:
    """Say what a person changed in the words of their app; None for what it does not know."""
    if schema == NEW:
        return dict(fields)
    if entity == "site" and "acceptance_on" in fields:
        return None
    return {"remark" if (entity, name) == ("asset", "note") else name: value for name, value in fields.items()}


def as_held(schema: int, rows: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return rows as an app of this schema must hold them: what sync.schemas does, said once more by hand."""
    if schema == NEW:
        return {bucket: dict(some) for bucket, some in rows.items()}
    return {bucket: {place: _old(place, body) for place, body in some.items()} for bucket, some in rows.items()}


def _old(place: str, body: str) -> str:
    fields: dict[str, Any] = msgspec.json.decode(body)
    if place.startswith("asset/"):
        fields["remark"] = fields.pop("note")
    elif place.startswith("field_conflict/") and fields["entity"] == "asset":
        fields["field"] = "remark" if fields["field"] == "note" else fields["field"]
        for side in ("base", "mine", "theirs"):
            fields[side] = {"remark" if name == "note" else name: value for name, value in fields[side].items()}
    return msgspec.json.encode(fields, order="sorted").decode()
