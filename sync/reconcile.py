"""The reconcile service: what a phone holds is compared with what it should hold, and only the differences are sent.

Nothing is remembered between questions. The phone names the check of every bucket it holds; of those that differ the
server asks for the rows, and of those listed it sends what is missing or different. The phone takes an answer into a
copy of its rows and asks again, until a snapshot agrees with the copy in every bucket once the answer is taken: then
there is a cookie, and the copy belongs to that instant.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sync.cursor import Cookie, seal
from sync.feed import Position, Scope, View, Want, entry_sum, kept
from sync.limits import PULL_ENTRIES
from sync.pages import Draft, Page, Puller, admitted, answered
from sync.protocol import Check, Del, PullAnswer, ReconcileRequest
from sync.schemas import SHIPPED, Schemas, seen_by
from sync.store import DeviceState, Snapshot, Store

EMPTY: Final = Check(0, 0)


async def reconcile(
    store: Store[Any],
    *,
    puller: Puller,
    request: ReconcileRequest,
    now: datetime,
    new_id: Callable[[], str],
    schemas: Schemas = SHIPPED,
) -> PullAnswer | None:
    """Answer an inventory; without a cookie in the answer, the phone asks again. It has the access of a pull.

    Raises Refusal 404 `unknown_device`, 409 `unknown_incarnation`, 503 `busy`.
    """

    async def draft(snapshot: Snapshot) -> Draft:
        found = await snapshot.device(puller.device, request.incarnation)
        state, acked_n, notice = admitted(found, request.schema, schemas)
        if notice is not None:
            return Draft(PullAnswer(of=request.of, v=state.v, notices=(notice,)))
        seen = seen_by(snapshot, schemas, request.schema)
        scope = await seen.scope(state.person, now)
        page = Page.within(seen, request.max_bytes)
        unlisted, all_sent = await _compared(request, scope, page)
        if unlisted or not all_sent:
            return Draft(PullAnswer(of=request.of, v=state.v, ops=page.ops, inventory=unlisted))
        view = View(new_id(), state.v, dict.fromkeys(scope.heads, state.v), scope.valid_until, now)
        return _Agreed(puller, request, state, acked_n, scope, view).draft(page)

    return await answered(store, puller.device, draft, now)


async def _compared(request: ReconcileRequest, scope: Scope, page: Page) -> tuple[tuple[str, ...], bool]:
    """Fill the page with differences; return the buckets whose rows are needed, and whether all the others are sent."""
    page.drop(sorted(request.checks.keys() - scope.heads.keys()))
    unlisted: list[str] = []
    all_sent = True
    for name, head in sorted(scope.heads.items()):
        if request.checks.get(name, EMPTY) == Check(head.count, head.checksum):
            continue
        if request.checks.get(name, EMPTY) != EMPTY and name not in request.rows:
            unlisted.append(name)
        elif all_sent:
            all_sent = await _differences(page, name, request.rows.get(name, {}))
    return tuple(unlisted), all_sent


async def _differences(page: Page, bucket: str, listed: Mapping[str, int]) -> bool:
    """Add what is different in one bucket; return whether the page held all of it."""
    gone = dict(listed)
    after: Position | None = None
    while True:
        entries = await page.snapshot.entries(Want((bucket,), (), 0), after, PULL_ENTRIES)
        for entry in entries:
            after = entry.position
            if gone.pop(f"{entry.entity}/{entry.row}", None) == entry_sum(entry.entity, entry.row, entry.body.decode()):
                continue
            if page.budget <= 0:
                return False
            page.add(entry)
        if len(entries) < PULL_ENTRIES:
            break
    for place in sorted(gone):
        entity, _, row = place.partition("/")
        page.ops.append(Del(bucket, entity, row))
    return True


@dataclass(frozen=True)
class _Agreed:
    """The last answer: with it, the phone holds its scope at this instant."""

    puller: Puller
    request: ReconcileRequest
    state: DeviceState
    acked_n: int
    scope: Scope
    view: View

    def draft(self, page: Page) -> Draft:
        """Return the answer, and the view it makes."""
        state, request = self.state, self.request
        cookie = Cookie(
            state.epoch, state.v, self.view.generation, request.schema, request.incarnation, self.acked_n,
            state.durable_n,
        )  # fmt: skip
        answer = PullAnswer(
            of=request.of, v=state.v, ops=page.ops, acked_n=self.acked_n, durable_n=state.durable_n,
            checks={name: Check(head.count, head.checksum) for name, head in sorted(self.scope.heads.items())},
            cookie=seal(cookie, secret=self.puller.secret, device=self.puller.device),
        )  # fmt: skip
        return Draft(answer, self.view, kept(state.views.values(), ()), state.revision, complete=True)
