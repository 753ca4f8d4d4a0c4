"""Bytes on the wire: answers go out as zstd, or gzip where zstd is not known; bodies of requests may come as either.

Measured on a first pull of 5.5 MB (docs/decisions/0308): zstd at level 3 gives 1.26 MB in 19 ms, gzip at level 5
1.30 MB in 163 ms. The next zstd level costs twice the time for two hundredths of the bytes.
"""

import zlib
from io import BytesIO
from typing import Any, ClassVar, Final

import zstandard
from litestar import Request
from litestar.config.compression import CompressionConfig
from litestar.middleware.compression import CompressionFacade
from typing_extensions import override

from backend.core.errors import TOO_LARGE, Fault, Problem

LEAST_BYTES: Final = 600
"""Smaller answers go as they are: compressed they would still be one packet."""
ZSTD_LEVEL: Final = 3
GZIP_LEVEL: Final = 5
WINDOW_BYTES: Final = 8 * 1024 * 1024
"""Memory a compressed request may ask for while it is read."""
GZIP_WINDOW: Final = 31
"""zlib's name for: gzip, with the largest window."""
PLAIN: Final = "uncompressed"
"""Routes that say `opt={PLAIN: True}` are never compressed: events must leave at once."""

NOT_READABLE = Fault(
    "encoding_unreadable", 400, "压缩内容无法解开。", "The compressed body cannot be read.",
    "请检查 Content-Encoding,或不压缩重新提交。", "Check Content-Encoding, or send it uncompressed.",
)  # fmt: skip
NOT_KNOWN = Fault(
    "encoding_not_known", 415, "不支持这种 Content-Encoding。", "This Content-Encoding is not known.",
    "请使用 zstd、gzip 或不压缩。", "Use zstd, gzip or none.",
)  # fmt: skip


class ZstdAnswer(CompressionFacade):
    """One answer on its way out; see litestar.middleware.compression."""

    encoding: ClassVar[str] = "zstd"

    def __init__(self, buffer: BytesIO, compression_encoding: str, config: CompressionConfig) -> None:  # noqa: ARG002 - the framework calls it with these names
        self._buffer = buffer
        self._compressing: Any = None

    @override
    def write(self, body: bytes) -> None:
        """Compress a part; what it gives goes out at once."""
        self._buffer.write(self._frame().compress(body))
        self._buffer.write(self._frame().flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))

    @override
    def close(self) -> None:
        """End the frame, if there is one."""
        if self._compressing is not None:
            self._buffer.write(self._compressing.flush())

    def _frame(self) -> Any:
        """Begin the frame when there is something to compress: most answers are too small, or empty."""
        if self._compressing is None:
            self._compressing = zstandard.ZstdCompressor(level=ZSTD_LEVEL).compressobj()
        return self._compressing


COMPRESSION: Final = CompressionConfig(
    backend="zstd", compression_facade=ZstdAnswer, gzip_fallback=True, gzip_compress_level=GZIP_LEVEL,
    minimum_size=LEAST_BYTES, exclude_opt_key=PLAIN,
)  # fmt: skip


async def read_body(request: Request[Any, Any, Any], most: int) -> bytes:
    """Return the body as it was before compression, at most `most` bytes of it.

    Raises too_large however small the compressed body was, encoding_unreadable, encoding_not_known.
    """
    body = await request.body()
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in _READERS:
        raise Problem(NOT_KNOWN)
    try:
        plain = _READERS[encoding](body, most + 1)
    except (zlib.error, zstandard.ZstdError, EOFError) as error:
        raise Problem(NOT_READABLE) from error
    if len(plain) > most:
        raise Problem(TOO_LARGE)
    return plain


def _from_zstd(body: bytes, most: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    plain = decompressor.stream_reader(body).read(most)
    if len(plain) < most:  # only this other way of reading tells whether the frame ended; now its size is known
        frame = decompressor.decompressobj()
        frame.decompress(body)
        _must_be_all(frame.eof, frame.unused_data)
    return plain


def _from_gzip(body: bytes, most: int) -> bytes:
    member = zlib.decompressobj(GZIP_WINDOW)
    plain = member.decompress(body, most)
    if len(plain) < most:
        _must_be_all(member.eof, member.unused_data)
    return plain


def _must_be_all(ended: bool, beyond: bytes) -> None:  # noqa: FBT001 - as both libraries call it
    """Raise EOFError for a body cut off on its way, or one with more behind its end."""
    if not ended or beyond:
        raise EOFError


_READERS: Final = {"zstd": _from_zstd, "gzip": _from_gzip}
