"""The pull service: what changed in a person's scope since the phone last looked, as rows to put, delete and drop.

A page reads one snapshot. A short second transaction then stores what the device was sent, by compare-and-set, before
the answer goes out. An answer that does not fit in one page is continued by a token; when the last row of that round is
out, a tail sends what became newer meanwhile and compares the scope again, so a finished pull belongs to one instant.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sync.cursor import Cookie, PageToken, seal, unseal
from sync.feed import Plan, Position, Scope, View, compare, kept, unsent
from sync.pages import Draft, Page, Puller, admitted, answered
from sync.protocol import Check, Notice, PullAnswer, PullRequest, Refusal, position_digest
from sync.schemas import SHIPPED, Schemas, seen_by
from sync.store import DeviceState, Snapshot, Store


async def pull(
    store: Store[Any],
    *,
    puller: Puller,
    request: PullRequest,
    now: datetime,
    new_id: Callable[[], str],
    schemas: Schemas = SHIPPED,
) -> PullAnswer | None:
    """Answer a pull, or None (204) when the phone already has everything.

    Raises Refusal 400 `bad_cookie`, 404 `unknown_device`, 409 `unknown_incarnation` or `page_expired`, 503 `busy`.
    """

    async def draft(snapshot: Snapshot) -> Draft:
        seen = seen_by(snapshot, schemas, request.schema)
        return await _Pull(seen, puller, request, now, new_id, schemas).draft()

    return await answered(store, puller.device, draft, now)


@dataclass(frozen=True)
class _Start:
    """Where the phone stands: what it holds (None: nothing), or the round of an unfinished pull it goes on with."""

    held: View | None
    cookie: Cookie | None = None
    stage: View | None = None
    after: Position | None = None
    rewound: bool = False
    unknown: bool = False
    """Whether the phone holds something, and only the server does not know any more what."""

    @property
    def reset(self) -> bool:
        """Whether the phone begins with nothing."""
        return self.held is None and self.stage is None

    def told(self, incarnation: str, state: DeviceState) -> bool:
        """Whether the phone knows how far its work is acknowledged, and how far a backup holds it."""
        acknowledged = self.cookie is not None and self.cookie.acked_n == state.acked_n
        return acknowledged and self.told_durable(incarnation, state)

    def told_durable(self, incarnation: str, state: DeviceState) -> bool:
        """Whether the phone knows how far a backup holds its work."""
        return self.cookie is not None and (self.cookie.incarnation, self.cookie.durable_n) == (
            incarnation, state.durable_n,
        )  # fmt: skip

    def nothing_happened(self, v: int, now: datetime) -> bool:
        """Whether the clock stands where it stood: neither rows nor, before `valid_until`, the scope can differ."""
        until = self.held.valid_until if self.held else None
        return self.cookie is not None and self.cookie.v == v and (until is None or now < until)


@dataclass(frozen=True)
class _Pull:
    snapshot: Snapshot
    puller: Puller
    request: PullRequest
    now: datetime
    new_id: Callable[[], str]
    schemas: Schemas

    async def draft(self) -> Draft:
        """Answer from this snapshot."""
        found = await self.snapshot.device(self.puller.device, self.request.incarnation)
        state, acked_n, notice = admitted(found, self.request.schema, self.schemas)
        if notice is not None:
            return Draft(PullAnswer(of=self.of, v=state.v, notices=(notice,)))
        start = _start(state, self.puller, self.request)
        if (start.unknown or start.rewound) and self.request.reconciles:
            notices = (Notice.RECONCILE, Notice.REWIND) if start.rewound else (Notice.RECONCILE,)
            return Draft(PullAnswer(of=self.of, v=state.v, notices=notices))
        return await self._changes(state, acked_n, start)

    async def _changes(self, state: DeviceState, acked_n: int, start: _Start) -> Draft:
        told = start.told(self.request.incarnation, state)
        if told and start.nothing_happened(state.v, self.now):
            return Draft(None)
        scope = await self.snapshot.scope(state.person, self.now)
        page = Page.within(self.snapshot, self.request.max_bytes)
        round_ = _Round(self, state, acked_n, start, scope, page)
        if start.stage is not None:
            return await round_.continued(start.stage, start.after)
        held = start.held
        plan = compare(held.buckets if held else (), held.v if held else 0, scope)
        if plan.empty and held is not None:
            return Draft(None if told else round_.same_view(held))
        return await round_.tail(plan)

    @property
    def of(self) -> str:
        """The place in the feed that is answered."""
        return position_digest(self.request)


def begins_anew(state: DeviceState, puller: Puller, request: PullRequest) -> bool:
    """Whether a phone is at its beginning, or shows nothing that is known of it: it is sent all of its scope.

    Raises Refusal 400 `bad_cookie`, 409 `page_expired`.
    """
    return request.page is not None or _start(state, puller, request).held is None


def _start(state: DeviceState, puller: Puller, request: PullRequest) -> _Start:
    page, cookie = request.page, request.cookie
    if page is not None:
        return _stage(state, unseal(page, PageToken, secret=puller.secret, device=puller.device), request.schema)
    if cookie is None:
        return _Start(None)
    shown = unseal(cookie, Cookie, secret=puller.secret, device=puller.device)
    if shown.epoch != state.epoch or shown.v > state.v:
        return _Start(None, rewound=True)
    if shown.schema != request.schema or shown.generation not in state.views:
        return _Start(None, unknown=shown.schema == request.schema)
    return _Start(state.views[shown.generation], shown)


def _stage(state: DeviceState, token: PageToken, schema: int) -> _Start:
    stage = state.views.get(token.generation)
    if stage is None or token.epoch != state.epoch or token.schema != schema:
        raise Refusal(409, "page_expired")
    return _Start(state.views.get(token.held), stage=stage, after=token.position)


@dataclass(frozen=True)
class _Round:
    """Filling one page, from where the phone stands to the scope as it is in this snapshot."""

    pull: _Pull
    state: DeviceState
    acked_n: int
    start: _Start
    scope: Scope
    page: Page

    async def continued(self, stage: View, after: Position | None) -> Draft:
        """Go on with a round: what is left of it, then the tail. Buckets that left meanwhile are sent no further."""
        gone = sorted(set(stage.buckets).difference(self.scope.heads))
        self.page.drop(gone)
        if gone:
            still = {name: above for name, above in stage.buckets.items() if name in self.scope.heads}
            stage = replace(stage, generation=self.pull.new_id(), buckets=still, served_at=self.pull.now)
        full = await self.page.pour(unsent(stage), after)
        if full is not None:
            return self._unfinished(stage, full, stored=not gone)
        return await self.tail(compare(stage.buckets, stage.v, self.scope))

    async def tail(self, plan: Plan) -> Draft:
        """Send what is newer than what was sent; finish if it fits, else begin another round."""
        self.page.drop(plan.leave)
        full = await self.page.pour(plan.want, None)
        if full is not None:
            entered = set(plan.enter)
            above = {name: 0 if name in entered else plan.since for name in self.scope.heads}
            return self._unfinished(self._view(above), full, stored=False)
        view = self._view(dict.fromkeys(self.scope.heads, self.state.v))
        answer = PullAnswer(
            of=self.pull.of, v=self.state.v, reset=self.start.reset, ops=self.page.ops, checks=self._checks(plan),
            acked_n=self.acked_n, durable_n=self._durable_n, notices=self._notices, cookie=self._cookie(view),
        )  # fmt: skip
        return Draft(answer, view, self._keep(), self.state.revision, complete=True)

    def same_view(self, held: View) -> PullAnswer:
        """Tell of acknowledgements only: nothing the phone holds has changed."""
        return PullAnswer(
            of=self.pull.of, v=held.v, acked_n=self.acked_n, durable_n=self._durable_n, cookie=self._cookie(held)
        )  # fmt: skip

    def _unfinished(self, stage: View, full: Position, *, stored: bool) -> Draft:
        held = self.start.held.generation if self.start.held else ""
        schema = self.pull.request.schema
        token = PageToken(self.state.epoch, stage.generation, held, schema, full.bucket, full.entity, full.row)
        answer = PullAnswer(
            of=self.pull.of, v=self.state.v, reset=self.start.reset, ops=self.page.ops, notices=self._notices,
            page=seal(token, secret=self.pull.puller.secret, device=self.pull.puller.device),
        )  # fmt: skip
        return Draft(answer, None if stored else stage, self._keep(), self.state.revision)

    def _view(self, buckets: dict[str, int]) -> View:
        return View(self.pull.new_id(), self.state.v, buckets, self.scope.valid_until, self.pull.now)

    def _checks(self, plan: Plan) -> dict[str, Check]:
        """Return the checks of the buckets this pull wrote to; after more than one page, of all."""
        heads = self.scope.heads
        everything = self.start.reset or self.start.stage is not None
        names = heads.keys() if everything else (*plan.enter, *plan.stay)
        return {name: Check(heads[name].count, heads[name].checksum) for name in sorted(names)}

    def _cookie(self, view: View) -> str:
        request = self.pull.request
        cookie = Cookie(
            self.state.epoch, view.v, view.generation, request.schema, request.incarnation, self.acked_n,
            self.state.durable_n,
        )  # fmt: skip
        return seal(cookie, secret=self.pull.puller.secret, device=self.pull.puller.device)

    def _keep(self) -> frozenset[str]:
        proven = [view.generation for view in (self.start.held, self.start.stage) if view is not None]
        return kept(self.state.views.values(), proven)

    @property
    def _durable_n(self) -> int | None:
        """What a backup holds of the phone's work, unless it was told."""
        told = self.start.told_durable(self.pull.request.incarnation, self.state)
        return None if told else self.state.durable_n

    @property
    def _notices(self) -> tuple[Notice, ...]:
        return (Notice.REWIND,) if self.start.rewound else ()
