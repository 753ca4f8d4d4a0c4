"""`create_app(settings)`: the only place where things are joined."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from litestar import Litestar, Request, Router, get
from litestar.di import NamedDependency, Provide
from sqlalchemy import Select, false, or_, select, text, union
from sqlalchemy.ext.asyncio import AsyncSession

from backend.attachments import routes as attachments_routes
from backend.attachments import upload_routes
from backend.attachments.actions import ARRIVED
from backend.attachments.queries import SUBJECTS, Subject
from backend.attachments.store import blob_store
from backend.attachments.thumbnails import MAKE_THUMBNAIL, thumbnail_task
from backend.attachments.uploads import forget_old_incoming, forget_old_uploads
from backend.contracts import routes as contracts_routes
from backend.contracts.merges import move_contract_sites, move_contracts
from backend.core.api_docs import api_docs, api_docs_files
from backend.core.auth import Principal, public, signed_in
from backend.core.clock import clock_of
from backend.core.compression import COMPRESSION
from backend.core.events import HANDLE_EVENT, REACTIONS, event_task
from backend.core.housekeeping import HOUSEKEEPING, Forget, housekeeping_task, start_housekeeping
from backend.core.once import forget_old_creations, provide_once
from backend.core.paging import provide_page
from backend.core.problems import PROBLEM_HANDLERS
from backend.core.reading import StrictRequest, refuse_unknown_query
from backend.core.secret_files import key_in
from backend.core.sessions import Database
from backend.core.tasks import TaskHandler, Worker, forget_done_tasks
from backend.customers import queries as customers
from backend.customers import routes as customers_routes
from backend.devices import conflict_routes, prefetch_routes, quarantine_routes, wipe_routes
from backend.devices import routes as devices_routes
from backend.devices.compaction import forget_old_deletions
from backend.devices.hints import HintBoard
from backend.devices.service import SyncService, cookie_secret
from backend.dispatch import routes as dispatch_routes
from backend.dispatch import travel_routes
from backend.dispatch.child import Spares
from backend.dispatch.compiling import compile_search
from backend.dispatch.desk import Desk
from backend.dispatch.progress import PlanWatch
from backend.dispatch.queue import RUN_PLAN, QueueWorker, forget_old_steps
from backend.dispatch.runner import PlanRunner, Workshop, referee
from backend.dispatch.travel import Roads
from backend.dispatch.travel_cache import forget_old_blocks
from backend.dispatch.travel_timer import LEARN_TRAVEL, forget_old_models, learning_task, start_learning
from backend.followup import routes as followup_routes
from backend.followup.actions import move_follow_ups, plan_call_back
from backend.forms import routes as forms_routes
from backend.forms.actions import SEAL_FORM, seal_after_photos
from backend.forms.models import CompletionForm
from backend.forms.queries import readable
from backend.forms.seals import Sealer
from backend.imports import routes as imports_routes
from backend.jobs import routes as jobs_routes
from backend.jobs.models import Visit, WorkOrder
from backend.jobs.queries import orders_within, parts_used_on, quoted_on, visits_held
from backend.jobs.reactions import drop_orders, go_on_after_answer, move_orders, solve_case, wait_for_answer
from backend.jobs.reclaiming import tell_who_lost_it
from backend.maintenance import routes as maintenance_routes
from backend.maintenance.actions import reopen_due, settle_due
from backend.maintenance.plans import move_plans
from backend.maintenance.timer import MAINTENANCE_ROUND, round_task, start_rounds
from backend.notifications.actions import SEND_NOTIFICATION, OutboxFile, sending_task
from backend.parts import routes as parts_routes
from backend.parts.queries import vans_held
from backend.people import roster_routes
from backend.people import routes as people_routes
from backend.people.bearer import BearerMiddleware
from backend.people.queries import DUTIES
from backend.people.sign_in import forget_ended_sessions
from backend.requests import queries as requests
from backend.requests import routes as requests_routes
from backend.requests.merges import move_cases_to_customer, move_cases_to_site
from backend.requests.models import ServiceRequest
from backend.settings import Settings
from backend.sites import queries as sites
from backend.sites import routes as sites_routes
from backend.sites.actions import follow_contact, follow_customer, hand_over_sites

BODY_BYTES: Final = 10 * 1024 * 1024
"""The largest request body any route takes; routes that need less say so themselves."""
TOKEN_KEY_BYTES: Final = 32
TOKEN_KEY_FILE: Final = "token.key"  # noqa: S105 - a name, not the key

ROUTERS: Final[tuple[Router, ...]] = (
    people_routes.router,
    roster_routes.router,
    customers_routes.router,
    attachments_routes.router,
    upload_routes.router,
    sites_routes.router,
    forms_routes.router,
    parts_routes.router,
    contracts_routes.router,
    requests_routes.router,
    jobs_routes.router,
    maintenance_routes.router,
    followup_routes.router,
    dispatch_routes.router,
    travel_routes.router,
    imports_routes.router,
    devices_routes.router,
    conflict_routes.router,
    prefetch_routes.router,
    quarantine_routes.router,
    wipe_routes.router,
)


@get("/healthz", guards=[public], sync_to_thread=False, tags=["operations"])
def healthz() -> dict[str, str]:
    """Say that the process answers."""
    return {"status": "ok"}


@get("/readyz", guards=[public], tags=["operations"])
async def readyz(read: NamedDependency[AsyncSession]) -> dict[str, str]:
    """Say that the database answers and is migrated."""
    revision = (await read.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
    return {"status": "ready", "schema": revision}


def create_app(settings: Settings) -> Litestar:
    """Return the application; the database must be migrated already (see core/migrate.py)."""
    register_reactions()
    register_reach()
    database = Database(settings.database_url)
    hints = HintBoard(database, clock_of(settings).now)
    desk, plans = Desk(settings.planner_memory_mb), PlanWatch(database)
    return Litestar(
        route_handlers=[healthz, readyz, *ROUTERS, api_docs_files()],
        dependencies=_dependencies(settings, database, hints, desk) | {"plans": constant(plans)},
        middleware=[BearerMiddleware(database, clock_of(settings), read_token_key(settings.data_dir))],
        request_class=StrictRequest,
        before_request=refuse_unknown_query,
        exception_handlers=PROBLEM_HANDLERS,
        lifespan=[_lifespan(settings, database, hints, desk, plans)],
        request_max_body_size=BODY_BYTES,
        compression_config=COMPRESSION,
        openapi_config=api_docs(),
    )


def task_handlers(settings: Settings, database: Database) -> dict[str, TaskHandler]:
    """Return what the worker can do, by kind of task."""
    clock = clock_of(settings)
    return {
        HANDLE_EVENT: event_task(database, clock),
        HOUSEKEEPING: housekeeping_task(database, clock, _forgets(settings)),
        MAINTENANCE_ROUND: round_task(database, clock),
        SEAL_FORM: Sealer(database, clock, settings).run,
        SEND_NOTIFICATION: sending_task(database, clock, OutboxFile(settings.data_dir / "outbox.jsonl")),
    }


def _forgets(settings: Settings) -> tuple[Forget, ...]:
    uploads = forget_old_uploads(blob_store(settings))
    rows = forget_old_creations, forget_done_tasks, forget_ended_sessions, forget_old_deletions, forget_old_steps
    travel = forget_old_blocks, forget_old_models
    return *rows, *travel, uploads, forget_old_incoming(settings.blob_dir)


def thumbnail_handlers(settings: Settings, database: Database) -> dict[str, TaskHandler]:
    """Return what the worker of thumbnails can do; whoever asks for thousands keeps only thumbnails waiting."""
    return {MAKE_THUMBNAIL: thumbnail_task(database, clock_of(settings), blob_store(settings))}


def learning_handlers(settings: Settings, database: Database) -> dict[str, TaskHandler]:
    """Return what learns at night; a large road file asked for thousands of trips keeps nobody else waiting."""
    return {LEARN_TRAVEL: learning_task(database, clock_of(settings), settings.travel)}


def plan_worker(settings: Settings, database: Database, desk: Desk, spares: Spares) -> Worker | QueueWorker:
    """Return who makes plans; a long one must not keep forms and messages waiting.

    On SQLite plans are tasks of this process, and whole. On PostgreSQL they wait in a queue for any worker's machine.
    """
    cut_visits = None if database.on_sqlite else settings.planner_cut_visits
    roads = Roads(database, clock_of(settings), settings.travel)
    workshop = Workshop(settings.planner_memory_mb, spares, referee(desk), cut_visits, roads)
    runner = PlanRunner(database, clock_of(settings), workshop)
    poll_seconds = settings.task_poll_seconds
    if database.on_sqlite:
        return Worker(database, clock_of(settings), {RUN_PLAN: runner.run}, poll_seconds)
    return QueueWorker(database, runner.run, poll_seconds=poll_seconds, lease_seconds=settings.planner_lease_seconds)


async def work(settings: Settings) -> None:
    """Make plans until cancelled, without serving anybody: what another machine does for a server on PostgreSQL."""
    database, desk, spares = Database(settings.database_url), Desk(settings.planner_memory_mb), Spares()
    await spares.start()
    compiling = asyncio.create_task(compile_search(spares, desk))
    try:
        await plan_worker(settings, database, desk, spares).run()
    finally:
        await _cancelled([compiling])
        await spares.close()
        await desk.close()
        await database.close()


async def _cancelled(working: Sequence[asyncio.Task[None]]) -> None:
    """Cancel these and wait until they are over."""
    for one in working:
        one.cancel()
    await asyncio.gather(*working, return_exceptions=True)


def register_reactions() -> None:
    """Join what runs uphill: events of one capability, handled by one above it."""
    REACTIONS.on(ARRIVED, "seal_form", seal_after_photos)
    REACTIONS.on("person.deactivated", "hand_over_sites", hand_over_sites)
    REACTIONS.on("customer.merged", "follow_customer", follow_customer)
    REACTIONS.on("contact.merged", "follow_contact", follow_contact)
    REACTIONS.on("customer.merged", "move_contracts", move_contracts)
    REACTIONS.on("customer.merged", "move_cases", move_cases_to_customer)
    REACTIONS.on("customer.merged", "move_follow_ups", move_follow_ups)
    REACTIONS.on("site.merged", "move_contract_sites", move_contract_sites)
    REACTIONS.on("site.merged", "move_cases", move_cases_to_site)
    REACTIONS.on("site.merged", "move_orders", move_orders)
    REACTIONS.on("site.merged", "move_plans", move_plans)
    REACTIONS.on("service_request.closed", "plan_call_back", plan_call_back)
    REACTIONS.on("service_request.cancelled", "drop_orders", drop_orders)
    REACTIONS.on("service_request.closed", "drop_orders", drop_orders)
    REACTIONS.on("visit.taken_back", "tell_who_lost_it", tell_who_lost_it)
    REACTIONS.on("quote.offered", "wait_for_answer", wait_for_answer)
    REACTIONS.on("quote.answered", "go_on_after_answer", go_on_after_answer)
    REACTIONS.on("work_order.completed", "solve_case", solve_case)
    REACTIONS.on("completion_form.filed", "solve_case", solve_case)
    REACTIONS.on("work_order.completed", "settle_due", settle_due)
    REACTIONS.on("completion_form.filed", "settle_due", settle_due)
    REACTIONS.on("work_order.reopened", "reopen_due", reopen_due)


def register_reach() -> None:
    """Join what else runs uphill: what work leads to, what files may belong to, what leavers hold."""
    customers.REACHED["sites"] = sites.customers_of_sites
    sites.REACHED["orders"] = _sites_of_orders
    requests.REACHED["orders"] = _cases_of_orders
    requests.EVIDENCE["part_use"] = parts_used_on
    requests.EVIDENCE["quote"] = quoted_on
    DUTIES["site"] = sites.sites_owned
    DUTIES["key"] = sites.keys_held
    DUTIES["case"] = requests.open_cases_of
    DUTIES["visit"] = visits_held
    DUTIES["van"] = vans_held
    SUBJECTS["site"] = Subject("case", sites.site_ids, sites.site_file_bucket)
    SUBJECTS["asset"] = Subject("case", sites.asset_ids, sites.asset_file_bucket)
    SUBJECTS["service_request"] = Subject("case", _case_ids, _case_bucket)
    SUBJECTS["work_order"] = Subject("case", _order_ids, _order_bucket)
    SUBJECTS["visit"] = Subject("visit_form", _visit_ids, _visit_bucket)
    SUBJECTS["completion_form"] = Subject("visit_form", _form_ids, _form_bucket, fixed=True)


def _cases_of_orders(principal: Principal, _area: str, level: str, now: datetime) -> Select[Any]:
    """Ids of the Cases behind the work orders somebody may use: whoever is sent there may read why."""
    usable = orders_within(principal, "visit_form", level, now)
    return select(WorkOrder.request_id).where(WorkOrder.request_id.is_not(None), usable)


def _case_ids(principal: Principal, _area: str, level: str, now: datetime) -> Select[Any]:
    return select(ServiceRequest.id).where(requests.requests_within(principal, level, now))


async def _case_bucket(_session: AsyncSession, request_id: UUID, _kind: str) -> str | None:
    return f"request:{request_id}"


def _sites_of_orders(principal: Principal, area: str, level: str, now: datetime) -> Select[Any]:
    return select(WorkOrder.site_id).where(orders_within(principal, area, level, now))


def _order_ids(principal: Principal, area: str, level: str, now: datetime) -> Select[Any]:
    return select(WorkOrder.id).where(orders_within(principal, area, level, now))


async def _order_bucket(_session: AsyncSession, order_id: UUID, _kind: str) -> str | None:
    return f"job:{order_id}"


def _visit_ids(principal: Principal, area: str, level: str, now: datetime) -> Select[Any]:
    return select(Visit.id).where(Visit.work_order_id.in_(_order_ids(principal, area, level, now)))


async def _visit_bucket(session: AsyncSession, visit_id: UUID, _kind: str) -> str | None:
    return f"job:{(await session.get_one(Visit, visit_id)).work_order_id}"


def _form_ids(principal: Principal, area: str, level: str, now: datetime) -> Select[Any]:
    """Forms one may read; nobody adds a file to a form that was filed."""
    if level != "read":
        return select(CompletionForm.id).where(false())
    of_work = CompletionForm.subject_id.in_(
        union(_visit_ids(principal, area, level, now), _order_ids(principal, area, level, now))
    )
    return select(CompletionForm.id).where(or_(readable(principal), of_work))


async def _form_bucket(session: AsyncSession, form_id: UUID, _kind: str) -> str | None:
    return (await session.get_one(CompletionForm, form_id)).bucket


def read_token_key(data_dir: Path) -> bytes:
    """Return the key access tokens are signed with, made on first use; raises SettingsError for a damaged one."""
    return key_in(data_dir / TOKEN_KEY_FILE, TOKEN_KEY_BYTES)


def constant(value: object) -> Provide:
    """Return a dependency that is always this."""
    return Provide(lambda: value, sync_to_thread=False)


def _dependencies(settings: Settings, database: Database, hints: HintBoard, desk: Desk) -> dict[str, Provide]:
    clock = clock_of(settings)
    token_key = read_token_key(settings.data_dir)

    async def read() -> AsyncGenerator[AsyncSession]:
        async with database.read() as session:
            yield session

    async def write() -> AsyncGenerator[AsyncSession]:
        async with database.write() as session:
            yield session

    def principal(request: Request[Any, Any, Any]) -> Principal:
        return signed_in(request)

    return {
        "read": Provide(read),
        "write": Provide(write),
        "now": Provide(clock.now, sync_to_thread=False),
        "principal": Provide(principal, sync_to_thread=False),
        "once": Provide(provide_once, sync_to_thread=False),
        "page": Provide(provide_page, sync_to_thread=False),
        "database": constant(database),
        "hints": constant(hints),
        "desk": constant(desk),
        "roads": constant(Roads(database, clock, settings.travel)),
        "settings": constant(settings),
        "token_key": constant(token_key),
        "sync": constant(SyncService(database, clock.now, cookie_secret(token_key))),
    }


def _lifespan(settings: Settings, database: Database, hints: HintBoard, desk: Desk, plans: PlanWatch) -> Any:
    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncGenerator[None]:
        async with database.write() as session:
            await start_rounds(session, now=clock_of(settings).now())
            await start_housekeeping(session, now=clock_of(settings).now())
            await start_learning(session, now=clock_of(settings).now())
        spares, workers = Spares(), list[Worker | QueueWorker]()
        if settings.task_poll_seconds:
            clock, poll_seconds = clock_of(settings), settings.task_poll_seconds
            kinds = task_handlers, thumbnail_handlers, learning_handlers
            workers += [Worker(database, clock, kind(settings, database), poll_seconds) for kind in kinds]
            workers.append(plan_worker(settings, database, desk, spares))
            await spares.start()
            await desk.start()
        working = [asyncio.create_task(worker.run()) for worker in workers]
        if workers:
            working.append(asyncio.create_task(compile_search(spares, desk)))
        try:
            yield
        finally:
            await _cancelled(working)
            await spares.close()
            await desk.close()
            await plans.close()
            await hints.close()
            await database.close()

    return lifespan
