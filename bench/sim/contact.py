"""A phone's contact with a server, through everything that can happen to a request, its answer and both ends."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from bench.sim.apps import as_held
from bench.sim.company import Carried, Company, LateAnswer, LateRequest
from bench.sim.place import ServerKilled, Watch
from bench.sim.promises import keep
from bench.sim.steps import WHOLE, Fault, Trip
from sync.deciding import CONFLICT_DECIDE
from sync.keeping import forget_delivered
from sync.protocol import (
    Mutation,
    Notice,
    PullAnswer,
    PullRequest,
    PushAnswer,
    PushRequest,
    Put,
    ReconcileRequest,
    Refusal,
    Result,
    Status,
    decode_pull,
    decode_push,
    decode_reconcile,
    encode,
)
from sync.pull import Puller
from sync.reconcile import reconcile
from sync.repair import Repair, needs_repair
from sync.replica import Pulled, rescue_request
from sync.rescue import rescue
from sync.shelf import unsafe
from tests.sync.handset import Handset, buckets
from tests.sync.world import SECRET

Answer = TypeVar("Answer")
LOST: Final = (
    Fault.REQUEST_LOST, Fault.REQUEST_CUT, Fault.REQUEST_LATE, Fault.ANSWER_LOST, Fault.ANSWER_CUT, Fault.ANSWER_LATE,
)  # fmt: skip
"""Ends of a question that a phone gives up, to ask another."""
OUT_OF_REACH = ("not_granted", "perhaps_lost", "left_scope", "device_revoked")
"""Codes of mutations whose end the independent look does not foresee."""
Meanwhile = Callable[[], Awaitable[None]]
UNADAPTED: Final = ("newer_schema", "partial_group", "unknown_field", "unreadable_mutation", "no_edit")
"""Ends of what an app could not have sent if its adapters were right."""
QUESTIONS: Final = 100
"""After which a comparison has come to its end."""
COMPLETE: Final = (Pulled.DONE, Pulled.REWOUND)
UNDECIDED: Final = frozenset(
    ("no_conflict", "conflict_decided", "conflict_moved", "wrong_values", "not_restorable", "not_yours_to_decide",
     "invalid", *OUT_OF_REACH)
)  # fmt: skip
"""Why a decision made on a phone can have no effect."""


async def push(
    company: Company, carried: Carried, trip: Trip = WHOLE, limit: int = 200, meanwhile: Meanwhile | None = None
) -> None:
    """Send what waits."""
    if carried.handset.replica.outbox.numbering_lost and carried.handset.device not in company.books.revoked:
        await carried.handset.renew()
        carried.save()
    request = carried.handset.replica.push_request(limit)
    if request is None or trip.fault is Fault.REQUEST_LOST:
        return
    if trip.fault is Fault.REQUEST_LATE:
        carried.late.append(LateRequest(request))
    elif trip.fault is Fault.REQUEST_CUT:
        _is_unreadable(encode(request), decode_push)
    else:
        answer = await _pushed(company, carried, request, trip, meanwhile)
        if trip.fault is Fault.DOUBLED and answer is not None:
            again = await _pushed(company, carried, request, trip, None)
            keep(9, again is None or _same(again, answer))
        if answer is not None:
            await _arrive(company, carried, answer, trip.fault)


async def pull(
    company: Company,
    carried: Carried,
    trip: Trip,
    max_bytes: int,
    meanwhile: Meanwhile | None = None,
    *,
    reconciles: bool = True,
) -> Pulled | None:
    """Fetch a page of what changed, or compare what is held; return what the answer meant, if one was taken."""
    if reconciles and needs_repair(carried.handset.replica):
        return await compare(company, carried, trip, max_bytes, meanwhile)
    request = carried.handset.replica.pull_request(max_bytes)
    request = msgspec.structs.replace(request, reconciles=reconciles)
    if trip.fault is Fault.REQUEST_LOST:
        return None
    if trip.fault is Fault.REQUEST_LATE:
        carried.late.append(LateRequest(request))
        return None
    if trip.fault is Fault.REQUEST_CUT:
        _is_unreadable(encode(request), decode_pull)
        return None
    return await _pull_through(company, carried, request, trip, meanwhile)


async def _pull_through(
    company: Company, carried: Carried, request: PullRequest, trip: Trip, meanwhile: Meanwhile | None
) -> Pulled | None:
    try:
        answer = await pulled(company, carried, request, trip, meanwhile)
        if trip.fault is Fault.DOUBLED:
            answer = await pulled(company, carried, request, WHOLE, None)
    except ServerKilled:
        return None
    except Refusal as refusal:
        await mend(company, carried, refusal)
        return None
    return await _arrive(company, carried, answer, trip.fault)


async def compare(
    company: Company, carried: Carried, trip: Trip, max_bytes: int, meanwhile: Meanwhile | None
) -> Pulled | None:
    """Compare what is held with what should be until both agree; return what that meant, if it came to an end."""
    repair, meant = Repair.begun(carried.handset.replica), Pulled.MORE
    answer: PullAnswer | None = None
    for _ in range(QUESTIONS):
        request = decode_reconcile(encode(repair.request(company.world.ids(), max_bytes)))
        try:
            answer = await _compared(company, carried, request, trip, meanwhile)
        except ServerKilled:
            return None
        except Refusal as refusal:
            await mend(company, carried, refusal)
            return None
        if answer is None or trip.fault in LOST:
            return None
        meant = repair.take(answer)
        if meant is not Pulled.MORE:
            break
        trip, meanwhile = msgspec.structs.replace(trip, killed_at=0), None
    keep(20, meant is not Pulled.MORE, "a comparison without end")
    keep(20, meant is not Pulled.DAMAGED, "a comparison that damages")
    if meant in COMPLETE and answer is not None:
        carried.flaws = frozenset()
        await _check_complete(company, carried, answer, company.now)
    _to_disk(carried, trip.fault)
    return meant


async def _compared(
    company: Company, carried: Carried, request: ReconcileRequest, trip: Trip, meanwhile: Meanwhile | None
) -> PullAnswer | None:
    def ask(handset: Handset) -> Awaitable[PullAnswer | None]:
        puller, new_id = Puller(handset.device, SECRET), company.world.ids
        return reconcile(
            handset.store, puller=puller, request=request, now=handset.now, new_id=new_id, schemas=handset.schemas
        )

    answer = await _within_scope(company, carried, trip, meanwhile, ask)
    return None if answer is None else msgspec.json.decode(encode(answer), type=PullAnswer)


async def arrive_at_server(company: Company, carried: Carried, request: PushRequest | PullRequest) -> None:
    """Let a request arrive that nobody waits for any more."""
    try:
        if isinstance(request, PullRequest):
            await pulled(company, carried, request, WHOLE, None)
        else:
            answer = await _through(
                company, carried, WHOLE, None, lambda handset: handset.ask_push(request, company.now)
            )
            _check_results(company, carried, request, answer.results)
    except Refusal as refusal:
        codes = ("n_taken", "gap", "page_expired", "unknown_incarnation")
        keep(0, refusal.code in codes, refusal.code)


async def _pushed(
    company: Company, carried: Carried, request: PushRequest, trip: Trip, meanwhile: Meanwhile | None
) -> PushAnswer | None:
    """Ask a server; None when it was killed or refused. What it did is in the books either way."""
    device_now = company.now + carried.ahead
    try:
        answer = await _through(
            company, carried, trip, meanwhile, lambda handset: handset.ask_push(request, device_now)
        )
    except ServerKilled:
        ns = [mutation.n for mutation in _mutations(request)]
        done = company.place.answers(carried.handset.device, request.incarnation, ns)
        _check_results(company, carried, request, done)
        return None
    except Refusal as refusal:
        await mend(company, carried, refusal)
        return None
    _check_results(company, carried, request, answer.results)
    return answer


async def pulled(
    company: Company, carried: Carried, request: PullRequest, trip: Trip, meanwhile: Meanwhile | None
) -> PullAnswer | None:
    """Ask a server for rows."""
    return await _within_scope(company, carried, trip, meanwhile, lambda handset: handset.ask_pull(request))


async def _within_scope(
    company: Company,
    carried: Carried,
    trip: Trip,
    meanwhile: Meanwhile | None,
    ask: Callable[[Handset], Awaitable[PullAnswer | None]],
) -> PullAnswer | None:
    """Ask a server; what it sends is within the scope of an instant while it was asked."""
    handset, place = carried.handset, company.place
    before = place.allowed(handset.person, company.now)
    try:
        answer = await _through(company, carried, trip, meanwhile, ask)
    except ServerKilled:
        perhaps = before | place.allowed(handset.person, company.now)
        company.books.perhaps.setdefault(handset.device, set()).update(perhaps)
        raise
    if answer is None:
        return None
    allowed = before | place.allowed(handset.person, company.now)
    sent = {op.bucket for op in answer.ops if isinstance(op, Put)}
    keep(4, sent <= allowed, str(sent - allowed))
    if handset.device in company.books.revoked:
        keep(28, not answer.ops and Notice.WIPE in answer.notices)
    company.books.granted.setdefault(handset.device, set()).update(allowed)
    return answer


async def _through(
    company: Company,
    carried: Carried,
    trip: Trip,
    meanwhile: Meanwhile | None,
    ask: Callable[[Handset], Awaitable[Answer]],
) -> Answer:
    """Ask through one server, on the company's clock."""

    async def unwatched() -> None:
        async with company.place.watching(Watch()):
            if meanwhile is not None:
                await meanwhile()

    watch = Watch(trip.killed_at, trip.paused_at, unwatched if meanwhile else None)
    handset = carried.handset
    handset.now, handset.store = company.now, company.place.server(trip.server, company.now, watch)
    async with company.place.watching(watch):
        return await ask(handset)


async def _arrive(
    company: Company, carried: Carried, answer: PullAnswer | PushAnswer | None, fault: Fault
) -> Pulled | None:
    if fault is Fault.ANSWER_CUT and answer is not None:
        _is_unreadable(msgspec.json.encode(answer), lambda text: msgspec.json.decode(text, type=type(answer)))
    if fault in (Fault.ANSWER_LOST, Fault.ANSWER_CUT):
        return None
    if fault is Fault.ANSWER_LATE:
        carried.late.append(LateAnswer(answer, company.now, company.restores))
        return None
    meant = await take(company, carried, answer, company.now)
    _to_disk(carried, fault)
    return meant


def _to_disk(carried: Carried, fault: Fault) -> None:
    if fault is not Fault.KILLED_BEFORE_DISK:
        carried.save()
    if fault in (Fault.KILLED_BEFORE_DISK, Fault.KILLED_AFTER_DISK):
        carried.wake()


def _is_unreadable(text: bytes, read: Callable[[bytes], object]) -> None:
    """Half a message is no message, at either end."""
    try:
        read(text[: len(text) // 2])
    except (msgspec.DecodeError, Refusal):
        return
    keep(0, kept=False, what="half a message was readable")


async def take(
    company: Company, carried: Carried, answer: PullAnswer | PushAnswer | None, given_at: datetime | None
) -> Pulled | None:
    """Let the phone take an answer; taking it twice equals once. Return what a pull's answer meant.

    `given_at` is None for an answer of servers that have been put back since.
    """
    replica = carried.handset.replica
    if isinstance(answer, PushAnswer):
        replica.take_push(answer)
        once = replica.stored()
        keep(22, replica.take_push(answer) == [])
        keep(22, replica.stored() == once)
        return None
    before = replica.holding
    meant = replica.take_pull(answer)
    keep(20, carried.flaws or meant is not Pulled.DAMAGED)
    if meant in COMPLETE and answer is not None:
        _noticed(carried, answer)
        await _check_complete(company, carried, answer, given_at)
        forget_delivered(replica, company.now, unsafe(carried.files, replica, company.now))
    elif meant not in (Pulled.WIPED, Pulled.UNKNOWN, Pulled.DAMAGED):
        keep(19, replica.holding is before)
    if answer is not None and meant not in (Pulled.IGNORED, Pulled.WIPED, Pulled.UNKNOWN, Pulled.DAMAGED):
        once = msgspec.json.encode(replica.stored())
        keep(22, replica.take_pull(answer) is Pulled.IGNORED)
        keep(22, msgspec.json.encode(replica.stored()) == once)
    return meant


def _noticed(carried: Carried, answer: PullAnswer) -> None:
    """A bucket that was just checked, or dropped, has no flaw any more."""
    carried.flaws = (carried.flaws - answer.checks.keys()) & carried.handset.replica.holding.buckets.keys()


async def mend(company: Company, carried: Carried, refusal: Refusal) -> None:
    """Do what a refusal asks for, as the reference client does."""
    handset = carried.handset
    if refusal.code in ("n_taken", "unknown_incarnation"):
        if handset.device not in company.books.revoked:
            await handset.renew(forgotten=refusal.code == "unknown_incarnation")
    elif refusal.code == "gap" and refusal.expected_n is not None:
        handset.replica.outbox.reopen(refusal.expected_n)
        if handset.replica.outbox.batch(1)[0].n != refusal.expected_n:
            await handset.renew()
    else:
        keep(0, refusal.code == "page_expired", refusal.code)
        handset.replica.begin_again(keep_cookie=True)
    carried.save()


async def rescue_all(company: Company, carried: Carried) -> None:
    """Let a phone that may push no more hand in what it has."""
    handset = carried.handset
    while (request := rescue_request(handset.replica)) is not None:
        answer = await rescue(
            company.place.server(0, company.now, Watch()), request, device=handset.device, now=company.now,
            new_id=company.world.ids,
        )  # fmt: skip
        before = len(handset.replica.outbox.unanswered())
        handset.replica.take_push(answer)
        keep(28, len(handset.replica.outbox.unanswered()) < before, "a rescue settled nothing")
    carried.save()


def _same(one: PushAnswer, other: PushAnswer) -> bool:
    return [bytes(raw) for raw in one.results] == [bytes(raw) for raw in other.results]


def _mutations(request: PushRequest) -> list[Mutation]:
    return [msgspec.json.decode(raw, type=Mutation) for raw in request.mutations]


def _check_results(company: Company, carried: Carried, request: PushRequest, results: Any) -> None:
    """One end for each mutation, the same at every delivery, and the one an independent look expects."""
    books, handset = company.books, carried.handset
    sent = {mutation.id: mutation for mutation in _mutations(request)}
    for raw in results:
        result = msgspec.json.decode(raw, type=Result)
        if result.id not in sent:
            continue  # another copy of this phone used the number; the phone will be told
        key = (request.incarnation, result.n)
        keep(9, books.results.setdefault(key, bytes(raw)) == bytes(raw))
        keep(6, books.ended.get(result.id, result.status) is result.status)
        if result.id not in books.ended:
            books.opened(handset.device, sent[result.id], result.conflicts)
            _check_end(company, handset, sent[result.id], result)
        books.ended[result.id] = result.status
        keep(13, (result.status is Status.CONFLICT) == bool(result.conflicts))


def _check_end(company: Company, handset: Handset, mutation: Mutation, result: Result) -> None:
    _check_reach(company, handset, mutation, result)
    if handset.device in company.books.revoked:
        keep(28, result.code == "device_revoked")
    if mutation.name == CONFLICT_DECIDE:
        _check_decision(company, mutation, result)
    elif company.restores:
        keep(29, result.code != "not_granted", f"{mutation.id} is kept before nobody")
    keep(27, result.code not in UNADAPTED, result.code)
    if result.code in OUT_OF_REACH:
        return
    expected = company.books.expect(handset.device, mutation)
    ends = (expected, Status.MERGED) if expected is Status.APPLIED else (expected,)
    keep(12, expected is None or result.status in ends, f"{mutation.id} is {result.status}, not {expected}")


def _check_decision(company: Company, mutation: Mutation, result: Result) -> None:
    """A conflict is decided by whoever saw the row as it is, and its decision is there for everybody."""
    if result.status is not Status.APPLIED:
        keep(13, result.code in (*UNDECIDED, "device_revoked"), f"{mutation.id} {result.code}")
        return
    (found,) = (one for one in company.look().conflicts if one["id"] == mutation.row)
    keep(13, found["decided_at"] is not None and found["decision"] == mutation.args["take"])
    known = company.books.conflict_of.get(mutation.row)
    if known is not None:
        _, site, name = known
        keep(13, mutation.args["seen"] == {name: company.books.values[site][name]}, f"{mutation.id} decided unseen")
    sides = {"mine": found["mine"], "theirs": None, "values": mutation.args["values"]}
    company.books.decided(mutation.row, sides[mutation.args["take"]])


def _check_reach(company: Company, handset: Handset, mutation: Mutation, result: Result) -> None:
    """A phone may work on what is or was in its scope when it pulled, and on nothing else."""
    site = mutation.args.get("site") if mutation.id in company.books.marks else mutation.row
    if site not in company.sites or mutation.name == "unheard of" or handset.device in company.books.revoked:
        return
    bucket = f"site:{site}"
    if bucket in company.place.allowed(handset.person, company.now):
        keep(12, result.code not in OUT_OF_REACH, f"{mutation.id} is {result.code} though in scope")
    elif bucket in company.books.perhaps.get(handset.device, set()):
        pass
    elif bucket not in company.books.granted.get(handset.device, set()):
        code = "perhaps_lost" if company.restores else "not_granted"
        keep(29 if company.restores else 4, result.code == code, f"{mutation.id} was never granted")
    else:
        keep(4, not result.held)


def _sound(carried: Carried, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was spoilt and not noticed yet."""
    return {name: rows[name] for name in rows if name not in carried.flaws}


async def _check_complete(company: Company, carried: Carried, answer: PullAnswer, given_at: datetime | None) -> None:
    """A complete pull is the scope of its instant, row for row; what it acknowledges is seen."""
    handset = carried.handset
    look = company.look()
    if given_at is None or answer.v != look.v:
        return  # it arrived late, and the world has moved on
    if given_at == company.now:
        expected = as_held(carried.schema, await company.world.expected(handset.person, company.now))
        keep(2, _sound(carried, buckets(handset)) == _sound(carried, expected))
    shown = handset.replica.shown()
    holding = handset.replica.holding
    for item in handset.replica.outbox.items.values():
        acknowledged = item.incarnation == holding.incarnation and item.n <= holding.acked_n
        if item.id in company.books.marks and acknowledged:
            site: Mapping[str, Any] | None = shown.get("site", item.mutation.args["site"])
            took = company.took(look, item.id)
            keep(18, site is None or (company.books.marks[item.id] in site["access_notes"]) == took, item.id)
