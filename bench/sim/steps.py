"""What can happen, as data: drawn from a seed, printed as Python, and cut down by leaving things out."""

from collections.abc import Callable
from enum import StrEnum
from random import Random
from typing import Any, Final, TypeAlias

import msgspec

from sync.limits import PULL_BYTES, PULL_BYTES_LEAST

PHONES: Final = 3
SITES: Final = 3
ANY: Final = 1000
"""More than there is of anything: places are counted modulo how many there are."""
SERVERS: Final = 2
STATEMENTS: Final = 16
"""A request is killed or interrupted before one of this many statements, if it has so many."""
KILLED_SHARE: Final = 0.15
MEANWHILE_SHARE: Final = 0.2


class Fault(StrEnum):
    """What happens to one request between a phone and its server."""

    NONE = "none"
    REQUEST_LOST = "request lost"
    REQUEST_CUT = "request cut off"
    REQUEST_LATE = "request late"
    ANSWER_LOST = "answer lost"
    ANSWER_LATE = "answer late"
    DOUBLED = "doubled"
    ANSWER_CUT = "answer cut off"
    KILLED_BEFORE_DISK = "phone killed before its disk write"
    KILLED_AFTER_DISK = "phone killed after its disk write"

    def __repr__(self) -> str:
        """Return Python."""
        return f"Fault.{self.name}"


class Trip(msgspec.Struct, frozen=True, repr_omit_defaults=True):
    """How one request fares.

    `server` answers it; it is killed before its `killed_at`-th statement (0: it lives). When the request has done
    `paused_at` statements and holds no lock, `meanwhile` happens through the other server.
    """

    fault: Fault = Fault.NONE
    server: int = 0
    killed_at: int = 0
    paused_at: int = 0
    meanwhile: "Step | None" = None


class Step:
    """One thing that happens: a function of `bench.sim.happenings` by name, and what it is told."""

    def __init__(self, name: str, *args: Any) -> None:
        self.name, self.args = name, args

    def __repr__(self) -> str:
        """Return Python."""
        return f"Step({', '.join(map(repr, (self.name, *self.args)))})"


WHOLE: Final = Trip()
"""A request that simply arrives, and so does its answer."""
NAMES: Final = ("东门", "西门", "南门")
DATES: Final = (None, "2026-01-01")
COMMANDS: Final = ("sign", "sign", "sign", "sign_then_refuse", "sign_then_fail", "refuse", "nothing", "unheard of")
FAULTS: Final = (*[Fault.NONE] * 10, *Fault)
HOURS: Final = (1, 1, 1, 1, 8, 24, 24 * 8, 24 * 31)
CLOCKS: Final = (0, 1, -1, 3650, -3650)
"""Days by which a phone's clock can be wrong."""

APPS: Final = ((), (), (), (False,))
"""Some apps cannot compare what they hold."""
TAKES: Final = ("mine", "theirs", "values")
SETTLEMENTS: Final = ("accept", "accept", "dismiss")
SPOILT: Final = ("change", "lose", "invent")
BEYOND: Final = (-3, 0, 0, 2)
"""Hints that come late, in time, or from a clock that was put back."""

Draw: TypeAlias = Callable[[Random], Step]


def draw(seed: int, count: int) -> list[Step]:
    """Return what happens in the history of a seed; the same every time."""
    dice = Random(seed)
    weights = [weight for weight, _ in HAPPENINGS]
    drawn = dice.choices([choice for _, choice in HAPPENINGS], weights, k=count)
    return [choice(dice) for choice in drawn]


def _trip(dice: Random) -> Trip:
    killed = dice.randrange(1, STATEMENTS) if dice.random() < KILLED_SHARE else 0
    meanwhile = _office(dice) if dice.random() < MEANWHILE_SHARE else None
    paused = dice.randrange(STATEMENTS // 2) if meanwhile else 0
    return Trip(dice.choice(FAULTS), dice.randrange(SERVERS), killed, paused, meanwhile)


def _any(dice: Random) -> int:
    return dice.randrange(ANY)


def _phone(dice: Random) -> int:
    return dice.randrange(PHONES)


def _site(dice: Random) -> int:
    return dice.randrange(SITES)


def _days(dice: Random) -> int:
    return dice.choice((0, 0, 3, 20))


def _push(dice: Random) -> Step:
    return Step("push", _phone(dice), _trip(dice), dice.choice((1, 3, 200)))


def _pull(dice: Random) -> Step:
    size = dice.choice((PULL_BYTES, PULL_BYTES_LEAST, PULL_BYTES_LEAST))
    return Step("pull", _phone(dice), _trip(dice), size, *dice.choice(APPS))


def _edit(entity: str, field: str, *values: Any) -> Draw:
    return lambda dice: Step("edit", _phone(dice), entity, _any(dice), {field: dice.choice(values)})


def _office(dice: Random) -> Step:
    weights = [weight for weight, _ in OFFICE]
    return dice.choices([choice for _, choice in OFFICE], weights)[0](dice)


OFFICE: Final[tuple[tuple[int, Draw], ...]] = (
    (4, lambda dice: Step("change_site", _site(dice), "name", dice.choice(NAMES))),
    (2, lambda dice: Step("change_site", _site(dice), "acceptance_on", dice.choice(DATES))),
    (4, lambda dice: Step("change_asset", _any(dice), dice.choice(NAMES))),
    (2, lambda dice: Step("move_asset", _any(dice), _site(dice))),
    (2, lambda dice: Step("delete_asset", _any(dice))),
    (2, lambda dice: Step("add_asset", _site(dice), dice.choice((1, 500)))),
    (6, lambda dice: Step("assign", _site(dice), _phone(dice), _days(dice))),
    (1, lambda dice: Step("assign_crew", _site(dice), _days(dice))),
    (1, lambda dice: Step("join", _phone(dice), _days(dice), dice.choice((None, 4)))),
    (1, lambda dice: Step("leave", _any(dice), _days(dice))),
    (2, lambda dice: Step("withdraw", _any(dice))),
)
"""What the office can do, with its weight; also while a request of a phone is on its way through a server."""
HAPPENINGS: Final[tuple[tuple[int, Draw], ...]] = (
    *OFFICE,
    (3, lambda dice: Step("wait", dice.choice(HOURS))),
    (10, _edit("site", "name", *NAMES)),
    (2, _edit("site", "acceptance_on", *DATES)),
    (2, _edit("site", "lat", 30.0, 31.0)),
    (4, _edit("asset", "note", *NAMES)),
    (2, lambda dice: Step("add", _phone(dice), _site(dice))),
    (2, lambda dice: Step("remove", _phone(dice), _any(dice))),
    (12, lambda dice: Step("command", _phone(dice), dice.choice(COMMANDS), _site(dice))),
    (4, lambda dice: Step("command", _phone(dice), "sign", _site(dice), dice.choice((1, 2)))),
    (4, lambda dice: Step("upload", _phone(dice), dice.choice((0, 3, 9, 30)))),
    (14, _push),
    (22, _pull),
    (2, lambda dice: Step("deliver_late", _phone(dice), _any(dice))),
    (2, lambda dice: Step("kill", _phone(dice))),
    (2, lambda dice: Step("back_up", _phone(dice))),
    (2, lambda dice: Step("restore", _phone(dice))),
    (1, lambda dice: Step("set_clock", _phone(dice), dice.choice(CLOCKS))),
    (1, lambda dice: Step("upgrade", _phone(dice))),
    (1, lambda dice: Step("clone", _phone(dice), _phone(dice))),
    (3, lambda dice: Step("decide", _phone(dice), _any(dice), dice.choice(TAKES))),
    (3, lambda dice: Step("decide_at_desk", _any(dice), dice.choice(TAKES))),
    (3, lambda dice: Step("settle", _any(dice), dice.choice(SETTLEMENTS))),
    (1, lambda dice: Step("spoil", _phone(dice), _any(dice), dice.choice(SPOILT))),
    (2, lambda dice: Step("hint", _phone(dice), dice.choice(BEYOND))),
    (2, lambda _: Step("save_servers")),
    (1, lambda _: Step("restore_servers")),
    (2, lambda _: Step("keep_house")),
)
"""Everything that can happen, with its weight. Phones are revoked rarely: see `bench.sim.history`."""
