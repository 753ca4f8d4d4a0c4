"""Tables of the organisation and its people."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from backend.core.changes import synced
from backend.core.db import Imported, Row, personal


class Unit(Row, Imported):
    """An organisation unit: region, outlet, department or partner company. Every scoped row belongs to one."""

    __tablename__ = "unit"

    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("unit.id"))
    kind: Mapped[str] = mapped_column(String(20))
    name_zh: Mapped[str]
    name_en: Mapped[str]
    calendar_id: Mapped[UUID | None] = mapped_column(ForeignKey("working_calendar.id"))
    time_zone: Mapped[str] = mapped_column(String(40))


@synced("user:{id}")
class Person(Row, Imported):
    """An employee or an external technician. Deactivated when they leave, never deleted."""

    __tablename__ = "person"

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"), index=True)
    employee_number: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(info=personal("name", "employment"))
    phone: Mapped[str | None] = mapped_column(String(20), unique=True, info=personal("contact", "employment"))
    email: Mapped[str | None] = mapped_column(String(254), unique=True, info=personal("contact", "employment"))
    password_hash: Mapped[str | None] = mapped_column(info={"private": True})
    language: Mapped[str] = mapped_column(String(5))
    external: Mapped[bool]
    active: Mapped[bool]
    deactivated_at: Mapped[datetime | None]
    home_lat: Mapped[float | None] = mapped_column(info=personal("location", "employment") | {"private": True})
    home_lon: Mapped[float | None] = mapped_column(info=personal("location", "employment") | {"private": True})
    location_consent_at: Mapped[datetime | None]


class PersonContactPoint(Row):
    """A further way to reach an employee, with the consent it rests on."""

    __tablename__ = "person_contact_point"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    kind: Mapped[str] = mapped_column(String(20))
    address: Mapped[str] = mapped_column(String(254), info=personal("contact", "employment"))
    consented_at: Mapped[datetime | None]


class Role(Row):
    """A role as data: a list of permissions (area, level, reach), and the work-order queues reach `kind` stands for."""

    __tablename__ = "role"
    __table_args__ = (UniqueConstraint("key", "version"),)

    key: Mapped[str] = mapped_column(String(60))
    version: Mapped[int]
    name_zh: Mapped[str]
    name_en: Mapped[str]
    side: Mapped[str] = mapped_column(String(10))
    """field, office, customer or outside."""
    permissions: Mapped[list[Any]]
    queues: Mapped[list[Any]]


class RoleGrant(Row):
    """A person holds a role within a unit for a time."""

    __tablename__ = "role_grant"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    role_id: Mapped[UUID] = mapped_column(ForeignKey("role.id"))
    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]


class Crew(Row, Imported):
    """A crew (小组) that looks after sites together."""

    __tablename__ = "crew"

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    name: Mapped[str]
    active: Mapped[bool]


@synced("user:{person_id}")
class CrewMember(Row):
    """Somebody's time in a crew; the leader (班长) claims work and names people. Phones hold their owner's."""

    __tablename__ = "crew_member"

    crew_id: Mapped[UUID] = mapped_column(ForeignKey("crew.id"), index=True)
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    leads: Mapped[bool]
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]


class Skill(Row):
    """A skill work may require; some count only with a certificate valid on the day (A209)."""

    __tablename__ = "skill"

    key: Mapped[str] = mapped_column(String(60), unique=True)
    name_zh: Mapped[str]
    name_en: Mapped[str]
    needs_certificate: Mapped[bool]


class PersonSkill(Row):
    """A skill somebody holds for a time, by certificate where there is one (A209)."""

    __tablename__ = "person_skill"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    skill_id: Mapped[UUID] = mapped_column(ForeignKey("skill.id"))
    certificate_number: Mapped[str | None] = mapped_column(String(60))
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]


class Shift(Row, Imported):
    """Working time of one person, the place it starts and ends from, its breaks [{"start_at", "end_at", "minutes"}]."""

    __tablename__ = "shift"
    __table_args__ = (
        CheckConstraint("ends_at > starts_at", name="order"),
        Index("ix_shift_person", "person_id", "starts_at"),
    )

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    start_lat: Mapped[float] = mapped_column(info=personal("location", "employment"))
    start_lon: Mapped[float] = mapped_column(info=personal("location", "employment"))
    breaks: Mapped[list[Any]]
    overtime_minutes: Mapped[int]
    vehicle_id: Mapped[UUID | None] = mapped_column(ForeignKey("vehicle.id"))


class Absence(Row):
    """Time somebody is not available: ill, on leave, in training."""

    __tablename__ = "absence"
    __table_args__ = (CheckConstraint("ends_at > starts_at", name="order"),)

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(20), info=personal("health", "employment"))
    note: Mapped[str | None] = mapped_column(info=personal("health", "employment"))


class Territory(Row):
    """An area somebody serves, as a GeoJSON polygon or a list of districts."""

    __tablename__ = "territory"

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    name_zh: Mapped[str]
    name_en: Mapped[str]
    area: Mapped[dict[str, Any]]


class TerritoryMember(Row):
    """A person or crew serves a territory for a time."""

    __tablename__ = "territory_member"
    __table_args__ = (CheckConstraint("(person_id IS NULL) <> (crew_id IS NULL)", name="one_holder"),)

    territory_id: Mapped[UUID] = mapped_column(ForeignKey("territory.id"), index=True)
    person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    crew_id: Mapped[UUID | None] = mapped_column(ForeignKey("crew.id"))
    valid_from: Mapped[datetime]
    valid_until: Mapped[datetime | None]


class Vehicle(Row):
    """A vehicle; holiday duty needs one (A046, A080)."""

    __tablename__ = "vehicle"

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    plate: Mapped[str] = mapped_column(String(20), unique=True)
    active: Mapped[bool]


class DutySlot(Row):
    """Who is on call, who is the backup, on which phone and with which vehicle; apart from shifts (A041, A046)."""

    __tablename__ = "duty_slot"
    __table_args__ = (CheckConstraint("ends_at > starts_at", name="order"),)

    unit_id: Mapped[UUID] = mapped_column(ForeignKey("unit.id"))
    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    backup_person_id: Mapped[UUID | None] = mapped_column(ForeignKey("person.id"))
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]
    phone: Mapped[str] = mapped_column(String(20), info=personal("contact", "employment"))
    vehicle_id: Mapped[UUID | None] = mapped_column(ForeignKey("vehicle.id"))


class Device(Row):
    """A registered phone. A lost one is revoked and told to wipe; a re-installed app is a new incarnation."""

    __tablename__ = "device"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    prefix: Mapped[str] = mapped_column(String(8), unique=True)
    """Begins every number this phone prints on a form, for ever."""
    public_key: Mapped[str]
    name: Mapped[str] = mapped_column(String(120))
    app_version: Mapped[str] = mapped_column(String(40))
    schema_version: Mapped[int]
    incarnation: Mapped[UUID]
    """The numbering its mutations have now; devices/models.py has those before."""
    incarnations: Mapped[int]
    view_revision: Mapped[int]
    """Counts what it was sent, so that two answers at a time cannot both be believed."""
    enrolled_at: Mapped[datetime]
    last_seen_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    wiped_at: Mapped[datetime | None]


class EnrolmentCode(Row):
    """A one-use code that lets a person register a phone."""

    __tablename__ = "enrolment_code"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"))
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class PasswordReset(Row):
    """A one-use code an administrator hands over; with it a person sets a password nobody else knows."""

    __tablename__ = "password_reset"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    code_hash: Mapped[str] = mapped_column(String(64), unique=True)
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class SignInSession(Row):
    """A sign-in and its rotating refresh token (see people/rules.py, `rotate`).

    `previous_hash` is the token used last; `next_hashes` are those it was exchanged for and of which none was used yet.
    """

    __tablename__ = "sign_in_session"

    person_id: Mapped[UUID] = mapped_column(ForeignKey("person.id"), index=True)
    device_id: Mapped[UUID | None] = mapped_column(ForeignKey("device.id"))
    previous_hash: Mapped[str | None] = mapped_column(String(64))
    next_hashes: Mapped[list[Any]]
    address: Mapped[str] = mapped_column(String(45), info=personal("location", "sign_in"))
    started_at: Mapped[datetime]
    last_used_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class SignInAttempt(Row):
    """A sign-in that failed or is being checked; too many by account or address are refused for a while."""

    __tablename__ = "sign_in_attempt"

    at: Mapped[datetime] = mapped_column(index=True)
    account: Mapped[str] = mapped_column(String(64))
    """sha256 of the person's id, or of the unknown name offered."""
    address: Mapped[str] = mapped_column(String(45), info=personal("location", "sign_in"))
