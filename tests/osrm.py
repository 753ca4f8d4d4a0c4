"""A server that speaks OSRM's table protocol over HTTP, as OSRM 26.10 was seen to answer, and the real one if there is.

It drives straight at 10 m/s, east of longitude 10 there are no roads, and an island (latitude above 5) nobody leaves.
Its answers, refusals included, have the form of the real server's; tests/api/test_road_sources.py holds both to the
same promises when OSRM_BIN names a folder with osrm-extract, osrm-contract and osrm-routed.
"""

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from geopy.distance import great_circle
from typing_extensions import override

METRES_A_SECOND = 10.0
OSRM_BIN = os.environ.get("OSRM_BIN", "")
PATIENCE = 20.0


@dataclass
class TableServer:
    """A running server: where it listens, what it was asked, and what it does wrong."""

    url: str
    most: int = 100
    asked: list[str] = field(default_factory=list[str])
    failures: int = 0
    """So many next requests are answered with 503."""
    strict: bool = False
    """Refuse coordinates without a road nearby, as a server with a default radius does."""
    silent_seconds: float = 0.0
    says: bytes | None = None
    """What is answered instead, whatever is asked."""


@contextmanager
def table_server() -> Iterator[TableServer]:
    """Run the server on a port of its own."""
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server = TableServer(f"http://127.0.0.1:{listening.server_address[1]}")
    listening.table_server = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        server: TableServer = self.server.table_server  # type: ignore[attr-defined]
        server.asked.append(self.path)
        time.sleep(server.silent_seconds)
        if server.says is not None:
            self._say(200, server.says)
        elif server.failures:
            server.failures -= 1
            self._say(503, b"")
        else:
            status, answer = _answer(self.path, server)
            self._say(status, json.dumps(answer).encode())

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _answer(path: str, server: TableServer) -> tuple[int, dict[str, Any]]:
    url = urlsplit(path)
    _, service, version, profile, places = url.path.split("/")
    if service == "nearest":
        return 200, {"code": "Ok", "waypoints": [{"location": [0, 0], "name": "", "distance": 1.0}]}
    assert (service, version, profile) == ("table", "v1", "driving")
    spots = [(float(lat), float(lon)) for lon, lat in (place.split(",") for place in places.split(";"))]
    if len(spots) > server.most:
        return 400, {"message": "Too many table coordinates", "code": "TooBig"}
    for number, spot in enumerate(spots):
        if server.strict and spot[1] > 10:
            return 400, {
                "message": f"Could not find a matching segment for coordinate {number}", "code": "NoSegment",
            }  # fmt: skip
    query = parse_qs(url.query)
    assert query["annotations"] == ["duration,distance"]
    sources, destinations = (
        [spots[int(one)] for one in query[side][0].split(";")] for side in ("sources", "destinations")
    )
    metres = [[_metres(one, other) for other in destinations] for one in sources]
    return 200, {
        "code": "Ok",
        "durations": [[None if one is None else round(one / METRES_A_SECOND, 1) for one in row] for row in metres],
        "distances": metres,
        "sources": [_waypoint(one) for one in sources],
        "destinations": [_waypoint(one) for one in destinations],
    }


def _metres(one: tuple[float, float], other: tuple[float, float]) -> float | None:
    if (one[0] > 5) != (other[0] > 5):
        return None
    return round(great_circle(one, other).meters, 1)


def _waypoint(spot: tuple[float, float]) -> dict[str, Any]:
    return {"location": [spot[1], spot[0]], "name": "", "distance": 2_000_000.0 if spot[1] > 10 else 3.5}


@contextmanager
def real_server(extract: Path, folder: Path, *, most: int = 100) -> Iterator[str]:
    """Run OSRM itself on an extract; `OSRM_BIN` names the folder of its programs."""
    programs = Path(OSRM_BIN)
    copy = folder / extract.name
    copy.write_bytes(extract.read_bytes())
    base = folder / (extract.name.removesuffix(".osm.pbf") + ".osrm")
    profile = next(programs.parent.rglob("profiles/car.lua"))
    subprocess.run([programs / "osrm-extract", "-p", profile, copy], check=True, capture_output=True)
    subprocess.run([programs / "osrm-contract", base], check=True, capture_output=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        port = probe.server_address[1]
    command = [programs / "osrm-routed", "-i", "127.0.0.1", "-p", str(port), "--max-table-size", str(most), base]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as running:
        try:
            _await_answer(f"http://127.0.0.1:{port}/nearest/v1/driving/0,0")
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


def _await_answer(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            httpx.get(url)
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
