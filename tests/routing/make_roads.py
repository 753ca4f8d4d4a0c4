"""Road files for tests, written with osmium: a few crossings, and the streets between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import osmium
from osmium.osm import mutable

METRES_A_DEGREE = 6_371_008.8 * 3.141592653589793 / 180


@dataclass(frozen=True)
class Street:
    """A way by these crossings."""

    nodes: Sequence[int]
    tags: Mapping[str, str]


def street(*nodes: int, **tags: str) -> Street:
    """A residential street, limited to 50 km/h, unless told otherwise."""
    return Street(nodes, {"highway": "residential", "maxspeed": "50"} | tags)


def write_roads(path: Path, points: Mapping[int, tuple[float, float]], streets: Sequence[Street]) -> Path:
    """Write crossings (number to latitude and longitude) and streets; crossings not among them are missing."""
    path.unlink(missing_ok=True)
    writer: Any = osmium.SimpleWriter(str(path))
    for number, (latitude, longitude) in points.items():
        writer.add_node(mutable.Node(id=number, location=(longitude, latitude)))
    for number, one in enumerate(streets, start=1):
        writer.add_way(mutable.Way(id=number, nodes=list(one.nodes), tags=dict(one.tags)))
    writer.close()
    return path


def metres_north(metres: float) -> float:
    """Degrees of latitude that many metres make."""
    return metres / METRES_A_DEGREE
