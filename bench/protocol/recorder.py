"""Keeps what was said over HTTP, as a page shows it: secrets masked, random names made the same at every run.

What the server draws at random (ids of phones, cookies, tokens) is replaced wherever it stands, and what is computed
from it (digests, checksums, signatures) is computed anew from the replacement. So a reader can check every example.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import httpx
import msgspec

SHOWN: Final = (
    "content-type", "device-time", "device-monotonic", "device-id", "device-signature", "idempotency-key",
    "tus-resumable", "upload-length", "upload-offset", "upload-metadata", "upload-expires", "location", "server-time",
    "range", "content-range", "etag", "retry-after",
)  # fmt: skip
"""Headers an example is about; the others are any client's and any server's."""
MASKS: Final = ((r"Bearer [\w.-]+", "Bearer …"), (r'("(?:access_token|refresh_token|password)":)"[^"]+"', r'\1"…"'))
NOTHING: Final = b"null"
"""The body of an answer that says everything in its headers."""
WRITTEN: Final = {"etag": "ETag"}
"""Headers whose usual spelling is not each word's first letter large."""
SPLIT_BYTES: Final = 100
"""A JSON value longer than this stands on several lines."""


@dataclass
class Names:
    """Replacements of what differs from run to run, by what was said."""

    told: dict[str, str] = field(default_factory=dict[str, str])

    def call(self, real: str, shown: str) -> None:
        """Show `shown` wherever `real` stands from now on."""
        if real != shown:
            self.told[real] = shown

    def __call__(self, text: str) -> str:
        """Return the text as it is shown."""
        for real in sorted(self.told, key=len, reverse=True):
            text = text.replace(real, self.told[real])
        return text


@dataclass
class Recorder:
    """A page's examples by name, each one or more exchanges."""

    names: Names = field(default_factory=Names)
    kept: dict[str, list[tuple[str, str]]] = field(default_factory=dict[str, list[tuple[str, str]]])

    def keep(self, name: str, request: httpx.Request, answer: httpx.Response) -> None:
        """Keep an exchange under a name; several under one stand below each other."""
        line = f"{request.method} {request.url.raw_path.decode()}"
        headers = {"authorization": "Authorization"} if "authorization" in request.headers else {}
        asked = _message(line, request.headers, headers, request.content)
        phrase = httpx.codes.get_reason_phrase(answer.status_code)
        said = _message(f"{answer.status_code} {phrase}".strip(), answer.headers, {}, answer.content)
        self.kept.setdefault(name, []).append((asked, said))

    def examples(self) -> dict[str, str]:
        """Return every example as Markdown."""
        return {name: "\n".join(self._shown(pairs)) for name, pairs in self.kept.items()}

    def _shown(self, pairs: list[tuple[str, str]]) -> Iterator[str]:
        for pair in pairs:
            text = "\n\n".join(map(self.names, pair))
            for pattern, mask in MASKS:
                text = re.sub(pattern, mask, text)
            yield f"```http\n{text}\n```\n"


def _message(first: str, headers: Mapping[str, str], always: Mapping[str, str], body: bytes) -> str:
    shown = [name for name in headers if name in always or name in SHOWN]
    spelling = {**always, **WRITTEN}
    lines = [f"{spelling.get(name) or name.title()}: {headers[name]}" for name in dict.fromkeys(shown)]
    told = b"" if body == NOTHING else body
    text = laid_out(told) if told and "json" in headers.get("content-type", "") else _plain(told)
    return "\n".join([first, *lines]) + (f"\n\n{text}" if text else "")


def _plain(body: bytes) -> str:
    try:
        return body.decode().strip()
    except UnicodeDecodeError:
        return f"({len(body)} bytes)"


def laid_out(body: bytes) -> str:
    """Break a JSON text into lines between its members and their elements; within these, every byte stays."""
    if len(body) <= SPLIT_BYTES:
        return body.decode()
    members = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    return "{" + ",\n ".join(f'"{name}":{_value(bytes(raw))}' for name, raw in members.items()) + "}"


def _value(raw: bytes) -> str:
    if raw[:1] != b"[" or len(raw) <= SPLIT_BYTES:
        return raw.decode()
    parts = msgspec.json.decode(raw, type=list[msgspec.Raw])
    return "[\n  " + ",\n  ".join(bytes(part).decode() for part in parts) + "]"
