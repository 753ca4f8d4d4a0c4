"""A server around a store: the routes of sync, as small as they can be, for phones in tests to talk to."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from sync.client.transport import Reply
from sync.enrol import enrol, renew
from sync.handler import Handler
from sync.protocol import (
    DEVICES_PATH,
    INCARNATIONS_PATH,
    PROBLEM,
    PULL_PATH,
    RECONCILE_PATH,
    WIPED_PATH,
    Refusal,
    WipedAnswer,
    decode_enrol,
    decode_pull,
    decode_push,
    decode_reconcile,
    decode_wiped,
    encode,
)
from sync.pull import Puller, pull
from sync.push import Pusher, push
from sync.reconcile import reconcile
from sync.store import Transient
from tests.sync.world import SECRET, START, World, handlers_that


class Server:
    """Answers posts of one device. `now` is its clock, `handlers` its business."""

    def __init__(self, world: World, device: str = "") -> None:
        self.world = world
        self.device = device
        self.now: datetime = START
        self.handlers: Mapping[str, Handler[Any]] = handlers_that()
        self.body_limit = 1_000_000
        self.served: list[str] = []
        self.wiped_at: datetime | None = None

    async def __call__(self, path: str, body: bytes) -> Reply:
        self.served.append(path)
        if len(body) > self.body_limit:
            return Reply(413, b'{"code":"too_large"}', media_type=PROBLEM)
        try:
            message = await self._answer(path)(body)
        except Refusal as refusal:
            return Reply(refusal.status, encode(refusal.body()), media_type=PROBLEM)
        except Transient:
            return Reply(503, b"{}", media_type=PROBLEM)
        return Reply(204, b"") if message is None else Reply(200, encode(message))

    def _answer(self, path: str) -> Callable[[bytes], Awaitable[msgspec.Struct | None]]:
        routes = {DEVICES_PATH: self._enrol, INCARNATIONS_PATH: self._renew, PULL_PATH: self._pull,
            RECONCILE_PATH: self._reconcile, WIPED_PATH: self._wiped,
        }  # fmt: skip
        return routes.get(path, self._push)

    async def _enrol(self, body: bytes) -> msgspec.Struct:
        ids = self.world.ids
        answer = await enrol(self.world.store, decode_enrol(body), now=self.now, new_id=ids, random_bytes=ids.bytes)
        self.device = answer.device
        return answer

    async def _renew(self, _: bytes) -> msgspec.Struct:
        ids = self.world.ids
        return await renew(self.world.store, self.device, now=self.now, new_id=ids, random_bytes=ids.bytes)

    async def _pull(self, body: bytes) -> msgspec.Struct | None:
        puller = Puller(self.device, SECRET)
        request = decode_pull(body)
        return await pull(self.world.store, puller=puller, request=request, now=self.now, new_id=self.world.ids)

    async def _reconcile(self, body: bytes) -> msgspec.Struct | None:
        puller = Puller(self.device, SECRET)
        request = decode_reconcile(body)
        return await reconcile(self.world.store, puller=puller, request=request, now=self.now, new_id=self.world.ids)

    async def _wiped(self, body: bytes) -> msgspec.Struct:
        decode_wiped(body)
        self.wiped_at = self.wiped_at or self.now
        return WipedAnswer(self.wiped_at)

    async def _push(self, body: bytes) -> msgspec.Struct:
        return await push(
            self.world.store, self.handlers, pusher=Pusher(self.device, self.now), request=decode_push(body),
            now=self.now, new_id=self.world.ids,
        )  # fmt: skip
