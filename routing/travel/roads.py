# pyright: basic
"""Travel over a road network: places put on their nearest road, shortest times from many to many.

Needs scipy (the extra `roads`), loaded only when a network is asked. Turns cost nothing and traffic is unknown; one
scale factor learnt from trips stands for both (docs/decisions/0208).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from routing.limits import MAX_LEG_SECONDS
from routing.travel.estimate import EARTH_RADIUS_METRES, unit_vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_array

SNAP_METRES: Final = 500.0
"""A place farther than this from every road is not on the network."""
SAMPLE_METRES: Final = 50.0
"""Roads are looked up by points at most this far apart; what is found is exact."""
TIES: Final = 2**26
"""Weights are centiseconds times this plus decimetres: exact in a double up to 15 days and 6,700 km."""
CELLS_AT_ONCE: Final = 8_000_000
"""Distances held while a block of origins is computed (64 MB)."""
CENTISECONDS: Final = 100.0
DECIMETRES: Final = 10.0


_Edges: TypeAlias = tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]
"""From, to, weight."""


@dataclass(frozen=True, slots=True)
class RoadNetwork:
    """Junctions and the pieces of road between them; every junction can be reached from every other.

    `begins` and `ends` are junctions; `ahead` and `back` centiseconds along and against a piece, -1 where that is not
    allowed; `decimetres` its length. Points of piece ``i`` are ``vectors[first[i]:first[i + 1]]``, metres from the
    centre of the earth. `name` and `version` say which data it was read from.
    """

    name: str
    version: str
    junctions: int
    begins: NDArray[np.int32]
    ends: NDArray[np.int32]
    ahead: NDArray[np.int64]
    back: NDArray[np.int64]
    decimetres: NDArray[np.int64]
    first: NDArray[np.int64]
    vectors: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OnRoads:
    """Places put on roads: the piece (-1: off the road), how far along it from 0 to 1, and the metres between."""

    piece: NDArray[np.int64]
    along: NDArray[np.float64]
    metres: NDArray[np.float64]

    @property
    def off_road(self) -> NDArray[np.bool_]:
        """Which places are on no road."""
        return self.piece < 0


@dataclass(frozen=True, slots=True)
class RoadLegs:
    """Travel from some places (rows) to others (columns) in whole seconds and metres, -1 where no road leads."""

    seconds: NDArray[np.int32]
    metres: NDArray[np.int32]


class RoadRouter:
    """Answers for one network; what it computes for finding roads near places and ways along them is kept."""

    def __init__(self, network: RoadNetwork) -> None:
        self.network = network
        self._index = _RoadIndex(network)
        self._edges = _joined(_both_ways(network.begins, network.ends, network.ahead, network.back, network.decimetres))

    def put_on_roads(
        self, latitudes: NDArray[np.float64], longitudes: NDArray[np.float64], limit_metres: float = SNAP_METRES
    ) -> OnRoads:
        """Return where on the network the places (degrees) are."""
        points = unit_vectors(latitudes, longitudes) * EARTH_RADIUS_METRES
        found = [self._index.nearest(point, limit_metres) for point in points]
        piece, along, metres = (np.array(column) for column in zip(*found, strict=True)) if found else ([], [], [])
        return OnRoads(np.asarray(piece, np.int64), np.asarray(along, np.float64), np.asarray(metres, np.float64))

    def legs(self, places: OnRoads, origins: NDArray[np.intp], destinations: NDArray[np.intp]) -> RoadLegs:
        """Return the fastest ways from the places at indices `origins` to those at `destinations`."""
        from scipy.sparse.csgraph import dijkstra  # noqa: PLC0415 - the extra `roads`

        graph = self._graph_with(places)
        size = self.network.junctions + len(places.piece)
        nodes = np.arange(len(places.piece)) + self.network.junctions
        weights = np.full((len(origins), len(destinations)), np.inf)
        on_road = np.flatnonzero(~places.off_road[origins])
        rows = max(1, CELLS_AT_ONCE // size)
        for first in range(0, len(on_road), rows):
            block = on_road[first : first + rows]
            weights[block] = dijkstra(graph, indices=nodes[origins[block]])[:, nodes[destinations]]
        return _unpacked(weights)

    def _graph_with(self, places: OnRoads) -> "csr_array":
        """Return the network with every place as a node of its own, in the middle of its piece of road."""
        from scipy.sparse import coo_array  # noqa: PLC0415 - the extra `roads`

        tails, heads, weights = (np.concatenate(parts) for parts in zip(self._edges, self._places(places), strict=True))
        size = self.network.junctions + len(places.piece)
        return coo_array((weights, (tails, heads)), shape=(size, size)).tocsr()

    def _places(self, places: OnRoads) -> _Edges:
        """Return the edges along pieces with places on them: from place to place, and to both ends."""
        network = self.network
        order = np.lexsort((places.along, places.piece))
        order = order[places.piece[order] >= 0]
        piece, along = places.piece[order], places.along[order]
        node = order + network.junctions
        opens = np.r_[True, piece[1:] != piece[:-1]][: len(piece)]
        closes = np.r_[piece[1:] != piece[:-1], True][-len(piece) :] if len(piece) else opens
        before = np.where(opens, network.begins[piece], np.r_[0, node[:-1]][: len(node)])
        share = along - np.where(opens, 0.0, np.r_[0.0, along[:-1]][: len(along)])
        last = np.flatnonzero(closes)
        tails = np.r_[before, node[last]]
        heads = np.r_[node, network.ends[piece[last]]]
        shares, of = np.r_[share, 1.0 - along[last]], np.r_[piece, piece[last]]
        edges = _both_ways(
            tails, heads, network.ahead[of] * shares, network.back[of] * shares, network.decimetres[of] * shares
        )
        return _joined(edges, _at_crossings(network, piece, along, node))


class _RoadIndex:
    """Finds the point of any road that is nearest to a place."""

    def __init__(self, network: RoadNetwork) -> None:
        from scipy.spatial import KDTree  # noqa: PLC0415 - the extra `roads`

        points, first = network.vectors, network.first
        starts = np.ones(len(points), dtype=bool)
        starts[first[1:] - 1] = False  # the last point of a piece begins no segment
        self._segments = np.flatnonzero(starts)
        self._pieces = np.repeat(np.arange(len(first) - 1), np.diff(first))[self._segments]
        spans = points[self._segments + 1] - points[self._segments]
        self._lengths = np.linalg.norm(spans, axis=1)
        passed = np.r_[0.0, np.cumsum(self._lengths)]
        piece_begins = np.searchsorted(self._pieces, np.arange(len(first)))
        self._before = passed[:-1] - passed[piece_begins][self._pieces]
        self._totals = np.diff(passed[piece_begins])
        self._points, self._spans = points, spans
        samples = np.maximum(1, np.ceil(self._lengths / SAMPLE_METRES)).astype(np.int64) + 1
        self._owner = np.repeat(np.arange(len(self._segments)), samples)
        step = np.arange(len(self._owner)) - np.repeat(np.cumsum(samples) - samples, samples)
        share = step / (samples[self._owner] - 1)
        self._tree = KDTree(points[self._segments[self._owner]] + spans[self._owner] * share[:, None])

    def nearest(self, point: NDArray[np.float64], limit: float) -> tuple[int, float, float]:
        """Return the piece, how far along it, and the metres to it; piece -1 where it is farther than `limit`."""
        near, _ = self._tree.query(point)
        if near > limit + SAMPLE_METRES:
            return -1, 0.0, float(near)
        reach = np.hypot(near, SAMPLE_METRES / 2) + 1e-6  # the nearest segment has a sample within this
        segments = np.unique(self._owner[self._tree.query_ball_point(point, reach)])
        spans, lengths = self._spans[segments], self._lengths[segments]
        off = point - self._points[self._segments[segments]]
        share = np.clip(np.einsum("ij,ij->i", off, spans) / np.maximum(lengths, 1e-9) ** 2, 0.0, 1.0)
        metres = np.linalg.norm(off - spans * share[:, None], axis=1)
        best = int(np.argmin(metres))
        if metres[best] > limit:
            return -1, 0.0, float(metres[best])
        segment = segments[best]
        piece = int(self._pieces[segment])
        along = (self._before[segment] + share[best] * lengths[best]) / max(self._totals[piece], 1e-9)
        return piece, float(min(along, 1.0)), float(metres[best])


def _at_crossings(network: RoadNetwork, piece: NDArray[Any], along: NDArray[np.float64], node: NDArray[Any]) -> _Edges:
    """Return edges by which who is at a crossing takes any street from it, also where their own is one-way."""
    length = network.decimetres[piece]
    begin, end = along * length < 1.0, (1.0 - along) * length < 1.0
    crossing = np.r_[network.begins[piece[begin]], network.ends[piece[end]]]
    place = np.r_[node[begin], node[end]]
    return np.r_[place, crossing], np.r_[crossing, place], np.zeros(2 * len(place))


def _joined(*parts: _Edges) -> _Edges:
    """Return all edges as one list; of several from one node to another the fastest, as a matrix holds but one."""
    tails, heads, weights = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((weights, heads, tails))
    tails, heads, weights = tails[order], heads[order], weights[order]
    keep = np.r_[True, (tails[1:] != tails[:-1]) | (heads[1:] != heads[:-1])][: len(tails)]
    return tails[keep], heads[keep], weights[keep]


def _both_ways(
    tails: NDArray[Any], heads: NDArray[Any], ahead: NDArray[Any], back: NDArray[Any], decimetres: NDArray[Any]
) -> _Edges:
    length = np.rint(decimetres)
    onward, backward = ahead >= 0, back >= 0
    weights = np.r_[
        np.rint(ahead[onward]) * TIES + length[onward], np.rint(back[backward]) * TIES + length[backward]
    ]  # fmt: skip
    return np.r_[tails[onward], heads[backward]], np.r_[heads[onward], tails[backward]], weights


def _unpacked(weights: NDArray[np.float64]) -> RoadLegs:
    none = ~np.isfinite(weights)
    centiseconds, decimetres = np.divmod(np.where(none, 0.0, weights), TIES)
    seconds = np.minimum(np.rint(centiseconds / CENTISECONDS), MAX_LEG_SECONDS).astype(np.int32)
    metres = np.rint(decimetres / DECIMETRES).astype(np.int32)
    seconds[none] = metres[none] = -1
    return RoadLegs(seconds, metres)
