"""Reads of people."""

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.auth import Principal
from backend.people.models import Person, Role, RoleGrant
from backend.people.schemas import Me, PermissionView


async def me(session: AsyncSession, principal: Principal) -> Me:
    """Return the signed-in person's own view."""
    person = await session.get_one(Person, principal.person_id)
    held = select(Role.key).join(RoleGrant, RoleGrant.role_id == Role.id).where(RoleGrant.person_id == person.id)
    return Me(
        person_id=person.id, name=person.name, employee_number=person.employee_number, language=person.language,
        unit_id=person.unit_id, roles=sorted((await session.execute(held)).scalars()),
        permissions=[
            PermissionView(area=grant.permission.area, level=grant.permission.level, reach=grant.permission.reach)
            for grant in principal.grants
        ],
    )  # fmt: skip
