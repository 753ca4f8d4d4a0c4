"""A phone's rows being compared with the server's (see sync.reconcile): a copy, which nobody sees before it agrees."""

from dataclasses import dataclass, field

from msgspec import structs

from sync.feed import entry_sum
from sync.holding import Holding, Rows, applied, check_of, damaged
from sync.limits import PULL_BYTES, RECONCILE_ROWS
from sync.protocol import PullAnswer, ReconcileRequest, position_digest
from sync.replica import Pulled, Replica, lost_again


def needs_repair(replica: Replica) -> bool:
    """Whether the phone has rows but no cookie for them: they are compared instead of pulled again."""
    holding = replica.holding
    return holding.cookie is None and any(holding.buckets.values()) and not replica.pages and not replica.wiped


@dataclass
class Repair:
    """Asking until the copy agrees. `inventory` are the buckets whose rows the server wants listed."""

    replica: Replica
    buckets: dict[str, Rows]
    inventory: tuple[str, ...] = ()
    of: str = field(default="")

    @classmethod
    def begun(cls, replica: Replica) -> "Repair":
        """Begin with what is held."""
        return cls(replica, {name: dict(rows) for name, rows in replica.holding.buckets.items() if rows})

    def request(self, of: str, max_bytes: int = PULL_BYTES) -> ReconcileRequest:
        """Return the next question, by a name no other has."""
        self.of = of
        checks = {name: check_of(rows) for name, rows in self.buckets.items()}
        incarnation = self.replica.identity.incarnation
        return ReconcileRequest(incarnation, self.replica.schemas.current, of, checks, self._listed(), max_bytes)

    def take(self, answer: PullAnswer) -> Pulled:
        """Take an answer into the copy; with the last, the phone holds the copy.

        When even then a check fails, the phone holds nothing and pulls everything. The answer to another question is
        ignored.
        """
        if answer.of != self.of:
            return Pulled.IGNORED
        if answer.notices:
            return self.replica.take_pull(structs.replace(answer, of=position_digest(self.replica.pull_request())))
        applied(self.buckets, answer)
        self.inventory = answer.inventory
        return Pulled.MORE if answer.cookie is None else self._done(answer)

    def _done(self, answer: PullAnswer) -> Pulled:
        replica = self.replica
        incarnation, made_n = replica.identity.incarnation, replica.outbox.next_n - 1
        durable = replica.holding.durable if answer.durable_n is None else (incarnation, answer.durable_n)
        agreed = not damaged(self.buckets, answer.checks)
        replica.holding = Holding(
            answer.cookie if agreed else None, answer.v, incarnation, answer.acked_n or 0,
            self.buckets if agreed else {}, made_n, durable,
        )  # fmt: skip
        replica.too_old = False
        lost = lost_again(replica, anew=True)
        if not agreed:
            return Pulled.DAMAGED
        return Pulled.REWOUND if lost else Pulled.DONE

    def _listed(self) -> dict[str, dict[str, int]]:
        """List the rows asked for; one bucket at least, then as many as fit."""
        listed: dict[str, dict[str, int]] = {}
        room = RECONCILE_ROWS
        for name in self.inventory:
            rows = self.buckets.get(name, {})
            if listed and len(rows) > room:
                break
            room -= len(rows)
            listed[name] = {place: _share(place, body) for place, body in rows.items()}
        return listed


def _share(place: str, body: str) -> int:
    entity, row = place.split("/", 1)
    return entry_sum(entity, row, body)
