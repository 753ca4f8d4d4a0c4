"""Whatever a phone sends as a mutation, however odd, gets an answer that says what is wrong with it.

Never `handler_failed`, which is for defects of ours, and never an error of the whole push. Each example goes on where
the last one ended. More of them: HOSTILE=3000 make test TESTS=tests/sync/test_hostile_pushes.py
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select

from backend.core.audit import Actor
from backend.core.ids import new_id
from backend.devices.handlers import HANDLERS
from backend.devices.models import LedgerEntry
from backend.devices.store import SqlStore
from backend.forms.canonical import canonical_bytes, sha256_hex
from backend.sites.models import SiteContact
from sync.protocol import Result, decode_push
from sync.push import Pusher, push
from tests.api.test_devices import a_part
from tests.api.test_forms import Pocket, on_site
from tests.make import Office
from tests.personas import LI_WEI

EXAMPLES: Final = int(os.environ.get("HOSTILE", "15"))
NEW: Final = "an id nobody has used"
HERE: Final = (
    "visit", "work_order", "site", "position", "asset", "contact", "customer", "site_contact", "contact_point", "part",
    "person", "elsewhere", "version", "form", "note", "event", "conflict", "request", "order",
)  # fmt: skip
"""What a value may name by `@`: rows of the house, the form and the note of this test, and a site of another unit."""
TEXTS: Final = (
    "", " ", "\0", "a\0b", "长" * 21, "长" * 41, "长" * 61, "长" * 121, "@page", "@long", "nonsense", "😀",
    "'; DROP TABLE site; --", "2026-13-45", "NaN", "-1", "{}", "%s", "camera", "mine", "phone", "finish", "revert",
    "amend", "P1", "repair",
)  # fmt: skip
TIMES: Final = (
    "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-14:00",
    "1900-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "2026-03-02T01:00:00", "2026-03-02T01:00:00.123456789Z",
    "2026-03-02T01:00:60Z", "0001-01-01", "9999-12-31", "0000-00-00", "2026-03-02T01:00:00Z",
)  # fmt: skip
KINDS: Final = (
    "contacted", "depart", "arrive", "start", "pause", "finish", "cannot_complete", "amend", "revert",
)  # fmt: skip
NUMBERS: Final = (
    -1,
    0,
    1,
    2**31 - 1,
    2**31,
    2**53,
    2**63 - 1,
    2**63,
    2**64,
    -(2**63) - 1,
    0.5,
    1e308,
    -1e-320,
    91,
    181,
)
SHAPES: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"": None},
    ["camera", "camera"],
    {"a": {"b": "\0"}},
)

hostile = st.one_of(
    st.sampled_from([*TEXTS, *TIMES, *NUMBERS]), st.sampled_from(SHAPES),
    st.sampled_from([NEW, "00000000-0000-0000-0000-000000000000", *(f"@{name}" for name in HERE)]),
    st.text(max_size=50),
)  # fmt: skip

exact = hostile.filter(
    lambda value: not isinstance(value, float) and (not isinstance(value, int) or abs(value) < 2**53)
)
"""What canonical JSON can say."""
SHOWN: Final = (
    "number", "order_number", "shown_at", "shown_at_local", "language", "zone", "times", "technicians", "customer",
    "site", "supersedes", "sections", "signers", "prices", "attachments", "template", "assets",
)  # fmt: skip

EVENT: Final = {
    "id": NEW, "kind": "start", "claimed_at": "2026-03-02T01:05:00Z", "reason": None, "note": None, "next_step": None,
    "next_at": None, "amends_id": None, "lat": None, "lon": None, "datum": "wgs84",
}  # fmt: skip
ORDER: Final = {
    "site_id": "@site", "kind": "repair", "title": "换门禁", "description": "", "device_number": None,
    "request_id": None, "asset_id": None, "priority": None, "required_skills": None, "duration_minutes": None,
    "technicians": None,
    "form_template_version_id": None, "earliest_at": None, "parts_ready_at": None, "due_at": None,
    "window_starts_at": None, "window_ends_at": None,
}  # fmt: skip
REQUEST: Final = {
    "site_id": "@site", "channel": "phone", "site_external_id": None, "customer_id": None, "customer_external_id": None,
    "asset_id": None, "asset_external_id": None, "contact_id": None, "reporter_name": "", "reporter_phone": "",
    "symptom": "", "wishes": "", "occurred_at": None, "affected_scope": None, "backdating_reason": None,
    "priority": None, "external_id": None, "device_number": None,
}  # fmt: skip
SIGNED: Final = (
    "name",
    "title",
    "phone",
    "reason",
    "assisted_by",
    "image_sha256",
    "role",
    "method",
    "signed_at",
    "strokes",
)
COMMANDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "visit.event": {"row": "@visit", "args": EVENT},
    "form.file": {"row": "@visit", "args": {
        "id": NEW, "template_version_id": "@version", "shown": "@shown", "signatures": "@signatures",
        "claimed_at": "2026-03-02T01:05:00Z", "supersedes_id": None,
    }},
    "part.use": {"row": "@visit", "args": {
        "id": NEW, "part_id": "@part", "quantity": 1, "serial": None, "old_part_to": None,
    }},
    "note.add": {"row": "@work_order", "args": {"id": NEW, "text": "电源老化", "visit_id": None}},
    "request.create": {"row": NEW, "args": REQUEST},
    "work_order.create": {"row": NEW, "args": ORDER},
    "conflict.decide": {"row": "@conflict", "args": {"take": "mine", "seen": {"note": ""}, "values": {"note": ""}}},
}  # fmt: skip
ADDED: Final[Mapping[str, Mapping[str, Any]]] = {
    "position": {"site_id": "@site", "name": "东角", "description": "", "parent_id": None},
    "asset": {
        "site_id": "@site", "asset_type": "camera", "asset_model_id": None, "name": "枪机", "serial": None,
        "quantity": 1, "software_version": None, "protocol": None, "connection": None, "purchased_on": None, "note": "",
    },
    "site_contact": {"site_id": "@site", "contact_id": "@contact", "primary": True},
    "contact": {"customer_id": "@customer", "name": "钱红", "title": None, "function": "contact", "language": "zh"},
    "contact_point": {
        "contact_id": "@contact", "kind": "wechat", "address": "zhao", "consent": None, "consented_at": None,
    },
}  # fmt: skip
EDITED: Final[Mapping[str, tuple[str, ...]]] = {
    "site": (
        "name", "access_notes", "acceptance_on", "address", "lat", "lon", "position_source", "position_confidence",
    ),
    "position": ("name", "description", "parent_id"),
    "asset": tuple(name for name in ADDED["asset"] if name != "site_id"),
    "site_contact": ("primary",), "contact": ("name", "title", "function", "language"),
    "contact_point": ("kind", "address", "consent", "consented_at"),
}  # fmt: skip
Mutation = dict[str, Any]


@st.composite
def commands(draw: st.DrawFn) -> Mutation:
    """A command as a phone would send it, with a few of its arguments turned hostile."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    args = dict(COMMANDS[name]["args"])
    if name == "visit.event":
        args["kind"] = draw(st.sampled_from(KINDS))
    for member in draw(st.lists(st.sampled_from(sorted(args)), max_size=3)):
        args[member] = draw(hostile)
    made: Mutation = {"name": name, "row": COMMANDS[name]["row"], "args": args}
    if name == "form.file":
        made["signed"] = {member: draw(hostile) for member in draw(st.lists(st.sampled_from(SIGNED), max_size=1))}
        made["forged"] = {member: draw(exact) for member in draw(st.lists(st.sampled_from(SHOWN), max_size=1))}
    return made


@st.composite
def additions(draw: st.DrawFn) -> Mutation:
    """A new row with hostile values."""
    entity = draw(st.sampled_from(sorted(ADDED)))
    args = dict(ADDED[entity])
    for member in draw(st.lists(st.sampled_from(sorted(args)), max_size=3)):
        args[member] = draw(hostile)
    return {"name": "add", "entity": entity, "row": draw(st.sampled_from([NEW, f"@{entity}"])), "args": args}


@st.composite
def edits(draw: st.DrawFn) -> Mutation:
    """Changes of a row that is there; a phone says truly what it saw, or not."""
    entity = draw(st.sampled_from(sorted(EDITED)))
    members = draw(st.lists(st.sampled_from(EDITED[entity]), min_size=1, max_size=8, unique=True))
    fields = {member: {"was": draw(st.one_of(st.just("@was"), hostile)), "now": draw(hostile)} for member in members}
    return {"name": "edit", "entity": entity, "row": f"@{entity}", "fields": fields}


@st.composite
def removals(draw: st.DrawFn) -> Mutation:
    """A row is to go, whatever refers to it."""
    entity = draw(st.sampled_from(sorted(EDITED)))
    fields = {member: {"was": "@was", "now": None} for member in EDITED[entity]}
    return {"name": "remove", "entity": entity, "row": f"@{entity}", "fields": fields}


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """Any mutation; now and then its frame is hostile too."""
    made = draw(st.one_of(commands(), additions(), edits(), removals()))
    for member in draw(
        st.lists(st.sampled_from(("row", "entity", "base_v", "occurred_at", "blobs", "name")), max_size=1)
    ):
        made[member] = draw(hostile)
    return made


class Sender:
    """李伟's phone, in hands that know the protocol and not the rules."""

    def __init__(self, pocket: Pocket, rows: dict[str, str]) -> None:
        self.pocket, self.rows, self.n = pocket, rows, 0

    async def send(self, drawn: list[Mutation]) -> list[Result]:
        """Push them as one batch; return how each ended."""
        replica, office = self.pocket.phone.replica, self.pocket.office
        device = replica.identity.device
        raw = [self._mutation(one) for one in drawn]
        body = msgspec.json.encode({"incarnation": replica.identity.incarnation, "mutations": raw})
        li_wei = office.house.id_of(LI_WEI)
        store = SqlStore(office.database, Actor(person_id=li_wei, device_id=UUID(device)), now=office.now)
        answer = await push(
            store, HANDLERS, pusher=Pusher(device, office.now), request=decode_push(body), now=office.now,
            new_id=lambda: str(new_id()),
        )  # fmt: skip
        results = [msgspec.json.decode(result, type=Result) for result in answer.results]
        for conflict in (one for result in results for one in result.conflicts):
            self.rows["@conflict"] = conflict
        return results

    def _mutation(self, drawn: Mutation) -> Mutation:
        self.n += 1
        made = {
            "id": str(new_id()), "n": self.n, "schema": 1, "occurred_at": self.pocket.office.now.isoformat(),
            "base_v": self.pocket.phone.replica.holding.v, "entity": "", **drawn,
        }  # fmt: skip
        if made["name"] == "form.file":
            self._sign(made)
        made["row"] = self._meant(made["row"])
        made["args"] = {name: self._meant(value) for name, value in made.get("args", {}).items()}
        seen = self.pocket.phone.replica.shown().get(str(made["entity"]), str(made["row"])) or {}
        made["fields"] = {
            name: {"was": seen.get(name) if edit["was"] == "@was" else edit["was"], "now": self._meant(edit["now"])}
            for name, edit in drawn.get("fields", {}).items()
        }
        return made

    def _sign(self, made: Mutation) -> None:
        """Fill a form in and have it signed, properly, but for what was drawn."""
        paper, forged, changes = self.pocket.paper(), made.pop("forged", {}), made.pop("signed", {})
        if forged:
            shown = canonical_bytes({**msgspec.json.decode(paper["shown"]), **forged})
            paper["shown"], changes = shown.decode(), {"document_sha256": sha256_hex(shown), **changes}
        paper["signatures"] = [{**signature, **changes} for signature in paper["signatures"]]
        drawn = made["args"]
        made["args"] = {name: paper[name] if drawn[name] == f"@{name}" else drawn[name] for name in drawn}

    def _meant(self, value: Any) -> Any:
        if value == NEW:
            return str(new_id())
        return self.rows.get(value, value) if isinstance(value, str) else value


async def sender(office: Office, folder: Path) -> Sender:
    """李伟 on site; his phone holds the job, and a note and a form are on record."""
    pocket = await on_site(office, folder)
    house = office.house
    shown = pocket.phone.replica.shown()
    async with office.database.read() as session:
        asked_for = (
            await session.execute(select(SiteContact.id).where(SiteContact.site_id == house.site))
        ).scalar_one()
    (point,) = shown.all("contact_point")
    rows = {
        "visit": pocket.visit_id, "work_order": pocket.order["id"], "site": house.site, "position": house.position,
        "asset": house.camera, "contact": house.contact, "customer": house.customer, "site_contact": asked_for,
        "contact_point": point, "part": await a_part(office), "person": house.id_of(LI_WEI),
        "elsewhere": house.north_site, "version": pocket.paper()["template_version_id"], "form": new_id(),
        "note": new_id(), "event": new_id(), "request": new_id(), "order": new_id(),
    }  # fmt: skip
    made = Sender(
        pocket, {"@page": "长" * 5000, "@long": "长" * 100_000} | {f"@{name}": str(row) for name, row in rows.items()}
    )
    of = {name: {**COMMANDS[name], "name": name} for name in COMMANDS}
    begun = [
        {**of["note.add"], "args": {**COMMANDS["note.add"]["args"], "id": "@note"}},
        {**of["visit.event"], "args": {**EVENT, "id": "@event"}},
        {**of["form.file"], "args": {**COMMANDS["form.file"]["args"], "id": "@form"}},
    ]  # fmt: skip
    clashing = {"name": "edit", "entity": "asset", "row": "@asset", "fields": {"note": {"was": "?", "now": "换过"}}}
    results = await made.send([*begun, clashing])
    assert [result.status for result in results] == ["applied", "applied", "applied", "conflict"], results
    return made


@pytest.fixture
async def li_wei(office: Office, tmp_path: Path) -> Sender:
    """李伟's phone."""
    return await sender(office, tmp_path)


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(drawn=st.lists(mutations(), min_size=1, max_size=6))
async def test_every_mutation_gets_an_answer_of_its_own(li_wei: Sender, drawn: list[Mutation]) -> None:
    results = await li_wei.send(drawn)
    assert len(results) == len(drawn)
    for result, one in zip(results, drawn, strict=True):
        assert result.code != "handler_failed", (await fault_of(li_wei, result.id), one)


async def fault_of(li_wei: Sender, mutation_id: str) -> str:
    """What an operator is told of it."""
    async with li_wei.pocket.office.database.read() as session:
        entry = select(LedgerEntry.fault).where(LedgerEntry.mutation_id == UUID(mutation_id))
        return (await session.execute(entry)).scalar_one()


LATE: Final = "9999-12-31T23:59:59-14:00"
EARLY: Final = "0001-01-01T00:00:00+14:00"


def of(command: str, **args: Any) -> Mutation:
    """A command with some arguments of its own."""
    return {**COMMANDS[command], "name": command, "args": {**COMMANDS[command]["args"], **args}}


def signed(**changes: Any) -> Mutation:
    """A form whose signatures are odd."""
    return {**of("form.file"), "signed": changes}


ODDITIES: Final[Sequence[tuple[Mutation, str]]] = (
    (of("visit.event", kind="pause", next_at=LATE), "invalid"),
    (of("visit.event", id="@event", kind="pause"), ""),
    (of("visit.event", kind="pause", claimed_at=LATE), ""),
    (of("visit.event", kind="pause", claimed_at=EARLY), ""),
    ({**of("visit.event", kind="pause"), "occurred_at": LATE}, ""),
    ({**of("visit.event", kind="pause"), "occurred_at": EARLY}, ""),
    ({**of("note.add"), "occurred_at": LATE}, ""),
    ({**of("note.add"), "occurred_at": EARLY}, ""),
    ({**of("form.file"), "occurred_at": LATE}, ""),
    (of("form.file", claimed_at=LATE), ""),
    (of("form.file", claimed_at=EARLY), ""),
    (of("form.file", shown="\0"), "shown_unreadable"),
    (signed(phone="1" * 21), "signature_unfit"),
    (signed(phone="\0"), "signature_unfit"),
    (signed(name="赵\0敏"), "signature_unfit"),
    (signed(title="\0"), "signature_unfit"),
    (signed(reason="\0"), "signature_unfit"),
    (signed(assisted_by="\0"), "signature_unfit"),
    (signed(image_sha256="ab" * 40), "signature_unfit"),
    (signed(role="r" * 31), "signature_unfit"),
    (signed(signed_at=LATE), "signature_unfit"),
    (signed(signed_at=EARLY), "signature_unfit"),
    (signed(strokes=[[[0, 0, 2**63], [9, 9, 2**70]]]), ""),
    (of("request.create", occurred_at=LATE), "invalid"),
    (of("work_order.create", due_at=LATE), "invalid"),
    ({**of("request.create", device_number="K7-1"), "row": "@request"}, ""),
    ({**of("request.create"), "row": "@request"}, "record_id_taken"),
    (of("request.create", device_number="K7-1"), "record_id_taken"),
    ({**of("work_order.create", device_number="K7-2"), "row": "@order"}, ""),
    ({**of("work_order.create"), "row": "@order"}, "record_id_taken"),
    (of("work_order.create", device_number="K7-2"), "record_id_taken"),
    (of("work_order.create", window_starts_at=EARLY, window_ends_at=LATE), "invalid"),
    (of("part.use", quantity=1_000_000), ""),
    ({"name": "edit", "entity": "asset", "row": "@asset", "fields": {"quantity": {"was": 1, "now": 2**31}}}, "invalid"),
)


async def test_known_oddities_are_kept_or_named(li_wei: Sender) -> None:
    results = await li_wei.send([mutation for mutation, _ in ODDITIES])
    assert [result.code for result in results] == [code for _, code in ODDITIES]
