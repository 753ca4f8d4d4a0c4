"""Plans made by nothing but the compiled parts, or by the same functions as plain Python.

Run as a module it reads problems as JSON, one a line, and writes the plan of each: with NUMBA_DISABLE_JIT=1 in the
environment numpy then checks every index and says when a number overflows.
"""

import sys

import msgspec
import numpy as np

from routing.finish import Piece, finished
from routing.improve import Slice, first_plan, improve_slice, start_of
from routing.instance import prepare
from routing.kernel.jit import INTERPRETED
from routing.plan import Plan
from routing.problem import Problem
from routing.solve import solve
from routing.stop import Budget, StopWhen

STEPS = 40
SEED = 3


def searched(problem: Problem) -> Plan:
    """Return the plan after STEPS steps of the search, passed by the referee."""
    start, budget = start_of(prepare(problem)), Budget(StopWhen(solutions=STEPS))
    draft = first_plan(start, budget, ask_solver=False)
    if draft.routes and start.base.unplanned - start.hopeless:
        draft, _ = improve_slice(start, draft, budget, SEED, Slice(None, STEPS, 1.0, 0.01))
    return finished(problem, [Piece(start.base, draft)], status="complete", seed=SEED, solutions=STEPS)


def solved(problem: Problem) -> Plan:
    """Return the plan of `solve`: uncompiled, OR-Tools improves it."""
    return solve(problem, StopWhen(solutions=STEPS), seed=SEED)


if __name__ == "__main__":
    np.seterr(over="raise")
    if not INTERPRETED:
        raise SystemExit("NUMBA_DISABLE_JIT=1 is not in the environment")
    for line in sys.stdin.buffer:
        given = msgspec.json.decode(line, type=Problem)
        sys.stdout.buffer.write(msgspec.json.encode([searched(given), solved(given)]) + b"\n")
