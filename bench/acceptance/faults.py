"""A connection that drops, duplicates and truncates, by a seed."""

from dataclasses import dataclass
from random import Random
from typing import Final

from sync.client.transport import NoAnswer, Reply, Transport

LOST_ON_THE_WAY_OUT: Final = 0.06
LOST_ON_THE_WAY_BACK: Final = 0.06
TWICE: Final = 0.05
CUT_SHORT: Final = 0.05


@dataclass
class BadLine:
    """Sits between a phone and its server; `healed` ends the faults."""

    line: Transport
    random: Random
    healed: bool = False
    faults: int = 0

    async def __call__(self, path: str, body: bytes) -> Reply:
        """Post a body, or pretend to; raises NoAnswer."""
        draw = 1.0 if self.healed else self.random.random()
        if draw < LOST_ON_THE_WAY_OUT:
            self.faults += 1
            raise NoAnswer("lost on the way out")
        reply = await self.line(path, body)
        if draw < LOST_ON_THE_WAY_OUT + LOST_ON_THE_WAY_BACK:
            self.faults += 1
            raise NoAnswer("lost on the way back")
        if draw < LOST_ON_THE_WAY_OUT + LOST_ON_THE_WAY_BACK + TWICE:
            self.faults += 1
            reply = await self.line(path, body)
        elif draw < LOST_ON_THE_WAY_OUT + LOST_ON_THE_WAY_BACK + TWICE + CUT_SHORT and reply.body:
            self.faults += 1
            reply = Reply(reply.status, reply.body[: self.random.randrange(len(reply.body))])
        return reply
