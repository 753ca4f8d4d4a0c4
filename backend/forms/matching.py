"""Whether a signed form belongs to the work it is filed for.

Only ids and numbers are compared: names and addresses may have been corrected in the office while the phone was away.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.core.audit import AuditEntry
from backend.core.errors import NOT_FOUND, Finding, Problem
from backend.customers.models import Customer
from backend.customers.queries import survivor
from backend.forms.faults import FORM_NOT_CORRECTED, FORM_NUMBER_FOREIGN, FORM_OF_OTHER_WORK, TEMPLATE_UNFIT
from backend.forms.models import CompletionForm
from backend.forms.rules import SiteFlags
from backend.forms.shown import ShownForm
from backend.sites.models import Site


@dataclass(frozen=True, kw_only=True)
class FormSubject:
    """What a form is filed for, as the server knows it."""

    entity: str
    subject_id: UUID
    unit_id: UUID
    bucket: str
    site: Site
    order_numbers: frozenset[str]
    """The numbers the work order goes by: the server's, and the phone's if it was born on one."""
    foreign_templates: frozenset[str]
    """Keys of templates that belong to other kinds of work only."""

    @property
    def flags(self) -> SiteFlags:
        """What the site forbids."""
        return SiteFlags(no_photos=self.site.no_photos)


async def must_be_about(session: AsyncSession, form: ShownForm, about: FormSubject) -> None:
    """Refuse a form that names another order, site or customer, or whose template is for other work.

    A form names its order always, site and customer by id where the phone put them. Raises form_of_other_work and
    template_unfit.
    """
    wrong: list[Finding] = []
    if form.order_number not in about.order_numbers:
        wrong.append(Finding("order_number", "不是此次上门的工单号", "is not the number of this visit's order"))
    if form.site.id and await _standing(session, Site, form.site.id) != await _standing(session, Site, about.site.id):
        wrong.append(Finding("site.id", "不是此次上门的地点", "is not the site of this visit"))
    if form.customer.id and await _standing(session, Customer, form.customer.id) not in await _customers(
        session, about.site
    ):
        wrong.append(Finding("customer.id", "不是此地点的客户", "is not the customer of this site"))
    if wrong:
        raise Problem(FORM_OF_OTHER_WORK, *wrong)
    if form.template.key in about.foreign_templates:
        raise Problem(TEMPLATE_UNFIT)


def must_be_numbered_by(prefixes: frozenset[str], number: str) -> None:
    """Refuse a number that none of the phone's prefixes begins, so that no phone takes another's numbers."""
    prefix, _, count = number.rpartition("-")
    if prefix not in prefixes or not count.isdecimal():
        raise Problem(FORM_NUMBER_FOREIGN)


async def must_correct(session: AsyncSession, form: ShownForm, about: FormSubject, supersedes_id: UUID | None) -> None:
    """Refuse a correction of anything but a form of the same subject that nothing has corrected, named as it is shown.

    Two corrections of one form would both claim to be the truth; a dispatcher decides about the second. The caller
    holds the subject's lock.
    """
    if supersedes_id is None:
        _must_show(form, {""})
        return
    corrected = await session.get(CompletionForm, supersedes_id)
    if corrected is None or (corrected.entity, corrected.subject_id) != (about.entity, about.subject_id):
        raise Problem(FORM_NOT_CORRECTED, Finding("supersedes_id", "此次上门没有这份表单", "is no form of this visit"))
    _must_show(form, {corrected.device_number, corrected.number})
    earlier = select(CompletionForm.id).where(CompletionForm.supersedes_id == supersedes_id)
    if (await session.execute(earlier.limit(1))).first() is not None:
        raise Problem(FORM_NOT_CORRECTED, Finding("supersedes_id", "已有更正单", "was corrected already"))


def _must_show(form: ShownForm, numbers: set[str]) -> None:
    """Whoever signs a correction sees what it corrects."""
    if form.supersedes not in numbers:
        raise Problem(FORM_NOT_CORRECTED, Finding("supersedes", "与所更正的表单不符", "is not the form it corrects"))


async def _standing(session: AsyncSession, model: type[Site] | type[Customer], named: str | UUID) -> UUID | None:
    """The id of the record that stands for this one today; None for what is none of ours."""
    try:
        return (await survivor(session, model, UUID(str(named)))).id
    except ValueError:
        return None
    except Problem as problem:
        if problem.fault is not NOT_FOUND:
            raise
        return None


async def _customers(session: AsyncSession, site: Site) -> set[UUID | None]:
    """Whose the site is, and whose it was before: the phone may not have heard of a sale."""
    earlier = select(AuditEntry.before).where(AuditEntry.entity == "site", AuditEntry.subject_id == site.id)
    changes = (await session.execute(earlier)).scalars()
    named = {site.customer_id, *(before["customer_id"] for before in changes if before and "customer_id" in before)}
    return {await _standing(session, Customer, one) for one in named}
