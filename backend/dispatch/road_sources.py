"""Who knows roads: a file answered by a process of its own, or a server asked over HTTP (OSRM's table service).

Another kind of server (Valhalla's `sources_to_targets`) is one more class with these two methods.
"""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec
import numpy as np
from numpy.typing import NDArray

from backend.dispatch.travel_rules import NO_ROAD
from routing.limits import MAX_LEG_METRES, MAX_LEG_SECONDS
from routing.travel.asking import MODULE, RoadAnswer, RoadRequest
from routing.travel.osm import RoadFileError, road_version
from routing.travel.roads import SNAP_METRES, RoadLegs

FILE_SECONDS: Final = 600.0
"""How long a road file may be worked on; reading a large one for the first time takes minutes."""
REQUEST_SECONDS: Final = 10.0
WHOLE_SECONDS: Final = 60.0
"""All the requests for one plan; what takes longer is estimated."""
TRIES: Final = 3
FIRST_WAIT: Final = 0.2
"""Seconds before the second try; twice that before the third."""
TOGETHER: Final = 4
"""Requests under way at once."""
TABLE_SIZE: Final = 100
"""Coordinates an OSRM server takes unless it was started with another `--max-table-size`."""
LEAST_TABLE: Final = 2
VERSION: Final = "v1"


class RoadsUnavailable(Exception):
    """No roads can be asked now; `zh` and `en` say why."""

    def __init__(self, zh: str, en: str) -> None:
        self.zh = zh
        self.en = en
        super().__init__(en)


@dataclass(frozen=True)
class Points:
    """Positions in degrees."""

    latitudes: NDArray[np.float64]
    longitudes: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.latitudes)


class RoadSource(Protocol):
    """Somebody who knows roads. Both methods raise RoadsUnavailable."""

    label: str
    family: str | None
    """What the name of every version of a server begins with; None where the version is known without asking long."""

    async def version(self) -> str:
        """Return what answers are kept under; another one when answers may differ."""
        ...

    async def legs(
        self, points: Points, origins: NDArray[np.intp], destinations: NDArray[np.intp], *, paired: bool = False
    ) -> RoadLegs:
        """Return legs from each origin to each destination, or to its own one if `paired`; -1 where no road leads."""
        ...


def road_source(setting: str) -> RoadSource | None:
    """Return who PAIGONG_TRAVEL names: `estimate` nobody, `roads:<file>`, `osrm:<url>`; raises ValueError."""
    kind, _, rest = setting.partition(":")
    if setting == "estimate":
        return None
    if kind == "roads" and rest:
        return RoadFile(Path(rest))
    if kind == "osrm" and (url := urlsplit(rest)).scheme in {"http", "https"} and url.hostname:
        size = parse_qs(url.query).get("max_table_size", [str(TABLE_SIZE)])[-1]
        if size.isdecimal() and int(size) >= LEAST_TABLE:
            return OsrmServer(url._replace(query="", fragment="").geturl().rstrip("/"), int(size))
    raise ValueError(setting)


class RoadFile:
    """The roads of an OpenStreetMap extract."""

    def __init__(self, path: Path) -> None:
        self.label = f"roads of {path.name}"
        self.family: str | None = None
        self._path = path
        self._summed: tuple[tuple[int, int], str] | None = None

    async def version(self) -> str:
        """Return the sum of the file's bytes: what is in it, not what it is called. Summed again when it is written."""
        try:
            return await asyncio.to_thread(self._version)
        except OSError as error:
            missing = RoadFileError("roads_file_missing", name=self._path.name)
            raise RoadsUnavailable(missing.zh, missing.en) from error
        except RoadFileError as error:
            raise RoadsUnavailable(error.zh, error.en) from error

    def _version(self) -> str:
        seen = self._path.stat()
        written = (seen.st_mtime_ns, seen.st_size)
        if self._summed is None or self._summed[0] != written:
            self._summed = written, f"roads:{road_version(self._path)}"
        return self._summed[1]

    async def legs(
        self, points: Points, origins: NDArray[np.intp], destinations: NDArray[np.intp], *, paired: bool = False
    ) -> RoadLegs:
        """Ask a process of its own, which keeps this one answering."""
        request = RoadRequest(
            file=str(self._path), latitudes=points.latitudes.tolist(), longitudes=points.longitudes.tolist(),
            origins=origins.tolist(), destinations=destinations.tolist(), paired=paired,
        )  # fmt: skip
        answer = await _ask_process(request)
        if answer.refusal is not None:
            raise RoadsUnavailable(answer.refusal.zh, answer.refusal.en)
        return answer.legs((len(origins),) if paired else (len(origins), len(destinations)))


async def _ask_process(request: RoadRequest) -> RoadAnswer:
    alone = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # no algebra is done: threads would only cost address space
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", MODULE, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=alone
    )
    try:
        async with asyncio.timeout(FILE_SECONDS):
            said, complaint = await process.communicate(msgspec.msgpack.encode(request))
    except TimeoutError as error:
        raise RoadsUnavailable(
            f"道路数据计算超过 {FILE_SECONDS:.0f} 秒", f"the road file took longer than {FILE_SECONDS:.0f} s"
        ) from error
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        why = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise RoadsUnavailable(f"道路进程意外退出: {why}", f"the road process ended unexpectedly: {why}")
    return msgspec.msgpack.decode(said, type=RoadAnswer)


class _NoSegment(Exception):
    """The server knows no road near one of the coordinates."""

    def __init__(self, coordinate: int | None) -> None:
        self.coordinate = coordinate
        super().__init__(coordinate)


class _TooBig(Exception):
    """The server takes fewer coordinates at once."""


class OsrmServer:
    """OSRM's table service (HTTP API v5, `GET /table/v1/driving/...`), asked block by block within its limits."""

    def __init__(
        self, url: str, table_size: int = TABLE_SIZE, *, snap_metres: float = SNAP_METRES,
        whole_seconds: float = WHOLE_SECONDS, first_wait: float = FIRST_WAIT,
    ) -> None:  # fmt: skip
        asked = urlsplit(url)
        address = asked.netloc.rpartition("@")[2]  # neither plans nor what is kept tell a password
        self.label = f"road server {address}"
        self.family: str | None = f"osrm:{asked._replace(netloc=address).geturl()}:"
        self._url = url
        self._size = table_size
        self._snap_metres = snap_metres
        self._whole_seconds = whole_seconds
        self._first_wait = first_wait

    async def version(self) -> str:
        """Return the server's address with the version of its data, where it was told one."""
        async with httpx.AsyncClient(timeout=REQUEST_SECONDS) as client:
            try:
                answer = await self._ask(client, f"{self._url}/nearest/{VERSION}/driving/0,0", {})
            except _NoSegment:  # a server that was told to look for roads nearby only
                answer = {}
        return f"{self.family}{answer.get('data_version', '')}"

    async def legs(
        self, points: Points, origins: NDArray[np.intp], destinations: NDArray[np.intp], *, paired: bool = False
    ) -> RoadLegs:
        """Ask for blocks of half as many origins and half as many destinations as the server takes coordinates."""
        try:
            async with asyncio.timeout(self._whole_seconds), httpx.AsyncClient(timeout=REQUEST_SECONDS) as client:
                return await self._in_fitting_blocks(client, points, origins, destinations, paired=paired)
        except TimeoutError as error:
            zh = f"道路服务在 {self._whole_seconds:g} 秒内没有答完"
            raise RoadsUnavailable(zh, f"the road server took longer than {self._whole_seconds:g} s") from error

    async def _in_fitting_blocks(
        self, client: httpx.AsyncClient, points: Points, origins: NDArray[np.intp], destinations: NDArray[np.intp],
        *, paired: bool,
    ) -> RoadLegs:  # fmt: skip
        while True:
            try:
                return await self._in_blocks(client, points, origins, destinations, paired=paired)
            except _TooBig as error:
                if self._size // 2 < LEAST_TABLE:
                    zh = "道路服务一次只接受不到两个地点"
                    raise RoadsUnavailable(zh, "the road server takes fewer than two places at once") from error
                self._size //= 2

    async def _in_blocks(
        self, client: httpx.AsyncClient, points: Points, origins: NDArray[np.intp], destinations: NDArray[np.intp],
        *, paired: bool,
    ) -> RoadLegs:  # fmt: skip
        shape = (len(origins),) if paired else (len(origins), len(destinations))
        found = np.full((2, *shape), NO_ROAD, dtype=np.int32)
        gate = asyncio.Semaphore(TOGETHER)
        half = self._size // 2

        async def ask(rows: slice, columns: slice) -> None:
            async with gate:
                block = await self._block(client, points, origins[rows], destinations[columns])
            if paired:
                found[:, rows] = np.diagonal(block, axis1=1, axis2=2)
            else:
                found[:, rows, columns] = block

        blocks = _blocks(len(origins), len(destinations), half, paired=paired)
        asking = [asyncio.create_task(ask(rows, columns)) for rows, columns in blocks]
        try:
            await asyncio.gather(*asking)
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        return RoadLegs(found[0], found[1])

    async def _block(
        self, client: httpx.AsyncClient, points: Points, origins: NDArray[np.intp], destinations: NDArray[np.intp]
    ) -> NDArray[np.int32]:
        """Return seconds and metres; a place the server has no road for is left out and asked without."""
        block = np.full((2, len(origins), len(destinations)), NO_ROAD, dtype=np.int32)
        rows, columns = np.arange(len(origins)), np.arange(len(destinations))
        while len(rows) and len(columns):
            try:
                part = await self._table(client, points, origins[rows], destinations[columns])
            except _NoSegment as missing:
                if missing.coordinate is None:
                    return block
                if missing.coordinate < len(rows):
                    rows = np.delete(rows, missing.coordinate)
                else:
                    columns = np.delete(columns, missing.coordinate - len(rows))
                continue
            block[:, rows[:, None], columns] = part
            break
        return block

    async def _table(
        self, client: httpx.AsyncClient, points: Points, origins: NDArray[np.intp], destinations: NDArray[np.intp]
    ) -> NDArray[np.int32]:
        asked = np.concatenate((origins, destinations))
        places = ";".join(f"{points.longitudes[one]:.6f},{points.latitudes[one]:.6f}" for one in asked)
        answer = await self._ask(
            client, f"{self._url}/table/{VERSION}/driving/{places}",
            {
                "annotations": "duration,distance", "generate_hints": "false",
                "sources": ";".join(map(str, range(len(origins)))),
                "destinations": ";".join(map(str, range(len(origins), len(asked)))),
            },
        )  # fmt: skip
        try:
            return _figures(answer, len(origins), len(destinations), self._snap_metres)
        except (KeyError, TypeError, ValueError) as error:
            raise _not_osrm(self._url) from error

    async def _ask(self, client: httpx.AsyncClient, url: str, params: Mapping[str, str]) -> dict[str, Any]:
        """Ask once, and again after a moment where the line or the server failed; a refusal is final."""
        failure = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(self._first_wait * 2 ** (attempt - 1))
            try:
                response = await client.get(url, params=dict(params))
            except httpx.TransportError as error:
                failure = type(error).__name__
                continue
            if response.is_server_error or response.status_code == HTTPStatus.TOO_MANY_REQUESTS:
                failure = f"HTTP {response.status_code}"
                continue
            return _accepted(response, self._url)
        raise RoadsUnavailable(f"道路服务没有应答 ({failure})", f"the road server did not answer ({failure})")


def _blocks(rows: int, columns: int, side: int, *, paired: bool) -> Iterator[tuple[slice, slice]]:
    """Yield blocks of at most `side` a side: the whole table, or only those its pairs lie in."""
    for row in range(0, rows, side):
        across = range(row, row + 1) if paired else range(0, columns, side)
        yield from ((slice(row, row + side), slice(column, column + side)) for column in across)


def _accepted(response: httpx.Response, url: str) -> dict[str, Any]:
    try:
        answer = response.json()
        code = answer["code"]
    except (ValueError, KeyError, TypeError) as error:
        raise _not_osrm(url) from error
    if code == "Ok":
        return answer
    if code == "TooBig":
        raise _TooBig
    if code == "NoSegment":
        raise _NoSegment(_coordinate(str(answer.get("message", ""))))
    raise RoadsUnavailable(f"道路服务拒绝了请求 ({code})", f"the road server refused ({code})")


def _coordinate(message: str) -> int | None:
    """Return the number at the end of "Could not find a matching segment for coordinate 3"."""
    last = message.rpartition(" ")[2]
    return int(last) if last.isdecimal() else None


def _figures(answer: dict[str, Any], rows: int, columns: int, snap_metres: float) -> NDArray[np.int32]:
    table = np.array([answer["durations"], answer["distances"]], dtype=np.float64)  # null becomes NaN
    if table.shape != (2, rows, columns):
        raise ValueError(table.shape)
    table[:, _far(answer["sources"], snap_metres), :] = np.nan
    table[:, :, _far(answer["destinations"], snap_metres)] = np.nan
    unknown = ~np.isfinite(table).all(axis=0) | (table < 0).any(axis=0)
    limits = np.array([MAX_LEG_SECONDS, MAX_LEG_METRES], dtype=np.float64)[:, None, None]
    whole = np.minimum(np.rint(np.where(unknown, 0.0, table)), limits).astype(np.int32)
    whole[:, unknown] = NO_ROAD
    return whole


def _far(waypoints: Sequence[dict[str, Any]], snap_metres: float) -> list[bool]:
    return [float(one["distance"]) > snap_metres for one in waypoints]


def _not_osrm(url: str) -> RoadsUnavailable:
    host = urlsplit(url).netloc.rpartition("@")[2]
    zh = f"{host} 的回答不是 OSRM 表格服务的格式"
    return RoadsUnavailable(zh, f"{host} does not answer like an OSRM table service")
