"""Fakes that keep a real part's promise: they speak its protocol on the loopback and remember what they were asked."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class FakeNominatim:
    """A Nominatim server with a small gazetteer: `GET /search?q=...&format=json`, as nominatim.org documents it."""

    places: dict[str, tuple[float, float, float]] = field(default_factory=dict[str, tuple[float, float, float]])
    """Address to latitude, longitude and the extent of what lies there, in degrees."""
    asked: list[str] = field(default_factory=list[str])
    agents: set[str] = field(default_factory=set[str])
    failures: int = 0
    """How many of the next questions are answered with 503."""
    url: str = ""

    def answer(self, query: str) -> list[dict[str, Any]]:
        """What the server knows of an address."""
        if query not in self.places:
            return []
        lat, lon, extent = self.places[query]
        half = extent / 2
        box = [f"{lat - half:.7f}", f"{lat + half:.7f}", f"{lon - half:.7f}", f"{lon + half:.7f}"]
        return [
            {
                "place_id": len(self.asked), "licence": "invented", "osm_type": "way", "osm_id": 1, "lat": f"{lat:.7f}",
                "lon": f"{lon:.7f}", "class": "building", "type": "yes", "importance": 0.1, "display_name": query,
                "boundingbox": box,
            }
        ]  # fmt: skip


@contextmanager
def nominatim() -> Generator[FakeNominatim]:
    """Run a fake Nominatim on the loopback while the block lasts."""
    fake = FakeNominatim()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            query = parse_qs(asked.query)
            fake.agents.add(self.headers.get("User-Agent", ""))
            if asked.path != "/search" or query.get("format") != ["json"]:
                self._send(400, {"error": "not a search"})
                return
            fake.asked.append(query["q"][0])
            if fake.failures:
                fake.failures -= 1
                self._send(503, {"error": "busy"})
                return
            self._send(200, fake.answer(query["q"][0]))

        def _send(self, status: int, body: object) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
            """Say nothing: the test looks at what was asked."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    fake.url = f"http://127.0.0.1:{server.server_port}"
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        serving.join()
