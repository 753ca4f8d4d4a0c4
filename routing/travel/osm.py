# pyright: basic
"""Roads out of an OpenStreetMap extract (.osm.pbf, .osm), kept beside it as .roads.npz for the next time.

Needs osmium (the extra `roads`) to read an extract and only numpy to load what was kept. What counts as a road for
cars, and how fast it is where nobody mapped a limit, follows OSRM's car profile: limits are driven at 0.8 of them.
Ferries and turn restrictions are left out.
"""

import hashlib
import os
import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from routing.travel.estimate import EARTH_RADIUS_METRES, unit_vectors
from routing.travel.roads import CENTISECONDS, DECIMETRES, RoadNetwork

READER: Final = 1
"""Raised whenever the same extract would be read differently; part of a network's version."""
KEPT: Final = ".roads.npz"
MAX_JUNCTIONS: Final = 2_000_000
"""A larger network (a big country) is refused: shortest paths over it would take minutes."""
SPEEDS: Final[Mapping[str, float]] = {
    "motorway": 90, "motorway_link": 45, "trunk": 85, "trunk_link": 40, "primary": 65, "primary_link": 30,
    "secondary": 55, "secondary_link": 25, "tertiary": 40, "tertiary_link": 20, "unclassified": 25, "residential": 25,
    "living_street": 10, "service": 15, "road": 25,
}  # fmt: skip
"""Kilometres an hour where no limit is mapped (OSRM, profiles/car.lua)."""
SHARE_OF_LIMIT: Final = 0.8
SLOWEST, FASTEST = 5.0, 130.0
"""Speeds beyond these are mapping mistakes."""
MILE: Final = 1.609344
CLOSED: Final = frozenset({"no", "private", "agricultural", "forestry", "emergency", "psv", "customers", "delivery"})
OPEN: Final = frozenset({"yes", "permissive", "designated", "destination", "motorcar", "motor_vehicle", "vehicle"})
ACCESS: Final = ("motorcar", "motor_vehicle", "vehicle", "access")
"""Who may drive there, the most particular first."""
ROUND: Final = frozenset({"roundabout", "circular"})
LIMIT: Final = re.compile(r"^(\d+(?:\.\d+)?)\s*(mph|km/h|kmh)?$")
FILE_TEXTS: Final[Mapping[str, tuple[str, str]]] = {
    "roads_file_missing": (
        "找不到道路数据文件 {name}。请检查 PAIGONG_TRAVEL 中的路径。",
        "There is no road file {name}. Check the path in PAIGONG_TRAVEL.",
    ),
    "roads_file_damaged": (
        "道路数据文件 {name} 无法读取: {why}。请重新下载 .osm.pbf 文件。",
        "The road file {name} cannot be read: {why}. Download the .osm.pbf again.",
    ),
    "roads_file_empty": (
        "道路数据文件 {name} 中没有可行车的道路。请提供包含道路的 .osm.pbf 文件。",
        "The road file {name} holds no road a car may use. Supply an .osm.pbf with roads in it.",
    ),
    "roads_file_too_large": (
        "道路数据文件 {name} 有 {junctions} 个路口, 超过上限 {most}。请截取所在城市或改用 OSRM 服务。",
        "The road file {name} has {junctions} junctions, more than the {most} allowed. Cut out your city or use OSRM.",
    ),
    "roads_out_of_memory": (
        "读取道路数据文件 {name} 所需内存超过 {megabytes} MB。请截取所在城市或改用 OSRM 服务。",
        "The road file {name} takes more than {megabytes} MB of memory. Cut out your city or use OSRM.",
    ),
    "roads_extra_missing": (
        "未安装道路组件。请运行: pip install 'paigong[roads]'",
        "The road parts are not installed. Run: pip install 'paigong[roads]'",
    ),
}


class RoadFileError(ValueError):
    """A road file that cannot be used. `code` is stable, `zh` and `en` say why and what to do."""

    def __init__(self, code: str, **facts: object) -> None:
        self.code = code
        self.zh, self.en = (text.format(**facts) for text in FILE_TEXTS[code])
        super().__init__(self.en)


def load_roads(path: Path) -> RoadNetwork:
    """Return the roads of an extract: from what was kept beside it when it is of this very file, else read anew.

    Raises RoadFileError. A folder that cannot be written to costs reading the extract each time, nothing else.
    """
    try:
        version = _version(path)
    except OSError as error:
        raise RoadFileError("roads_file_missing", name=path.name) from error
    kept = path.with_name(path.name + KEPT)
    network = _kept_network(kept, version)
    if network is None:
        network = read_roads(path)
        _keep(kept, network)
    return network


def road_version(path: Path) -> str:
    """Return the version of a road file as answers made from it are kept under; raises RoadFileError."""
    try:
        return _version(path)
    except OSError as error:
        raise RoadFileError("roads_file_missing", name=path.name) from error


def read_roads(path: Path) -> RoadNetwork:
    """Read the roads of an extract; raises RoadFileError."""
    runs = _Runs()
    try:
        for way in _ways(path):
            runs.add(way)
    except (RuntimeError, ValueError) as error:  # what osmium raises for a file it cannot read
        if isinstance(error, RoadFileError):
            raise
        raise RoadFileError("roads_file_damaged", name=path.name, why=str(error)) from error
    if not runs.lengths:
        raise RoadFileError("roads_file_empty", name=path.name)
    return _connected(_network(runs, path.name, _version(path)))


def _version(path: Path) -> str:
    with path.open("rb") as source:
        return f"{hashlib.file_digest(source, 'sha256').hexdigest()[:16]}-{READER}"


def _ways(path: Path) -> Iterator[Any]:
    try:
        import osmium  # noqa: PLC0415 - the extra `roads`
        from osmium import filter as only  # noqa: PLC0415
        from osmium import osm  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise RoadFileError("roads_extra_missing") from error
    ways = osm.osm_entity_bits.WAY
    roads = osmium.FileProcessor(str(path), osm.osm_entity_bits.NODE | ways).with_locations()
    yield from roads.with_filter(only.EntityFilter(ways)).with_filter(only.KeyFilter("highway"))


@dataclass
class _Runs:
    """Stretches of way whose points are all in the extract, one after the other."""

    nodes: "array[int]" = field(default_factory=lambda: array("q"))
    latitudes: "array[float]" = field(default_factory=lambda: array("d"))
    longitudes: "array[float]" = field(default_factory=lambda: array("d"))
    lengths: "array[int]" = field(default_factory=lambda: array("q"))
    speeds: "array[float]" = field(default_factory=lambda: array("d"))
    directions: "array[int]" = field(default_factory=lambda: array("q"))
    """1: along only, -1: against only, 0: both."""

    def add(self, way: Any) -> None:
        """Take in a way if a car may use it."""
        tags = way.tags
        speed = speed_of(tags)
        if speed is None:
            return
        direction = direction_of(tags)
        points: list[tuple[int, float, float]] = []
        for node in way.nodes:
            if node.location.valid():
                points.append((node.ref, node.location.lat, node.location.lon))
                continue
            self._end(points, speed, direction)  # an extract may lack what lies beyond its border
            points = []
        self._end(points, speed, direction)

    def _end(self, points: list[tuple[int, float, float]], speed: float, direction: int) -> None:
        if len(points) < 2:  # noqa: PLR2004 - a line has two ends
            return
        nodes, latitudes, longitudes = zip(*points, strict=True)
        self.nodes.extend(nodes)
        self.latitudes.extend(latitudes)
        self.longitudes.extend(longitudes)
        self.lengths.append(len(points))
        self.speeds.append(speed)
        self.directions.append(direction)


def speed_of(tags: Any) -> float | None:
    """Return how fast a car goes on a way in km/h; None where it may not or cannot.

    `tags` is anything with the `get` of a mapping.
    """
    usual = SPEEDS.get(tags.get("highway", ""))
    if usual is None or tags.get("area") == "yes" or not _may_drive(tags):
        return None
    limit = LIMIT.match(tags.get("maxspeed", ""))
    if limit is None:
        return usual
    speed = float(limit[1]) * (MILE if limit[2] == "mph" else 1.0) * SHARE_OF_LIMIT
    return min(max(speed, SLOWEST), FASTEST)


def direction_of(tags: Any) -> int:
    """Return 1 where a way may be driven along only, -1 against only, 0 both."""
    said = tags.get("oneway", "")
    if said in {"yes", "1", "true"}:
        return 1
    if said in {"-1", "reverse"}:
        return -1
    implied = tags.get("junction", "") in ROUND or tags.get("highway", "") == "motorway"
    return int(implied and said not in {"no", "0", "false"})


def _may_drive(tags: Any) -> bool:
    said = (tags.get(key, "") for key in ACCESS)
    return next((word in OPEN for word in said if word in CLOSED or word in OPEN), True)


def _network(runs: _Runs, name: str, version: str) -> RoadNetwork:
    """Cut the runs at junctions: where they end, and where a point is on more than one of them or twice on one."""
    nodes = np.asarray(runs.nodes, dtype=np.int64)
    lengths = np.asarray(runs.lengths, dtype=np.int64)
    run_of = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum(lengths) - lengths
    _, number, shared = np.unique(nodes, return_inverse=True, return_counts=True)
    cut = shared[number] > 1
    cut[first] = cut[first + lengths - 1] = True
    cuts = np.flatnonzero(cut)
    begins = cuts[:-1][run_of[cuts[:-1]] == run_of[cuts[1:]]]
    ends = cuts[1:][run_of[cuts[:-1]] == run_of[cuts[1:]]]
    vectors = unit_vectors(np.asarray(runs.latitudes), np.asarray(runs.longitudes)) * EARTH_RADIUS_METRES
    steps = np.r_[0.0, np.cumsum(np.linalg.norm(np.diff(vectors, axis=0), axis=1))]
    metres = steps[ends] - steps[begins]
    speed = np.asarray(runs.speeds)[run_of[begins]] / 3.6
    centiseconds = np.maximum(1, np.rint(metres / speed * CENTISECONDS)).astype(np.int64)
    direction = np.asarray(runs.directions)[run_of[begins]]
    return RoadNetwork(
        name=name, version=version, junctions=int(number.max()) + 1,
        begins=number[begins].astype(np.int32), ends=number[ends].astype(np.int32),
        ahead=np.where(direction < 0, -1, centiseconds), back=np.where(direction > 0, -1, centiseconds),
        decimetres=np.rint(metres * DECIMETRES).astype(np.int64), **_points(vectors, begins, ends),
    )  # fmt: skip


def _points(vectors: NDArray[np.float64], begins: NDArray[Any], ends: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the points of pieces, each from its begin to its end; a junction is in every piece it bounds."""
    counts = ends - begins + 1
    first = np.r_[0, np.cumsum(counts)]
    within = np.arange(first[-1]) - np.repeat(first[:-1], counts)
    return {"first": first, "vectors": vectors[np.repeat(begins, counts) + within]}


def _connected(network: RoadNetwork) -> RoadNetwork:
    """Keep the largest part in which every junction can be reached from every other."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - the extra `roads`
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415

    onward, backward = network.ahead >= 0, network.back >= 0
    tails = np.r_[network.begins[onward], network.ends[backward]]
    heads = np.r_[network.ends[onward], network.begins[backward]]
    size = network.junctions
    graph = coo_array((np.ones(len(tails), dtype=np.int8), (tails, heads)), shape=(size, size))
    _, part = connected_components(graph, directed=True, connection="strong")
    inside = part == np.bincount(part).argmax()
    keep = inside[network.begins] & inside[network.ends]
    used, renumbered = np.unique(np.r_[network.begins[keep], network.ends[keep]], return_inverse=True)
    if not len(used):
        raise RoadFileError("roads_file_empty", name=network.name)
    if len(used) > MAX_JUNCTIONS:
        raise RoadFileError("roads_file_too_large", name=network.name, junctions=len(used), most=MAX_JUNCTIONS)
    begins, ends = renumbered.astype(np.int32).reshape(2, -1)
    return RoadNetwork(
        name=network.name, version=network.version, junctions=len(used), begins=begins, ends=ends,
        ahead=network.ahead[keep], back=network.back[keep], decimetres=network.decimetres[keep],
        **_points(network.vectors, network.first[:-1][keep], network.first[1:][keep] - 1),
    )  # fmt: skip


def _kept_network(kept: Path, version: str) -> RoadNetwork | None:
    try:
        with kept.open("rb") as source, np.load(source, allow_pickle=False) as columns:
            if str(columns["version"]) != version:
                return None
            values = {one.name: columns[one.name] for one in fields(RoadNetwork)}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):  # not there, half written, of another program
        return None
    return RoadNetwork(**(values | {"name": str(values["name"]), "version": version,
                                    "junctions": int(values["junctions"])}))  # fmt: skip


def _keep(kept: Path, network: RoadNetwork) -> None:
    """Keep the network under a name of its own until it is whole."""
    growing = kept.with_name(f"{kept.name}.{os.getpid()}.npz")
    try:
        columns: dict[str, Any] = {one.name: np.asarray(getattr(network, one.name)) for one in fields(network)}
        np.savez(growing, **columns)
        growing.replace(kept)
    except OSError:  # a folder one may only read
        growing.unlink(missing_ok=True)
