"""One search under way: the compiled state behind a plain face, in chunks short enough to be stopped between them."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from routing.draft import Draft
from routing.kernel.routes import LENGTH, total_price, write_route
from routing.kernel.search import BEST, STEPS, TOTAL, new_memory, search

CHUNK_SECONDS: Final = 0.05
"""How long one chunk should take: cancelling and progress wait for it."""
FIRST_CHUNK: Final = 10
NEIGHBOURS: Final = 200


class Lane:
    """A search by string removals from `draft` on, on one core. Chunks release Python's lock."""

    def __init__(self, draft: Draft, seed: int) -> None:
        self._arrays = draft.instance.arrays
        self._routes = draft.copy().compiled()
        most_changes = draft.instance.problem.most_changes
        self._memory = new_memory(
            self._arrays, self._routes, neighbours=NEIGHBOURS, most_changes=most_changes, seed=seed
        )
        self._chunk = FIRST_CHUNK

    @property
    def best_price(self) -> int:
        """The price of the best routes so far."""
        return int(self._memory.sums[BEST])

    @property
    def price(self) -> int:
        """The price of the routes the search is at."""
        return int(self._memory.sums[TOTAL])

    @property
    def steps(self) -> int:
        """How many steps were done: each looks at one plan."""
        return int(self._memory.sums[STEPS])

    def run(self, temperature: float) -> None:
        """Search for CHUNK_SECONDS at `temperature`, in the unit of prices."""
        began, steps = time.perf_counter(), self._chunk
        self.run_steps(temperature, steps)
        pace = steps / max(1e-6, time.perf_counter() - began)
        self._chunk = max(1, min(2 * self._chunk, int(pace * CHUNK_SECONDS)))

    def run_steps(self, temperature: float, steps: int) -> None:
        """Search for so many steps: what happens does not depend on how fast the machine is."""
        search(self._arrays, self._routes, self._memory, steps, temperature)

    def best_routes(self) -> list[list[int]]:
        """Return the best routes so far, one list of visits for each shift."""
        return _lists(self._memory.best, self._memory.best_length)

    def routes(self) -> list[list[int]]:
        """Return the routes the search is at."""
        return _lists(self._routes.visits, self._routes.info[:, LENGTH])

    def go_on_from(self, routes: Sequence[Sequence[int]]) -> None:
        """Go on from other routes of the same instance."""
        for shift in range(len(routes)):
            write_route(self._arrays, self._routes, shift, np.zeros(0, dtype=np.int64))
        for shift, visits in enumerate(routes):
            write_route(self._arrays, self._routes, shift, np.array(visits, dtype=np.int64))
        self._memory.sums[TOTAL] = total_price(self._arrays, self._routes)


def _lists(visits: NDArray[np.int64], lengths: NDArray[np.int64]) -> list[list[int]]:
    return [row[:length].tolist() for row, length in zip(visits, lengths.tolist(), strict=True)]
