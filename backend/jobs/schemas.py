"""Wire structs of work orders and visits, and what actions are told."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from backend.jobs.rules import EventKind
from backend.sites.datum import Datum

DURATION_MAXIMUM: Final = 30 * 24 * 60
"""Minutes on site; the longest job in the presets takes half a day."""
TITLE_MAXIMUM: Final = 200
TEXT_MAXIMUM: Final = 4000
SKILLS_MAXIMUM: Final = 20
CREW_MAXIMUM: Final = 20
TECHNICIANS_MAXIMUM: Final = 8
"""People an order may need at once: as many as the planner brings together."""
LINES_MAXIMUM: Final = 100
FEN_MAXIMUM: Final = 100_000_000
"""The largest amount, a million yuan, in fen."""

NO_NUL: Final = r"^[^\x00]*$"
"""PostgreSQL keeps no NUL in texts."""
SAYS_SOMETHING: Final = r"^[^\x00]*[^\s\x00][^\x00]*$"

Key = Annotated[str, msgspec.Meta(min_length=1, max_length=60, pattern="^[A-Za-z][A-Za-z0-9_]*$")]
Kind = Annotated[str, msgspec.Meta(min_length=1, max_length=20, pattern="^[a-z][a-z0-9_]*$")]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=TITLE_MAXIMUM, pattern=SAYS_SOMETHING)]
Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAXIMUM, pattern=NO_NUL)]
Said = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAXIMUM, pattern=SAYS_SOMETHING)]
Reason = Annotated[str, msgspec.Meta(min_length=1, max_length=TITLE_MAXIMUM, pattern=SAYS_SOMETHING)]
Channel = Annotated[str, msgspec.Meta(min_length=1, max_length=20, pattern=SAYS_SOMETHING)]
Minutes = Annotated[int, msgspec.Meta(ge=1, le=DURATION_MAXIMUM)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
CrewSize = Annotated[int, msgspec.Meta(ge=1, le=TECHNICIANS_MAXIMUM)]
Skills = Annotated[list[Key], msgspec.Meta(max_length=SKILLS_MAXIMUM)]
Fen = Annotated[int, msgspec.Meta(ge=0, le=FEN_MAXIMUM)]
PaidFen = Annotated[int, msgspec.Meta(ge=1, le=FEN_MAXIMUM)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Latitude = Annotated[float, msgspec.Meta(ge=-90, le=90)]
Longitude = Annotated[float, msgspec.Meta(ge=-180, le=180)]
DeviceNumber = Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern=SAYS_SOMETHING)]
Serial = Annotated[str, msgspec.Meta(min_length=1, max_length=120, pattern=SAYS_SOMETHING)]


class Refusing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A request body: a field nobody knows is refused."""


class NewWorkOrder(Refusing, frozen=True, kw_only=True):
    """A work order to open. What is left out comes from the request, the kind's preset and the site.

    `id` and `device_number` are given when it was born on a phone. `due_at` is when somebody must have arrived; left
    out, it is the limit of the request's arrive clock.
    """

    site_id: UUID
    kind: Kind
    title: Title
    description: Text = ""
    id: UUID | None = None
    device_number: DeviceNumber | None = None
    request_id: UUID | None = None
    asset_id: UUID | None = None
    priority: Key | None = None
    required_skills: Skills | None = None
    duration_minutes: Minutes | None = None
    technicians: CrewSize | None = None
    form_template_version_id: UUID | None = None
    earliest_at: Instant | None = None
    parts_ready_at: Instant | None = None
    due_at: Instant | None = None
    window_starts_at: Instant | None = None
    window_ends_at: Instant | None = None


class WorkOrderPatch(Refusing, frozen=True, kw_only=True):
    """What the office may change on a work order; a field left out stays."""

    title: Title | UnsetType = UNSET
    description: Text | UnsetType = UNSET
    asset_id: UUID | UnsetType | None = UNSET
    priority: Key | UnsetType = UNSET
    required_skills: Skills | UnsetType = UNSET
    technicians: CrewSize | UnsetType = UNSET
    earliest_at: Instant | UnsetType | None = UNSET
    parts_ready_at: Instant | UnsetType | None = UNSET
    due_at: Instant | UnsetType | None = UNSET


class NewVisit(Refusing, frozen=True, kw_only=True):
    """Another trip for an order."""

    duration_minutes: Minutes | None = None
    window_starts_at: Instant | None = None
    window_ends_at: Instant | None = None


class VisitPatch(Refusing, frozen=True, kw_only=True):
    """A visit's window or duration. A changed window has to be told to the customer again."""

    duration_minutes: Minutes | UnsetType = UNSET
    window_starts_at: Instant | UnsetType | None = UNSET
    window_ends_at: Instant | UnsetType | None = UNSET


class Assign(Refusing, frozen=True, kw_only=True):
    """Who goes: a person, or a crew whose leader names people. Who leads replaces the lead before them (A058).

    `even_begun` when that one is on the way or at work already.
    """

    person_id: UUID | None = None
    crew_id: UUID | None = None
    leads: bool = True
    shift_id: UUID | None = None
    departs_at: Instant | None = None
    arrives_at: Instant | None = None
    ends_at: Instant | None = None
    pinned: bool = False
    even_begun: bool = False
    reason: Reason | None = None


class Withdraw(Refusing, frozen=True, kw_only=True):
    """Everybody, or one person, is taken off a visit; `even_begun` when the lead is on the way or at work already."""

    reason: Reason
    person_id: UUID | None = None
    even_begun: bool = False


class Claim(Refusing, frozen=True, kw_only=True):
    """A crew leader takes the crew's visit and names who goes (A056)."""

    lead_id: UUID
    helper_ids: Annotated[list[UUID], msgspec.Meta(max_length=CREW_MAXIMUM)] = []


class Tell(Refusing, frozen=True, kw_only=True):
    """The customer was told the window. If the customer asked for this time, it replaces the limit to arrive (A036)."""

    channel: Channel
    asked_by: Literal["customer", "us"]
    reason: Text = ""


class Because(Refusing, frozen=True, kw_only=True):
    """Why something is cancelled."""

    reason: Reason


class EventEntry(Refusing, frozen=True, kw_only=True):
    """An event reported by web. `person_id` is whose part it is, if not one's own; `claimed_at` when it happened."""

    kind: EventKind
    person_id: UUID | None = None
    claimed_at: Instant | None = None
    reason: Key | None = None
    note: Said | None = None
    next_step: Said | None = None
    next_at: Instant | None = None
    amends_id: UUID | None = None
    lat: Latitude | None = None
    lon: Longitude | None = None
    datum: Datum = "wgs84"


class ExpectedEndEntry(Refusing, frozen=True, kw_only=True):
    """When a visit under way is expected to be over."""

    expected_ends_at: Instant
    note: Said | None = None


class ExpectedEndView(msgspec.Struct, frozen=True):
    """An expected end as reported."""

    id: UUID
    visit_id: UUID
    expected_ends_at: datetime
    reported_at: datetime
    reported_by_id: UUID | None
    note: str | None


class VisitEventReport(msgspec.Struct, frozen=True, kw_only=True):
    """An event of one person on one visit as the server takes it in, from the web or from a phone.

    For `amend`, `claimed_at` is the right time of the event `amends_id`; for `revert`, `amends_id` did not happen.
    `effective_at` and `time_flagged` come from `sync.clock.effective_time`; by web an event happens when reported.
    """

    visit_id: UUID
    person_id: UUID
    kind: EventKind
    claimed_at: datetime
    device_at: datetime
    effective_at: datetime
    time_flagged: bool = False
    id: UUID | None = None
    reason: str | None = None
    note: str | None = None
    next_step: str | None = None
    next_at: datetime | None = None
    amends_id: UUID | None = None
    lat: float | None = None
    lon: float | None = None
    datum: Datum = "wgs84"


class NoteEntry(Refusing, frozen=True, kw_only=True):
    """A note on an order, possibly about one of its visits."""

    text: Said
    visit_id: UUID | None = None


class PartUseEntry(Refusing, frozen=True, kw_only=True):
    """A part built in on a visit, taken from the person's van."""

    part_id: UUID
    quantity: Count
    serial: Serial | None = None
    old_part_to: Key | None = None
    used_at: Instant | None = None


class WorkOrderView(msgspec.Struct, frozen=True, kw_only=True):
    """A work order."""

    id: UUID
    unit_id: UUID
    number: str
    device_number: str | None
    request_id: UUID | None
    site_id: UUID
    asset_id: UUID | None
    kind: str
    origin: str
    queue: str
    priority: str
    title: str
    description: str
    form_template_version_id: UUID | None
    required_skills: list[Any]
    duration_minutes: int
    technicians: int
    earliest_at: datetime | None
    parts_ready_at: datetime | None
    due_at: datetime | None
    state: str
    needs_approval: bool
    approved_at: datetime | None
    approved_by_id: UUID | None
    cause: str | None
    completed_at: datetime | None
    cancelled_reason: str | None


class VisitView(msgspec.Struct, frozen=True, kw_only=True):
    """A visit."""

    id: UUID
    work_order_id: UUID
    sequence: int
    continues_id: UUID | None
    duration_minutes: int
    window_starts_at: datetime | None
    window_ends_at: datetime | None
    told_at: datetime | None
    state: str
    outcome: str | None
    reason: str | None
    arrived_at: datetime | None
    finished_at: datetime | None
    cancelled_at: datetime | None
    cancelled_reason: str | None


class VisitEventView(msgspec.Struct, frozen=True, kw_only=True):
    """One event with its three times."""

    id: UUID
    visit_id: UUID
    person_id: UUID
    device_id: UUID | None
    sequence: int
    kind: str
    claimed_at: datetime
    device_at: datetime
    server_at: datetime
    effective_at: datetime
    time_flagged: bool
    late: bool
    reason: str | None
    note: str | None
    next_step: str | None
    next_at: datetime | None
    amends_id: UUID | None
    lat: float | None
    lon: float | None
    datum: str | None
    position_source: str | None


class AttendanceView(msgspec.Struct, frozen=True, kw_only=True):
    """One person's part in a visit."""

    visit_id: UUID
    person_id: UUID
    leads: bool
    state: str
    contacted_at: datetime | None
    departed_at: datetime | None
    arrived_at: datetime | None
    started_at: datetime | None
    paused_at: datetime | None
    finished_at: datetime | None


class AssignmentView(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment; withdrawn ones stay visible."""

    id: UUID
    visit_id: UUID
    person_id: UUID | None
    crew_id: UUID | None
    leads: bool
    shift_id: UUID | None
    plan_id: UUID | None
    pinned: bool
    departs_at: datetime | None
    arrives_at: datetime | None
    ends_at: datetime | None
    slack_seconds: int | None
    assigned_at: datetime
    withdrawn_at: datetime | None
    withdrawn_reason: str | None


class NoteView(msgspec.Struct, frozen=True, kw_only=True):
    """A note."""

    id: UUID
    work_order_id: UUID
    visit_id: UUID | None
    person_id: UUID
    text: str
    written_at: datetime
    server_at: datetime


class PartUseView(msgspec.Struct, frozen=True, kw_only=True):
    """A part built in."""

    id: UUID
    work_order_id: UUID
    visit_id: UUID
    person_id: UUID
    part_id: UUID
    quantity: int
    serial: str | None
    old_part_to: str | None
    used_at: datetime
    late: bool


class EventAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a reported event: `applied`, `noop` (it was already so) or `late` (kept as a late report)."""

    status: Literal["applied", "noop", "late"]
    event: VisitEventView | None
    visit: VisitView


class LastInspection(msgspec.Struct, frozen=True, kw_only=True):
    """The latest finished periodic visit of a kind at the site, to look back at when a fault is reported (A147)."""

    kind: str
    work_order_id: UUID
    number: str
    completed_at: datetime


class WorkOrderDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A work order with everything that happened on it."""

    order: WorkOrderView
    visits: list[VisitView]
    assignments: list[AssignmentView]
    attendances: list[AttendanceView]
    events: list[VisitEventView]
    notes: list[NoteView]
    part_uses: list[PartUseView]
    last_inspections: list[LastInspection]


class MyVisit(msgspec.Struct, frozen=True, kw_only=True):
    """A visit of the signed-in person, with what is needed to go there."""

    visit: VisitView
    assignment: AssignmentView
    order: WorkOrderView
    site_name: str
    address: str
    lat: float | None
    lon: float | None
    time_zone: str
    access_notes: str
