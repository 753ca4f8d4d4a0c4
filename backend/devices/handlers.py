"""What phones may do, by mutation name: each calls the same action the office's route calls."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import select

from backend.core.audit import Actor
from backend.core.errors import Problem
from backend.devices.models import DeviceIncarnation
from backend.devices.transaction import SqlTransaction
from backend.forms.schemas import FormFiling
from backend.jobs.actions import add_note, open_work_order, use_part
from backend.jobs.completing import file_completion
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.rules import EventKind
from backend.jobs.schemas import NewWorkOrder, PartUseEntry, VisitEventReport
from backend.jobs.visit_events import record_visit_event
from backend.requests.intake import open_request
from backend.requests.schemas import NewServiceRequest
from backend.sites.datum import Datum
from sync.handler import Call, Handler, Outcome, Rejection, applied, noop, quarantined
from sync.protocol import Mutation
from sync.store import RowKey
from sync.texts import Text

KEPT: Final = Text("已签内容已保留给调度处理。", "What was signed is kept for a dispatcher.")

Run = Callable[[SqlTransaction, Call], Awaitable[Outcome]]
Args = TypeVar("Args", bound=msgspec.Struct)


class EventArgs(msgspec.Struct, frozen=True, kw_only=True):
    """`visit.event`: one event of the phone's owner on the visit `row`. `id` names the event."""

    id: UUID
    kind: EventKind
    claimed_at: datetime
    reason: str | None = None
    note: str | None = None
    next_step: str | None = None
    next_at: datetime | None = None
    amends_id: UUID | None = None
    lat: float | None = None
    lon: float | None = None
    datum: Datum = "wgs84"


class NoteArgs(msgspec.Struct, frozen=True, kw_only=True):
    """`note.add`: a note on the work order `row`."""

    id: UUID
    text: str
    visit_id: UUID | None = None


class PartArgs(msgspec.Struct, frozen=True, kw_only=True):
    """`part.use`: a part built in on the visit `row`."""

    id: UUID
    part_id: UUID
    quantity: int
    serial: str | None = None
    old_part_to: str | None = None


class FormArgs(msgspec.Struct, frozen=True, kw_only=True):
    """`form.file`: a form signed on the visit `row`; the device's own time comes with the mutation."""

    id: UUID
    template_version_id: UUID
    shown: str
    signatures: list[Any]
    claimed_at: datetime
    supersedes_id: UUID | None = None


async def report_event(tx: SqlTransaction, call: Call) -> Outcome:
    """Take in a visit event; what is already true for that person changes nothing."""
    args = _args(call, EventArgs)
    report = VisitEventReport(
        id=args.id, visit_id=_row(call), person_id=UUID(call.person), kind=args.kind, claimed_at=args.claimed_at,
        device_at=call.mutation.occurred_at, effective_at=call.effective_at, time_flagged=call.time_flagged,
        reason=args.reason, note=args.note, next_step=args.next_step, next_at=args.next_at, amends_id=args.amends_id,
        lat=args.lat, lon=args.lon, datum=args.datum,
    )  # fmt: skip
    event = await record_visit_event(tx.session, now=call.now, actor=_actor(call), report=report)
    return noop() if event is None else applied()


async def file_form(tx: SqlTransaction, call: Call) -> Outcome:
    """Keep a signed form; its photos may come later. What cannot be taken was signed all the same: it is set aside."""
    try:
        args = _args(call, FormArgs)
        filing = msgspec.convert({**msgspec.to_builtins(args), "device_at": call.mutation.occurred_at}, FormFiling)
    except msgspec.ValidationError:
        return quarantined("unreadable_mutation")
    numberings = select(DeviceIncarnation.prefix).where(DeviceIncarnation.device_id == UUID(call.device))
    await file_completion(
        tx.session, now=call.now, actor=_actor(call), person_id=UUID(call.person), visit_id=_row(call), filing=filing,
        prefixes=frozenset((await tx.session.execute(numberings)).scalars()),
    )  # fmt: skip
    return applied()


async def write_note(tx: SqlTransaction, call: Call) -> Outcome:
    """Add a note to a work order."""
    args = _args(call, NoteArgs)
    order = await tx.session.get_one(WorkOrder, _row(call))
    await add_note(
        tx.session, now=call.now, actor=_actor(call), order=order, person_id=UUID(call.person), text=args.text,
        visit_id=args.visit_id, note_id=args.id, written_at=call.effective_at,
    )  # fmt: skip
    return applied()


async def build_in_part(tx: SqlTransaction, call: Call) -> Outcome:
    """Record a part built in."""
    args = _args(call, PartArgs)
    visit = await tx.session.get_one(Visit, _row(call))
    entry = msgspec.convert(
        {
            "part_id": args.part_id, "quantity": args.quantity, "serial": args.serial,
            "old_part_to": args.old_part_to, "used_at": call.effective_at,
        },
        PartUseEntry,
    )  # fmt: skip
    await use_part(
        tx.session, now=call.now, actor=_actor(call), visit=visit, person_id=UUID(call.person), entry=entry,
        part_use_id=args.id,
    )  # fmt: skip
    return applied()


async def report_fault(tx: SqlTransaction, call: Call) -> Outcome:
    """Open a request that was born on the phone, under its own id and number."""
    new = msgspec.convert({**call.mutation.args, "id": call.mutation.row}, NewServiceRequest)
    new = msgspec.structs.replace(
        new, received_at=call.effective_at, backdating_reason=new.backdating_reason or "taken down on the phone"
    )
    request = await open_request(tx.session, now=call.now, actor=_actor(call), new=new)
    return applied(granted=(f"request:{request.id}",))


async def open_order(tx: SqlTransaction, call: Call) -> Outcome:
    """Open a work order that was born on the phone, under its own id and number."""
    new = msgspec.convert({**call.mutation.args, "id": call.mutation.row}, NewWorkOrder)
    order = await open_work_order(tx.session, now=call.now, actor=_actor(call), new=new)
    return applied(granted=(f"job:{order.id}",))


def _args(call: Call, kind: type[Args]) -> Args:
    return msgspec.convert(call.mutation.args, kind)


def _row(call: Call) -> UUID:
    return UUID(call.mutation.row)


def _actor(call: Call) -> Actor:
    return Actor(person_id=UUID(call.person), device_id=UUID(call.device), mutation_id=UUID(call.mutation.id))


class _SetAside(Rejection):
    """It cannot be done and what was written is undone, but the payload is kept for a person."""

    def __init__(self, code: str, zh: str, en: str) -> None:
        super().__init__(code, zh, en)
        self.outcome = quarantined(code, Text(zh + KEPT.zh, f"{en} {KEPT.en}"))


def _refusing(run: Run, refusal: type[Rejection] = Rejection) -> Run:
    """Tell the phone a refusal of ours as the result of its mutation, in both languages; what was written is undone."""

    async def refusing(tx: SqlTransaction, call: Call) -> Outcome:
        try:
            outcome = await run(tx, call)
            await tx.session.flush()
        except Problem as problem:
            told = problem.details()
            zh = "".join(f"{finding.field}:{finding.zh}。" for finding in problem.findings)
            en = "; ".join(f"{finding.field}: {finding.en}" for finding in problem.findings)
            raise refusal(
                told.code, f"{told.detail_zh}{zh}{told.todo_zh}", f"{told.detail} {en} {told.todo}"
            ) from problem
        return outcome

    return refusing


def _of(entity: str) -> Callable[[Mutation], RowKey]:
    return lambda mutation: RowKey(entity, mutation.row)


def _site(mutation: Mutation) -> RowKey:
    return RowKey("site", str(mutation.args["site_id"]))


HANDLERS: Final[Mapping[str, Handler[SqlTransaction]]] = {
    "visit.event": Handler(_refusing(report_event), _of("visit")),
    "form.file": Handler(_refusing(file_form, _SetAside), _of("visit")),
    "part.use": Handler(_refusing(build_in_part), _of("visit")),
    "note.add": Handler(_refusing(write_note), _of("work_order")),
    "request.create": Handler(_refusing(report_fault), _site),
    "work_order.create": Handler(_refusing(open_order), _site),
}
