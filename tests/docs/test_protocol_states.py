"""The states the protocol's page names are those of the reference client: every event is tried in every state."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from bench.protocol.pages import PAGES
from sync.holding import check_of
from sync.keeping import DONE, forget_delivered
from sync.outbox import Item
from sync.protocol import (
    Check,
    EnrolAnswer,
    Notice,
    PullAnswer,
    PushAnswer,
    Put,
    Result,
    Status,
    encode,
    position_digest,
)
from sync.replica import Pulled, Replica, covered
from sync.work import command

PAGE = PAGES[0].read_text("utf-8")
NOW = datetime(2026, 3, 2, tzinfo=UTC)
LATER = NOW + timedelta(days=3650)
INCARNATION, NEXT = "0198f2a0-0000-7000-8000-000000000065", "0198f2a0-0000-7000-8000-000000000066"
WORK, VOID = "0198f2a0-0000-7000-8000-0000000003e9", "0198f2a0-0000-7000-8000-0000000003ea"

Event = Callable[[Replica], None]


def table(name: str) -> list[list[str]]:
    """The rows of one of the page's marked tables, without its head."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end -->", PAGE, re.DOTALL)
    assert found
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in found[1].splitlines()[2:] if line]


def answered(status: Status, mutation: str = WORK) -> Event:
    def take(phone: Replica) -> None:
        phone.take_push(PushAnswer([msgspec.Raw(encode(Result(1, mutation, status)))]))

    return take


def pulled(acked_n: int, durable_n: int | None = None, *notices: Notice) -> Event:
    def take(phone: Replica) -> None:
        of = position_digest(phone.pull_request())
        phone.take_pull(
            PullAnswer(
                of=of,
                v=1,
                reset=phone.holding.cookie is None,
                cookie=f"c{acked_n}",
                acked_n=acked_n,
                durable_n=durable_n,
                notices=notices,
            )
        )
        forget_delivered(phone, NOW)

    return take


def refused_alone(phone: Replica) -> None:
    item = phone.outbox.items.get(WORK)
    if item is not None and item.waits:
        phone.outbox.void(item, "too_large", VOID, NOW)


def rewound(phone: Replica) -> None:
    pulled(0, None, Notice.REWIND)(phone)


def renewed(phone: Replica) -> None:
    phone.renewed(EnrolAnswer("device", NEXT, "P3XT"))


EVENTS: dict[str, Event] = {
    "result `applied`, `merged`, `noop`": answered(Status.APPLIED),
    "result `conflict`": answered(Status.CONFLICT),
    "result `rejected`": answered(Status.REJECTED),
    "result `quarantined`": answered(Status.QUARANTINED),
    "refused even alone": refused_alone,
    "new incarnation": renewed,
    "its `void` has a result": answered(Status.QUARANTINED, VOID),
    "pull acknowledges it": pulled(1),
    "a backup holds it": pulled(1, 1),
    "`gap` or `rewind`": rewound,
}
REACHED: dict[str, tuple[Event, ...]] = {
    "pending": (),
    "voided": (refused_alone,),
    "done": (answered(Status.APPLIED),),
    "covered": (answered(Status.APPLIED), pulled(1)),
    "conflict": (answered(Status.CONFLICT),),
    "rejected": (answered(Status.REJECTED),),
    "quarantined": (answered(Status.QUARANTINED),),
    "forgotten": (answered(Status.APPLIED), pulled(1, 1)),
}


def phone_in(state: str) -> Replica:
    phone = Replica.fresh(EnrolAnswer("device", INCARNATION, "K7QW"))
    pulled(0)(phone)
    command(phone, "note.add", "work_order", WORK, {}, mutation_id=WORK, now=NOW)
    for event in REACHED[state]:
        event(phone)
    return phone


def state_of(phone: Replica) -> str:
    item: Item | None = phone.outbox.items.get(WORK)
    if item is None:
        return "forgotten"
    if item.result is None:
        return "voided" if item.replaced_by else "pending"
    if item.result.status in DONE:
        return "covered" if covered(phone.holding, item) else "done"
    return item.result.status.value


def test_each_state_is_reached() -> None:
    assert {state: state_of(phone_in(state)) for state in REACHED} == {state: state for state in REACHED}


@pytest.mark.parametrize("state", REACHED)
def test_the_life_of_a_mutation_is_the_clients(state: str) -> None:
    told = {event: after for before, event, after in table("mutation states") if before == state}
    assert told.keys() <= EVENTS.keys()
    for event, happens in EVENTS.items():
        phone = phone_in(state)
        happens(phone)
        known = told.get(event, SKIPPED.get((state, event), state))
        assert state_of(phone) == known, event


SKIPPED = {
    ("done", "a backup holds it"): "forgotten",
}
"""What follows from two rows of the table: a pull acknowledges what a backup holds already."""


def test_diagram_and_table_say_the_same() -> None:
    diagram = PAGE.partition("### The life of a mutation")[2].partition("```mermaid\n")[2].partition("```")[0]
    arrows = {tuple(arrow) for arrow in re.findall(r"^ +(\w+) --> (\w+):", diagram, re.MULTILINE)}
    assert arrows == {(before, after) for before, _, after in table("mutation states")}


def answer(phone: Replica, **members: object) -> PullAnswer:
    return PullAnswer(of=position_digest(phone.pull_request()), v=1, **members)  # pyright: ignore[reportArgumentType]


PUT = Put("site:1", "site", "1", msgspec.Raw(b"{}"))
GOOD = {"site:1": check_of({"site/1": "{}"})}
ANSWERS: dict[str, Callable[[Replica], PullAnswer | None]] = {
    "unchanged": lambda _: None,
    "ignored": lambda _: PullAnswer(of="another", v=1),
    "more": lambda phone: answer(phone, page=f"p{len(phone.pages)}"),
    "done": lambda phone: answer(phone, ops=[PUT], checks=GOOD, cookie="new"),
    "damaged": lambda phone: answer(phone, ops=[PUT], checks={"site:1": Check(2, 7)}, cookie="new"),
    "unknown": lambda phone: answer(phone, notices=(Notice.RECONCILE,)),
    "upgrade": lambda phone: answer(phone, notices=(Notice.UPGRADE,)),
    "wiped": lambda phone: answer(phone, notices=(Notice.WIPE,)),
}


def pull_state(phone: Replica) -> str:
    if phone.wiped:
        return "wiped"
    if phone.pages:
        return "staging"
    return "holding" if phone.holding.cookie else "lost"


@pytest.mark.parametrize("row", table("pull states"), ids=" ".join)
def test_a_pull_goes_as_the_page_says(row: list[str]) -> None:
    before, said, after, _ = row
    phone = Replica.fresh(EnrolAnswer("device", INCARNATION, "K7QW"))
    phone.take_pull(answer(phone, cookie="old"))
    if before == "staging":
        phone.take_pull(answer(phone, page="p"))
    assert pull_state(phone) == before
    assert phone.take_pull(ANSWERS[said.strip("`")](phone)) == said.strip("`")
    assert pull_state(phone) == after


def test_every_meaning_of_an_answer_is_in_the_table() -> None:
    assert {row[1].strip("`") for row in table("pull states")} | {Pulled.REWOUND} == set(Pulled)
