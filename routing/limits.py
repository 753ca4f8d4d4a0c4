"""Every limit of the planner, by name and in one place.

A problem beyond a limit is refused with a `ProblemError` that says the number; nothing is cut silently.
"""

from typing import Final

SECONDS_PER_DAY: Final = 86_400

MAX_VISITS: Final = 20_000
MAX_SHIFTS: Final = 5_000
MAX_PLACES: Final = 25_000
MAX_TABLE_PLACES: Final = 2_500
"""Places of a problem that brings its own travel table, or that is planned in one piece for its budget of changes."""
MAX_STAYS_IN_ONE_PIECE: Final = 5_000
"""Visits, each as often as it needs technicians, of a problem that is planned in one piece whatever its size, for its
budget of changes or its crews: what it takes to look for each one's neighbours grows with their square."""
MAX_WINDOWS_PER_VISIT: Final = 16
MAX_BREAKS_PER_SHIFT: Final = 4
MAX_NAMES_PER_LIST: Final = 500
"""Skills of a shift or a visit, technicians allowed or forbidden for a visit."""

MAX_CREW: Final = 8
"""Technicians of one visit."""
MAX_COUPLED_VISITS: Final = 2_000
"""Visits of a problem in which some need several technicians or follow others: it is planned in one piece."""
MAX_LOAD: Final = 1_000_000_000
MAX_STOCK: Final = 100_000
"""Entries of what vans carry."""
MAX_AWAY: Final = 20_000
"""Times in which technicians cannot be asked to work more."""
MAX_QUANTITY: Final = 1_000_000
MAX_PACE_HOURS: Final = 31 * 24 + 24
MIN_PACE: Final = 50
"""Per mille of the table's speed: a twentieth."""
MAX_PACE: Final = 10_000

MAX_HORIZON_SECONDS: Final = 31 * SECONDS_PER_DAY
"""Shifts end (overtime included) within this from the horizon start."""
MAX_TIME_SECONDS: Final = 3_660 * SECONDS_PER_DAY
"""Instants outside the horizon (an overdue commitment, a window next year) lie within plus or minus this."""
MAX_LEG_SECONDS: Final = 7 * SECONDS_PER_DAY
MAX_LEG_METRES: Final = 100_000_000

MAX_PRICE: Final = 1_000_000_000
"""One fixed price; with MAX_VISITS of them a sum stays far inside 64 bits."""
MAX_PRICE_PER_SECOND: Final = 10_000
MAX_DELAY_PER_MILLE: Final = 100_000
"""A visit's delay counts up to a hundred times its priority's."""

MAX_SOLVE_SECONDS: Final = 3_600.0
MAX_SOLUTIONS: Final = 1_000_000_000

AREA_VISITS: Final = 300
"""Visits searched in one piece; a larger problem is cut into areas."""
WHOLE_VISITS: Final = 1_500
"""Visits searched in one piece at most, however long the search may take."""
FIRST_VISITS: Final = 2_000
"""Visits of one area while the first plan is built, before anything is improved: one travel table holds them."""
FIRST_PLAN_GRACE: Final = 3.0
"""How much longer than asked a first plan may take where preparing the problem took the time: better than none."""
REPORT_SECONDS: Final = 0.2
"""Time between two reports of a search."""
CLOSURE_PLACES: Final = 400
"""Shortest paths over all places (cubic) are computed up to here; beyond, 'unreachable' is never called proven."""

MAX_REQUEST_BYTES: Final = 128 * 1024 * 1024
"""One line on the standard input of the child process."""
CHILD_GRACE_SECONDS: Final = 30.0
"""The kernel ends a child that outlives its own limit by this much; it never has to be hunted."""
CHILD_ADDRESS_SPACE_BYTES: Final = 4 * 1024 * 1024 * 1024
"""Address space of a child unless its request names another figure."""
MIN_ADDRESS_SPACE_BYTES: Final = 128 * 1024 * 1024
"""Below this not even the interpreter loads."""
PROGRESS_SECONDS: Final = 0.1
"""Shortest time between two progress lines of a child."""
DESK_SHEETS: Final = 8
"""Plans, each with its problem, that a desk holds; the one unused longest is sent again when somebody asks about it."""
DESK_SECONDS: Final = 20.0
"""Longest a desk may take for one question; the kernel ends one that takes longer."""
