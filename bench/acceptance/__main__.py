"""`make acceptance DATA=<folder> [DATABASE=postgresql|<url>]`: a week of real outages through the whole house."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from dateutil.relativedelta import relativedelta

from backend.core.sessions import Database
from backend.dispatch.outages import TECHNICIANS, ZONE, Outage, OutagesError, find_files
from bench.acceptance import count
from bench.acceptance.handset import handset
from bench.acceptance.nearest_first import dispatch_nearest_first
from bench.acceptance.office import (
    ADMINISTRATOR,
    DISPATCHER,
    PASSWORD,
    PLAN_SECONDS,
    URGENT_SECONDS,
    Office,
    hire,
    plan_and_publish,
    roster,
    take_call,
)
from bench.acceptance.server import SteppedClock, environment, run_command, servers
from bench.acceptance.technician import Technician
from bench.acceptance.week import Week, read_week
from bench.postgres import throwaway_postgres

STEP: Final = timedelta(minutes=30)
PLANNED_AT: Final = (5, 17)
"""Hours of the day, at the stations' clock, at which the next shifts are planned."""
INSPECTED: Final = 20
MAPPINGS: Final = Path(__file__).parent / "mappings"
ORGANISATION: Final = "Acceptance"
SEALING_LOOKS: Final = 600
SEALING_PAUSE: Final = 0.5
SHOWN: Final = 40
SHARE_LEAST: Final = 0.99
"""Least share of requests reached within 48 hours."""
PDFSIG_MISSING: Final = "not-installed"


@dataclass
class Run:
    """One acceptance run under way."""

    week: Week
    clock: SteppedClock
    dispatcher: Office
    unit_id: str
    technicians: list[Technician]
    seed: int
    plans: int = 0
    waiting: list[Outage] = field(default_factory=list[Outage])

    async def live(self) -> None:
        """Step through the week."""
        self.waiting = sorted(self.week.outages, key=lambda outage: outage.received_at)
        moments = list(_moments(self.week))
        for number, moment in enumerate(moments):
            await self._calls_until(moment)
            self.clock.set(moment)
            if moment.astimezone(ZONE).hour in PLANNED_AT and moment.minute == 0:
                await self._plan(PLAN_SECONDS)
            await self._phones(moment)
            if number % 48 == 0:
                print(
                    f"  {moment:%Y-%m-%d %H:%M} UTC, {len(self.waiting)} calls to come, {self.plans} plans", flush=True
                )

    async def deliver(self) -> None:
        """Let every phone deliver what it has left."""
        for technician in self.technicians:
            await technician.deliver_everything(self.clock.now)

    async def _calls_until(self, moment: datetime) -> None:
        """Requests arrive when they really did; a broken elevator is planned at once."""
        while self.waiting and self.waiting[0].received_at <= moment:
            outage = self.waiting.pop(0)
            self.clock.set(max(outage.received_at, self.clock.now))
            await asyncio.to_thread(take_call, self.dispatcher, outage)
            if outage.urgent:
                await self._plan(URGENT_SECONDS)

    async def _plan(self, seconds: float) -> None:
        self.plans += 1
        await asyncio.to_thread(
            plan_and_publish, self.dispatcher, self.unit_id, seconds=seconds, seed=self.seed + self.plans
        )

    async def _phones(self, moment: datetime) -> None:
        for technician in self.technicians:
            await technician.live_until(moment)


def _moments(week: Week) -> Iterator[datetime]:
    moment = week.starts_at
    while moment < week.ends_at:
        moment += STEP
        yield moment


def main(arguments: Sequence[str]) -> int:
    """Run, print the line of figures, and return 0 if what must hold held."""
    parser = argparse.ArgumentParser(prog="acceptance", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with work_orders_<month>.csv and units.csv")
    parser.add_argument("--database", default="", help="'postgresql' for one of our own, or an SQLAlchemy URL")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="keep the run's data in this folder")
    options = parser.parse_args(arguments)
    try:
        week = read_week(options.data)
    except OutagesError as error:
        print(error, file=sys.stderr)
        return 2
    with ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="acceptance-")))
        folder.mkdir(parents=True, exist_ok=True)
        url = options.database
        if url == "postgresql":
            url = stack.enter_context(throwaway_postgres()).url
        return asyncio.run(_accept(options, week, folder, url, stack))


async def _accept(options: argparse.Namespace, week: Week, folder: Path, url: str, stack: ExitStack) -> int:
    began = time.monotonic()
    clock = SteppedClock(folder / "clock", week.starts_at - timedelta(hours=2))
    data_dir = folder / "data"
    env = environment(data_dir, clock, url)
    run_command(
        env, "found", "--organisation-zh", ORGANISATION, "--organisation-en", ORGANISATION, "--time-zone", ZONE.key,
        "--employee-number", ADMINISTRATOR, "--name", "Administrator", "--password", PASSWORD,
    )  # fmt: skip
    outages, units = find_files(options.data)
    print(run_command(env, "import", str(units), "--mapping", str(MAPPINGS / "units.toml")).strip())
    print(run_command(env, "import", str(outages), "--mapping", str(MAPPINGS / "stations.toml")).strip())
    bases = stack.enter_context(servers(env, 2 if url else 1, folder))
    database = Database(url or f"sqlite+aiosqlite:///{data_dir / 'paigong.db'}")
    run = await _open_for_business(options, week, clock, bases, folder)
    await run.live()
    await run.deliver()
    figures = await _figures(database, run)
    await database.close()
    figures["seconds"] = round(time.monotonic() - began)
    print(" ".join(f"{name}={value}" for name, value in figures.items()))
    return 0 if _holds(figures) else 1


async def _open_for_business(
    options: argparse.Namespace, week: Week, clock: SteppedClock, bases: list[str], folder: Path
) -> Run:
    admin = Office(bases, ADMINISTRATOR).sign_in()
    hire(
        admin, number=DISPATCHER, name="Dispatcher", roles=["repair_dispatcher", "head"], skills=[], until=week.ends_at
    )
    dispatcher = Office(bases, DISPATCHER).sign_in()
    until = week.ends_at + timedelta(days=30)
    people: list[str] = []
    for number in range(TECHNICIANS):
        elevator = next(shift.elevator for shift in week.shifts if shift.technician == number)
        skills = ["escalator", "elevator"] if elevator else ["escalator"]
        people.append(
            hire(admin, number=f"T{number:02d}", name=f"Technician {number:02d}", roles=["technician"], skills=skills,
                 until=until)
        )  # fmt: skip
    roster(dispatcher, people, week.shifts, week.depot)
    unit_id = admin.get("/me")["unit_id"]
    _plan_inspections(dispatcher, week)
    technicians = [
        Technician(
            name=f"Technician {number:02d}", login=f"T{number:02d}",
            handset=await handset(
                login=f"T{number:02d}", base=bases[number % len(bases)], seed=options.seed * 1000 + number,
                code=admin.post(f"/people/{person}/enrolment-codes")["code"], folder=folder, now=clock.now,
            ),
            shifts=[(one.starts_at, one.ends_at) for one in week.shifts if one.technician == number],
        )
        for number, person in enumerate(people)
    ]  # fmt: skip
    return Run(week, clock, dispatcher, unit_id, technicians, options.seed)


def _plan_inspections(dispatcher: Office, week: Week) -> None:
    """Twenty stations have a monthly inspection whose month ends within the week."""
    versions = {template["key"]: template["version_id"] for template in dispatcher.get("/templates")}
    last_day = (week.starts_at + timedelta(days=5)).astimezone(ZONE).date()
    starts_on = last_day + timedelta(days=1) - relativedelta(months=1)
    for site in sorted(dispatcher.pages("/sites"), key=lambda one: one["number"])[:INSPECTED]:
        dispatcher.post(
            "/maintenance/plans",
            {
                "site_id": site["id"], "kind": "inspect_m", "template_version_id": versions["inspect_m_lift"],
                "recurrence": f"FREQ=MONTHLY;BYMONTHDAY={starts_on.day}", "starts_on": starts_on.isoformat(),
                "duration_minutes": 60, "required_skills": ["escalator"],
            },
        )  # fmt: skip


async def _figures(database: Database, run: Run) -> dict[str, Any]:
    await _wait_for_seals(database)
    deliveries = await count.count_deliveries(database, run.technicians)
    outcome = await count.count_requests(database)
    plans, illegal = await count.check_plans(database)
    proof = await count.verify_reports(database, run.dispatcher, run.clock.now)
    ledger = run.dispatcher.pages("/maintenance/ledger")
    nearest = dispatch_nearest_first(run.week)
    for title, lines in (
        ("never reached", outcome.unplanned), ("lost", deliveries.lost), ("duplicated", deliveries.duplicated),
        ("plans the referee refuses", illegal), ("reports", proof.faults),
        ("refused", [f"{times} × {what}" for what, times in deliveries.refusals.most_common()]),
    ):  # fmt: skip
        if lines:
            print(f"{title} ({len(lines)}):", *lines[:SHOWN], sep="\n  ")
    last_day = run.week.ends_at.date().isoformat()
    states = [item["state"] for item in ledger if item["period_until_on"] <= last_day]
    return {
        "requests": outcome.requests,
        "planned": outcome.planned,
        "arrived_48h": outcome.arrived_48h,
        "share_48h": round(outcome.arrived_48h / outcome.requests, 4),
        "share_48h_nearest_first": round(nearest.share(len(run.week.outages)), 4),
        "unplanned": len(outcome.unplanned),
        "plans": plans,
        "plans_illegal": len(illegal),
        "inspections_due": len(states),
        "inspections_done": states.count("done"),
        "mutations": deliveries.mutations,
        "applied": deliveries.statuses["applied"] + deliveries.statuses["merged"] + deliveries.statuses["noop"],
        "conflicts": deliveries.statuses["conflict"],
        "rejected": deliveries.statuses["rejected"] + deliveries.statuses["quarantined"],
        "lost": len(deliveries.lost),
        "duplicated": len(deliveries.duplicated),
        "forms": proof.forms,
        "pdfs_verified": proof.verified,
        "pdfsig_valid": proof.by_pdfsig if shutil.which("pdfsig") else PDFSIG_MISSING,
        "faults": sum(technician.handset.line.faults for technician in run.technicians),
        "phones_killed": sum(technician.handset.killed for technician in run.technicians),
    }


async def _wait_for_seals(database: Database) -> None:
    """Sealing is background work; give it time to finish."""
    for _ in range(SEALING_LOOKS):
        if not await count.tasks_waiting(database):
            return
        await asyncio.sleep(SEALING_PAUSE)


def _holds(figures: dict[str, Any]) -> bool:
    """Whether the run shows what it is there to show."""
    return (
        figures["lost"] == figures["duplicated"] == figures["plans_illegal"] == 0
        and 0 < figures["forms"] == figures["pdfs_verified"]
        and figures["pdfsig_valid"] in {figures["forms"], PDFSIG_MISSING}
        and figures["share_48h"] >= SHARE_LEAST
        and figures["inspections_done"] == figures["inspections_due"] > 0
        and figures["mutations"] > figures["forms"]
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
