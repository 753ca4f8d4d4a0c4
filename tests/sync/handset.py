"""A phone in a test: the model replica, talking to the services over encoded messages."""

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from sync import work
from sync.enrol import enrol, renew
from sync.handler import Handler
from sync.limits import BATCH_MUTATIONS, PULL_BYTES
from sync.outbox import Item
from sync.protocol import (
    EnrolRequest,
    PullAnswer,
    PullRequest,
    PushAnswer,
    PushRequest,
    Result,
    decode_pull,
    decode_push,
    encode,
)
from sync.pull import Puller, pull
from sync.push import Pusher, push
from sync.replica import Pulled, Replica, Stored
from sync.schemas import SHIPPED
from tests.sync.world import SECRET, START, World, handlers_that


class Handset:
    """One phone of one person. `now` is the server's clock at its next contact."""

    def __init__(self, world: World, person: str, replica: Replica) -> None:
        self.world = world
        self.person = person
        self.replica = replica
        self.now = START
        self.store: Any = world.store
        self.handlers: Mapping[str, Handler[Any]] = handlers_that()
        self.schemas = SHIPPED

    @property
    def device(self) -> str:
        return self.replica.identity.device

    # Work on the phone.

    def edit(self, entity: str, row: str, **changes: Any) -> Item:
        return work.edit(self.replica, entity, row, changes, mutation_id=self.world.ids(), now=self.now)

    def add(self, entity: str, **fields: Any) -> Item:
        return work.add(self.replica, entity, self.world.ids(), fields, mutation_id=self.world.ids(), now=self.now)

    def remove(self, entity: str, row: str) -> Item:
        return work.remove(self.replica, entity, row, mutation_id=self.world.ids(), now=self.now)

    def do(self, name: str, site: str = "", mark: str = "", **args: Any) -> Item:
        content = {"site": site, "mark": mark} if site else args
        row = self.world.ids()
        return work.command(self.replica, name, "mark", row, content, mutation_id=self.world.ids(), now=self.now)

    # Contact.

    async def ask_pull(self, request: PullRequest) -> PullAnswer | None:
        puller = Puller(self.device, SECRET)
        answer = await pull(
            self.store, puller=puller, request=decode_pull(encode(request)), now=self.now, new_id=self.world.ids,
            schemas=self.schemas,
        )  # fmt: skip
        return None if answer is None else msgspec.json.decode(encode(answer), type=PullAnswer)

    async def ask_push(self, request: PushRequest, device_now: datetime | None = None) -> PushAnswer:
        answer = await push(
            self.store, self.handlers, pusher=Pusher(self.device, device_now or self.now),
            request=decode_push(encode(request)), now=self.now, new_id=self.world.ids, schemas=self.schemas,
        )  # fmt: skip
        return msgspec.json.decode(encode(answer), type=PushAnswer)

    async def pull(self, max_bytes: int = PULL_BYTES) -> Pulled:
        """Pull one page."""
        return self.replica.take_pull(await self.ask_pull(self.replica.pull_request(max_bytes)))

    async def pull_all(self, max_bytes: int = PULL_BYTES) -> Pulled:
        """Pull until the last page."""
        while (pulled := await self.pull(max_bytes)) is Pulled.MORE:
            pass
        return pulled

    async def push(self, limit: int = BATCH_MUTATIONS) -> list[Result]:
        """Push one batch; return its results."""
        request = self.replica.push_request(limit)
        if request is None:
            return []
        answer = await self.ask_push(request)
        self.replica.take_push(answer)
        return [msgspec.json.decode(raw, type=Result) for raw in answer.results]

    async def renew(self, *, forgotten: bool = False) -> None:
        identity = await renew(
            self.world.store, self.device, now=self.now, new_id=self.world.ids, random_bytes=self.world.ids.bytes
        )
        self.replica.renewed(identity, forgotten=forgotten)

    def clone(self) -> "Handset":
        """Copy the phone with everything on it, as a restored backup does."""
        text = msgspec.json.encode(self.replica.stored())
        return Handset(self.world, self.person, restored(text))


def restored(text: bytes) -> Replica:
    """Return the phone whose disk holds this."""

    return Replica.restored(msgspec.json.decode(text, type=Stored))


async def register(world: World, person: str, now: datetime = START) -> Handset:
    """Enrol a new phone of a person."""
    request = enrol_request(world, await world.code(person, now))
    identity = await enrol(world.store, request, now=now, new_id=world.ids, random_bytes=world.ids.bytes)
    return Handset(world, person, Replica.fresh(identity))


def enrol_request(world: World, code: str, key: bytes | None = None) -> EnrolRequest:
    """Ask for a phone to be registered."""
    text = base64.urlsafe_b64encode(key or world.ids.bytes(32)).decode().rstrip("=")
    return EnrolRequest(code, text, "李伟的手机", "1.0", 1)


def buckets(handset: Handset) -> dict[str, dict[str, str]]:
    """What a phone holds, without buckets that are empty."""
    return {name: rows for name, rows in handset.replica.holding.buckets.items() if rows}
