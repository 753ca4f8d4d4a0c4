"""The count at the end: what technicians wrote down beside what the database holds, and what became of the week."""

import asyncio
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments.models import Blob
from backend.contracts.models import CommitmentClock
from backend.core.audit import AuditEntry
from backend.core.events import HANDLE_EVENT
from backend.core.sessions import Database
from backend.core.tasks import Task
from backend.devices.models import LedgerEntry
from backend.dispatch.models import PlanRun, UnplannedVisit
from backend.forms.actions import SEAL_FORM
from backend.forms.models import CompletionForm, ServiceReport
from backend.forms.verify import verify_sealed
from backend.jobs.models import Assignment, JobNote, Visit, VisitEvent, WorkOrder
from backend.requests.models import ServiceRequest
from bench.acceptance.office import Office
from bench.acceptance.technician import Done, Technician
from routing.check import violations
from routing.plan import Plan
from routing.problem import Problem

ARRIVE_WITHIN: Final = timedelta(hours=48)
IN_EFFECT: Final = frozenset({"applied", "merged", "noop"})
SHOWN: Final = 40


@dataclass
class Deliveries:
    """Every mutation of every phone, looked up in the database by what it must have made."""

    mutations: int = 0
    statuses: Counter[str] = field(default_factory=Counter[str])
    lost: list[str] = field(default_factory=list[str])
    duplicated: list[str] = field(default_factory=list[str])
    refusals: Counter[str] = field(default_factory=Counter[str])


async def count_deliveries(database: Database, technicians: Sequence[Technician]) -> Deliveries:
    """Compare the technicians' notebooks with the ledger and with the rows their mutations make."""
    found = Deliveries()
    async with database.read() as session:
        ledger = await _ledger(session)
        made = await _made(session)
        audited = await _effects(session)
        for technician in technicians:
            for done in technician.notebook:
                _look_up(done, found, ledger=ledger, made=made, effects=audited)
        found.duplicated += await _doubled_forms(session) + await _doubled_events(session)
    return found


def _look_up(
    done: Done, found: Deliveries, *, ledger: dict[UUID, list[Any]], made: dict[UUID, str], effects: Counter[UUID]
) -> None:
    found.mutations += 1
    entries = ledger.get(UUID(done.mutation_id), [])
    if not entries:
        found.lost.append(f"{done.name} {done.mutation_id}: not in the ledger")
        return
    if len(entries) > 1 or effects[UUID(done.mutation_id)] > 1:
        found.duplicated.append(f"{done.name} {done.mutation_id}: {len(entries)} entries")
    status, code = entries[0].status, entries[0].code
    found.statuses[status] += 1
    if status == "applied" and made.get(UUID(done.made_row)) != done.content:
        found.lost.append(f"{done.name} {done.mutation_id}: applied, but what was written is not there")
    if status not in IN_EFFECT:
        found.refusals[f"{done.name}: {code}"] += 1


async def _ledger(session: AsyncSession) -> dict[UUID, list[Any]]:
    rows = await session.execute(select(LedgerEntry.mutation_id, LedgerEntry.status, LedgerEntry.code))
    ledger: dict[UUID, list[Any]] = {}
    for row in rows:
        ledger.setdefault(row.mutation_id, []).append(row)
    return ledger


async def _made(session: AsyncSession) -> dict[UUID, str]:
    """What each event, note and form says, as the technicians' notebooks have it."""
    events = await session.execute(select(VisitEvent.id, VisitEvent.kind, VisitEvent.claimed_at))
    notes = await session.execute(select(JobNote.id, JobNote.text))
    forms = await session.execute(select(CompletionForm.id, CompletionForm.shown))
    made = {row.id: f"{row.kind} {row.claimed_at.isoformat()}" for row in events}
    return made | {row.id: row.text for row in notes} | {row.id: row.shown for row in forms}


async def _effects(session: AsyncSession) -> Counter[UUID]:
    """How often each mutation did the same to the same record, by the audit trail."""
    rows = await session.execute(
        select(AuditEntry.mutation_id, func.count())
        .where(AuditEntry.mutation_id.is_not(None))
        .group_by(AuditEntry.mutation_id, AuditEntry.action, AuditEntry.subject_id)
    )
    effects: Counter[UUID] = Counter()
    for mutation_id, count in rows:
        if mutation_id is not None:
            effects[mutation_id] = max(effects[mutation_id], count)
    return effects


async def _doubled_forms(session: AsyncSession) -> list[str]:
    number = CompletionForm.device_number
    rows = await session.execute(select(number).group_by(number).having(func.count() > 1))
    return [f"form {one} twice" for one in rows.scalars()]


async def _doubled_events(session: AsyncSession) -> list[str]:
    key = (VisitEvent.visit_id, VisitEvent.person_id, VisitEvent.kind, VisitEvent.claimed_at)
    rows = await session.execute(select(*key).group_by(*key).having(func.count() > 1))
    return [f"event {row.kind} of visit {row.visit_id} twice" for row in rows]


@dataclass(frozen=True)
class Outcome:
    """What became of the week's requests."""

    requests: int
    planned: int
    arrived_48h: int
    unplanned: list[str]


async def count_requests(database: Database) -> Outcome:
    """Read from the clocks who was reached in time, and list who never was, with the last plan's reasons."""
    async with database.read() as session:
        arrivals = (
            await session.execute(
                select(ServiceRequest.id, ServiceRequest.number, ServiceRequest.received_at, CommitmentClock.stopped_at)
                .join(CommitmentClock, CommitmentClock.subject_id == ServiceRequest.id)
                .where(CommitmentClock.kind == "arrive")
            )
        ).all()
        planned = select(func.count(func.distinct(WorkOrder.request_id))).join(
            Assignment, Assignment.work_order_id == WorkOrder.id
        )
        planned_count = (await session.execute(planned.where(WorkOrder.request_id.is_not(None)))).scalar_one()
        missed = [row for row in arrivals if row.stopped_at is None]
        reasons = await _reasons(session, [row.id for row in missed])
    in_time = sum(
        1 for row in arrivals if row.stopped_at is not None and row.stopped_at <= row.received_at + ARRIVE_WITHIN
    )
    unplanned = [
        f"{row.number} received {row.received_at:%d %H:%M}: {reasons.get(row.id, 'never reached')}" for row in missed
    ]
    return Outcome(requests=len(arrivals), planned=planned_count, arrived_48h=in_time, unplanned=unplanned)


async def _reasons(session: AsyncSession, request_ids: list[UUID]) -> dict[UUID, str]:
    rows = await session.execute(
        select(WorkOrder.request_id, UnplannedVisit.reasons)
        .join(Visit, Visit.work_order_id == WorkOrder.id)
        .join(UnplannedVisit, UnplannedVisit.visit_id == Visit.id)
        .where(WorkOrder.request_id.in_(request_ids))
        .order_by(UnplannedVisit.id)
    )
    return {row.request_id: "; ".join(reason["en"] for reason in row.reasons) for row in rows}


async def check_plans(database: Database) -> tuple[int, list[str]]:
    """Ask the referee about every plan again, from the stored problem; return how many, and what it found."""
    found: list[str] = []
    async with database.read() as session:
        runs = (await session.execute(select(PlanRun.id, PlanRun.problem, PlanRun.plan, PlanRun.state))).all()
    for run in runs:
        if run.plan is None or run.problem is None:
            found.append(f"plan {run.id}: {run.state}")
            continue
        problem, plan = msgspec.convert(run.problem, Problem), msgspec.convert(run.plan, Plan)
        found += [f"plan {run.id}: {violation}" for violation in violations(problem, plan)]
    return len(runs), found


@dataclass
class Proof:
    """The sealed reports, each verified."""

    forms: int = 0
    verified: int = 0
    by_pdfsig: int = 0
    faults: list[str] = field(default_factory=list[str])


async def verify_reports(database: Database, head: Office, now: datetime) -> Proof:
    """Download every sealed report through the API and verify it, with pdfsig too where it is installed."""
    proof = Proof()
    async with database.read() as session:
        forms = (
            await session.execute(
                select(CompletionForm.id, CompletionForm.shown_sha256, ServiceReport.pdf_sha256)
                .join(ServiceReport, ServiceReport.form_id == CompletionForm.id, isouter=True)
                .order_by(CompletionForm.id)
            )
        ).all()
        stored = set((await session.execute(select(Blob.sha256))).scalars())
    proof.forms = len(forms)
    pdfsig = shutil.which("pdfsig")
    for form in forms:
        if form.pdf_sha256 is None or form.pdf_sha256 not in stored:
            proof.faults.append(f"form {form.id}: no sealed report")
            continue
        pdf = await asyncio.to_thread(head.content, f"/forms/{form.id}/report.pdf")
        checked = await asyncio.to_thread(verify_sealed, pdf, now=now, expected_sha256=form.shown_sha256)
        if checked.intact and checked.whole and checked.bound:
            proof.verified += 1
        else:
            proof.faults.append(f"form {form.id}: {checked.problems}")
        if pdfsig:
            proof.by_pdfsig += await asyncio.to_thread(_pdfsig_says_valid, pdfsig, pdf)
    return proof


def _pdfsig_says_valid(pdfsig: str, pdf: bytes) -> bool:
    with tempfile.NamedTemporaryFile(suffix=".pdf") as file:
        Path(file.name).write_bytes(pdf)
        said = subprocess.run([pdfsig, file.name], capture_output=True, text=True, check=False).stdout
    return "Signature is Valid" in said and "Total document signed" in said


async def tasks_waiting(database: Database) -> int:
    """How many seals are still to be made."""
    async with database.read() as session:
        waiting = select(func.count()).where(Task.kind.in_((SEAL_FORM, HANDLE_EVENT)), Task.state == "waiting")
        return (await session.execute(waiting)).scalar_one()
