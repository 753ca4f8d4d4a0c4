"""The problem as arrays: what the simulator and the search read, one row for each visit, shift and place.

Columns have names here and nowhere else. All numbers are 64-bit integers: seconds from the horizon start, prices in the
unit of `Prices`, indices.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

FOREVER: Final = 1 << 40
"""Later than any instant; stands for 'no end' so that comparisons need no None."""
NOWHERE: Final = -1
MAX_LABELS: Final = 6
"""Ways kept of having come to one point of a route. More are only needed where many told customers and breaks meet;
then the dearest are forgotten, which costs optimality, never legality."""

# columns of Arrays.visit
(
    PLACE, DURATION, OPENS_FROM, OPENS_UNTIL, RELEASE, DUE, LATE, LATE_SECOND, PROMISE_END, DELAY_SECOND,
    TOLD_SHIFT, TOLD_FROM, TOLD_UNTIL, PREVIOUS_SHIFT, MOVED_PRICE, WANTED_TECHNICIAN, TERRITORY, UNSERVED, LOAD,
    FROZEN, SOFT, COUNTED, STOCKED, PARTS_READY, VISIT_COLUMNS,
) = range(25)  # fmt: skip
# columns of Arrays.shift
(
    START_PLACE, END_PLACE, START, END, LAST, PAUSES_FROM, PAUSES_UNTIL, TECHNICIAN, SHIFT_TERRITORY, CAPACITY, FAIR,
    TWIN, FROZEN_VISITS, SHIFT_COLUMNS,
) = range(14)  # fmt: skip
# entries of Arrays.price
(
    TRAVEL_SECOND, OVERTIME_SECOND, PROMISE_BROKEN, PROMISE_SECOND, TOLD_MOVED, NOT_PREFERRED, OUTSIDE_TERRITORY,
    UNFAIR_SECOND, PACE_BEGINS, PACE_MOST, PRICE_ENTRIES,
) = range(11)  # fmt: skip


class Arrays(NamedTuple):
    """A problem for compiled code.

    `visit[v]`, `shift[k]`, `price`: see the columns above. `opens[i]`: (from, until) of an interval in which service
    may start; those of visit v are rows OPENS_FROM to OPENS_UNTIL. `pause[i]`: (earliest, latest, duration) of a break.
    `seconds[from, to]`: travel between places. `eligible[v, k]`: 1 where the shift may take the visit. `pace`: per
    mille of the table's speed, by hour; empty where all hours are alike.

    Columns of `visit` that need a word: TOLD_SHIFT is the shift the customer was told of, or NOWHERE; PREVIOUS_SHIFT
    the one in the plan in force, NOWHERE without one, -2 where it is none of these; MOVED_PRICE what another shift
    costs; SOFT says that the time of its start has a price; COUNTED that it counts among the changes; STOCKED the
    technician whose van keeps its parts, who need not wait until PARTS_READY.
    """

    visit: Integers
    opens: Integers
    shift: Integers
    pause: Integers
    seconds: NDArray[np.int32]
    eligible: NDArray[np.uint8]
    pace: Integers
    price: Integers


# columns of a label: one way to have come so far in a route
TIME, PAID, TAKEN, CHANGES, PARENT, BEGUN, RESTS_BEFORE, RESTS_AFTER, LABEL_COLUMNS = range(9)

STAGE_ROWS: Final = MAX_LABELS + 1
"""Rows of a stage: its labels, and one to make the next in."""

Labels = NDArray[np.int64]
"""Stages, each of STAGE_ROWS rows, one below the other.

A label: free at TIME, having PAID, with TAKEN breaks and CHANGES of what was told behind; from label PARENT of the stop
before, service BEGUN, after RESTS_BEFORE breaks before the drive and RESTS_AFTER after it.
"""
