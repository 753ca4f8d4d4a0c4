"""Wire structs of sign-in and people."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from backend.core.auth import PASSWORD_MAXIMUM

Login = Annotated[str, msgspec.Meta(min_length=1, max_length=254, description="Phone, employee number or e-mail.")]
Password = Annotated[str, msgspec.Meta(min_length=1, max_length=PASSWORD_MAXIMUM)]
Secret = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A sign-in by phone, employee number or e-mail; from a registered phone it names the device."""

    login: Login
    password: Password
    device_id: UUID | None = None


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refresh token; from a registered phone it names the device the token is bound to."""

    refresh_token: Secret
    device_id: UUID | None = None


class Tokens(msgspec.Struct, frozen=True):
    """What a sign-in gives: a short access token and the refresh token that follows it."""

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    person_id: UUID


class PermissionView(msgspec.Struct, frozen=True):
    """One thing the person may do."""

    area: str
    level: str
    reach: str


class Me(msgspec.Struct, frozen=True):
    """The signed-in person."""

    person_id: UUID
    name: str
    employee_number: str
    language: str
    unit_id: UUID
    roles: list[str]
    permissions: list[PermissionView]
