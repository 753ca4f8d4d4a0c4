"""How a backlog is put into a problem: what is long, or has waited long, is not put off for ever for what is quick.

One price for each second of delay, whatever the work, does short work first wherever there is too much (Smith's rule,
Naval Research Logistics Quarterly 3, 1956), and long work when it is late. In proportion to the work every order costs
the same, and drives and deadlines decide. The product and the twin put their visits through the same rule.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from routing.problem import Prices, Priority

HOUR: Final = 3_600
USUAL: Final = 1_000
"""`Visit.delay_per_mille` of an hour's work that is not due soon: the price of its priority as it stands."""
USUAL_WORK: Final = HOUR
TRIP: Final = HOUR // 4
"""What a visit takes besides its work, in seconds: the drive to it. Without it the shortest would always be last."""
URGENT_OVER: Final = 48 * HOUR
"""A delay grows dearer over the last so many seconds before a commitment is due."""
DEARER: Final[Mapping[Priority, Priority]] = {1: 1, 2: 1, 3: 2, 4: 3}


@dataclass(frozen=True, kw_only=True)
class Urgency:
    """What a visit is planned with: the prices of which priority, its `commitment_margin` and `delay_per_mille`."""

    priority: Priority
    margin: int
    delay_per_mille: int


@dataclass(frozen=True, kw_only=True)
class Backlog:
    """What the planner does about work that waits. All lengths in seconds.

    `margin`: plans aim to arrive so much before a commitment is due, while that can be had; reality takes its share.
    `escalated`: missing a commitment that is due within this costs what it costs at the next dearer priority, within
    half of it at the one after: what can only be saved now goes before what can still be saved tomorrow.
    `urgency`: how much dearer a second of delay has become when the commitment is due, in parts of the usual price.
    """

    margin: int = 6 * HOUR
    escalated: int = 12 * HOUR
    urgency: float = 4.0

    def placed(self, priority: Priority, work: int, due_in: int | None, prices: Prices) -> Urgency:
        """Return how to plan `work` seconds of `priority` whose commitment is due in `due_in` seconds (None: never)."""
        if due_in is None:
            return Urgency(priority=priority, margin=0, delay_per_mille=round(USUAL * _size(work)))
        used = min(1.0, max(0.0, 1 - due_in / URGENT_OVER))
        dearer = self._escalated(priority, due_in)
        delay, counted = prices.delay_second.of(priority), prices.delay_second.of(dearer)
        kept = delay / counted if counted else 1.0  # a dearer commitment is no dearer delay
        return Urgency(
            priority=dearer,
            margin=self.margin if due_in > self.margin else 0,
            delay_per_mille=round(USUAL * _size(work) * kept * (1 + self.urgency * used)),
        )

    def _escalated(self, priority: Priority, due_in: int) -> Priority:
        for threshold in (self.escalated, self.escalated // 2):
            if due_in <= threshold:
                priority = DEARER[priority]
        return priority


def _size(work: int) -> float:
    return (work + TRIP) / (USUAL_WORK + TRIP)
