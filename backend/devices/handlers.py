"""What phones may do, by mutation name: each calls the same action the office's route calls."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from backend.core.audit import Actor
from backend.core.errors import CONSTRAINT, Problem
from backend.core.transience import may_pass
from backend.devices.models import DeviceIncarnation
from backend.devices.transaction import SqlTransaction
from backend.devices.wording import invalid, rejection_of
from backend.forms.schemas import FormFiling
from backend.jobs.actions import add_note, open_work_order, use_part
from backend.jobs.completing import file_completion
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.reclaiming import take_back_visit
from backend.jobs.schemas import EventEntry, Instant, NewWorkOrder, NoteEntry, PartUseEntry, VisitEventReport
from backend.jobs.visit_events import record_visit_event
from backend.requests.intake import open_request
from backend.requests.schemas import NewServiceRequest
from sync.deciding import CONFLICT_DECIDE, DECIDE
from sync.handler import Call, Handler, Outcome, Rejection, applied, noop, quarantined
from sync.protocol import Mutation
from sync.store import RowKey
from sync.texts import Text

KEPT: Final = Text("已签内容已保留给调度处理。", "What was signed is kept for a dispatcher.")

Run = Callable[[SqlTransaction, Call], Awaitable[Outcome]]
Args = TypeVar("Args", bound=msgspec.Struct)


class EventArgs(EventEntry, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """`visit.event`: one event of the phone's owner on the visit `row`. `id` names the event."""

    id: UUID
    claimed_at: Instant  # pyright: ignore[reportIncompatibleVariableOverride, reportGeneralTypeIssues]


class NoteArgs(NoteEntry, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """`note.add`: a note on the work order `row`."""

    id: UUID


class PartArgs(PartUseEntry, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """`part.use`: a part built in on the visit `row`."""

    id: UUID


class RequestArgs(NewServiceRequest, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """`request.create`: a request that was born on the phone, under the id `row`."""


class OrderArgs(NewWorkOrder, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """`work_order.create`: a work order that was born on the phone, under the id `row`."""


async def report_event(tx: SqlTransaction, call: Call) -> Outcome:
    """Take in a visit event; what is already true for that person changes nothing."""
    args = _args(call, EventArgs)
    report = VisitEventReport(
        id=args.id, visit_id=_row(call), person_id=UUID(call.person), kind=args.kind, claimed_at=args.claimed_at,
        device_at=call.mutation.occurred_at, effective_at=call.effective_at, time_flagged=call.time_flagged,
        reason=args.reason, note=args.note, next_step=args.next_step, next_at=args.next_at, amends_id=args.amends_id,
        lat=args.lat, lon=args.lon, datum=args.datum,
    )  # fmt: skip
    await take_back_visit(tx.session, now=call.now, actor=_actor(call), report=report)
    event = await record_visit_event(tx.session, now=call.now, actor=_actor(call), report=report)
    return noop() if event is None else applied()


async def file_form(tx: SqlTransaction, call: Call) -> Outcome:
    """Keep a signed form; its photos may come later. What cannot be taken was signed all the same: it is set aside."""
    filing = _args(call, FormFiling, device_at=call.mutation.occurred_at)
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
    await use_part(
        tx.session, now=call.now, actor=_actor(call), visit=visit, person_id=UUID(call.person), part_use_id=args.id,
        entry=msgspec.structs.replace(args, used_at=call.effective_at),
    )  # fmt: skip
    return applied()


async def report_fault(tx: SqlTransaction, call: Call) -> Outcome:
    """Open a request that was born on the phone, under its own id and number."""
    new = _args(call, RequestArgs, id=call.mutation.row, received_at=call.effective_at)
    request = await open_request(tx.session, now=call.now, actor=_actor(call), new=new)
    return applied(granted=(f"request:{request.id}",))


async def open_order(tx: SqlTransaction, call: Call) -> Outcome:
    """Open a work order that was born on the phone, under its own id and number."""
    new = _args(call, OrderArgs, id=call.mutation.row)
    order = await open_work_order(tx.session, now=call.now, actor=_actor(call), new=new)
    return applied(granted=(f"job:{order.id}",))


class _Unreadable(Exception):
    """The arguments are not what they should be; nothing was written yet."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def _args(call: Call, kind: type[Args], **known: Any) -> Args:
    """Read the arguments by the office's rules, with what is `known` besides; raises _Unreadable.

    Members nobody knows are passed over: a newer phone may send more.
    """
    try:
        return msgspec.convert({**call.mutation.args, **known}, kind)
    except msgspec.ValidationError as error:
        raise _Unreadable(invalid(error)) from error


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
            raise rejection_of(problem, refusal) from problem
        except _Unreadable as unreadable:
            raise rejection_of(unreadable.problem, refusal) from unreadable
        except IntegrityError as error:  # as the office is answered: it clashes with what somebody else wrote
            if may_pass(error):
                raise
            raise rejection_of(Problem(CONSTRAINT), refusal) from error
        return outcome

    return refusing


def _reporting(run: Run, refusal: type[Rejection] = Rejection) -> Run:
    """The same for what has happened: it is not refused for how it is written, but set aside for a person."""

    async def reporting(tx: SqlTransaction, call: Call) -> Outcome:
        try:
            return await run(tx, call)
        except _Unreadable:
            return quarantined("unreadable_mutation")

    return _refusing(reporting, refusal)


def _of(entity: str) -> Callable[[Mutation], RowKey]:
    return lambda mutation: RowKey(entity, mutation.row)


def _site(mutation: Mutation) -> RowKey:
    return RowKey("site", str(mutation.args["site_id"]))


HANDLERS: Final[Mapping[str, Handler[SqlTransaction]]] = {
    "visit.event": Handler(_reporting(report_event), _of("visit")),
    "form.file": Handler(_reporting(file_form, _SetAside), _of("visit")),
    "part.use": Handler(_reporting(build_in_part), _of("visit")),
    "note.add": Handler(_refusing(write_note), _of("work_order")),
    "request.create": Handler(_refusing(report_fault), _site),
    "work_order.create": Handler(_refusing(open_order), _site),
    CONFLICT_DECIDE: DECIDE,
}
