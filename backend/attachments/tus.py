"""The words of tus 1.0 (https://tus.io/protocols/resumable-upload): headers as they are read, and their refusals."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from backend.core.errors import Fault, Finding, Problem

VERSION: Final = "1.0.0"
EXTENSIONS: Final = "creation,creation-with-upload,checksum,expiration,termination"
ALGORITHMS: Final = ("sha256", "sha1")
PIECE_TYPE: Final = "application/offset+octet-stream"
METADATA_LENGTH: Final = 1000
"""Characters of Upload-Metadata, as sent."""
# tus's own status for a checksum that does not match; HTTP has none.
CODE_CHECKSUM: Final = 460

_NUMBER: Final = re.compile(r"\d{1,12}", re.ASCII)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")

TUS_VERSION = Fault(
    "tus_version", 412, "只支持 tus 1.0.0。", "Only tus 1.0.0 is spoken here.",
    "请发送 Tus-Resumable: 1.0.0。", "Send Tus-Resumable: 1.0.0.",
)  # fmt: skip
UPLOAD_MALFORMED = Fault(
    "upload_malformed", 400, "上传请求的头部不正确。", "A header of the upload is not right.",
    "请按 findings 改正头部。", "Correct the headers named in findings.",
)  # fmt: skip
UPLOAD_TYPE = Fault(
    "upload_content_type", 415, "上传内容必须是 application/offset+octet-stream。",
    "What is uploaded must be application/offset+octet-stream.",
    "请设置 Content-Type。", "Set Content-Type.",
)  # fmt: skip
UPLOAD_OFFSET = Fault(
    "upload_offset", 409, "偏移量与服务器已收到的不一致。", "The offset is not where the server stands.",
    "请用 HEAD 查询 Upload-Offset,从那里继续。", "Ask for Upload-Offset with HEAD and go on from there.",
)  # fmt: skip
UPLOAD_CHECKSUM = Fault(
    "upload_checksum", CODE_CHECKSUM, "这一段的校验和不符,未计入。",
    "The piece does not have its checksum; it does not count.",
    "请从同一偏移量重新发送这一段。", "Send the piece again from the same offset.",
)  # fmt: skip
UPLOAD_TOO_LONG = Fault(
    "upload_too_long", 413, "发送的内容超过 Upload-Length。", "More was sent than Upload-Length.",
    "请检查文件长度后重新上传。", "Check the length of the file and upload it again.",
)  # fmt: skip


class Checksum(msgspec.Struct, frozen=True):
    """What a piece must hash to."""

    algorithm: str
    digest: bytes

    def begin(self) -> Any:
        """Return the hash to feed with the piece."""
        return hashlib.new(self.algorithm, usedforsecurity=False)

    def check(self, seen: Any) -> None:
        """Raise upload_checksum unless the piece fed to `seen` is the one meant."""
        if not hmac.compare_digest(seen.digest(), self.digest):
            raise Problem(UPLOAD_CHECKSUM)


class Creation(msgspec.Struct, frozen=True):
    """A new upload: the sha256 its bytes will have, how many they are, and the metadata as it was sent."""

    sha256: str
    length: int
    metadata: str
    media_type: str | None
    """What the sender takes it for; the bytes decide."""


def check_version(headers: Mapping[str, str]) -> None:
    """Raise tus_version for a client of another version, or of none."""
    if headers.get("Tus-Resumable") != VERSION:
        raise Problem(TUS_VERSION)


def check_piece_type(headers: Mapping[str, str]) -> None:
    """Raise upload_content_type for a body that is no piece of a file."""
    if not carries_piece(headers):
        raise Problem(UPLOAD_TYPE)


def carries_piece(headers: Mapping[str, str]) -> bool:
    """Whether the body is a piece of a file."""
    return headers.get("Content-Type", "").partition(";")[0].strip().lower() == PIECE_TYPE


def read_offset(headers: Mapping[str, str]) -> int:
    """Return Upload-Offset, in bytes; raises upload_malformed."""
    return _number(headers, "Upload-Offset")


def read_creation(headers: Mapping[str, str]) -> Creation:
    """Return what is to be uploaded: Upload-Length, and `sha256` (hex) and `filetype` of Upload-Metadata.

    Raises upload_malformed.
    """
    text = headers.get("Upload-Metadata", "")
    if len(text) > METADATA_LENGTH:
        raise _malformed("Upload-Metadata", f"最多 {METADATA_LENGTH} 个字符", f"at most {METADATA_LENGTH} characters")
    metadata = _metadata(text)
    sha256 = metadata.get("sha256", "")
    if not _SHA256.fullmatch(sha256):
        raise _malformed("Upload-Metadata", "需要 sha256(十六进制小写)", "needs sha256, in lower-case hex")
    return Creation(sha256, _number(headers, "Upload-Length"), text, metadata.get("filetype"))


def read_checksum(headers: Mapping[str, str]) -> Checksum | None:
    """Return Upload-Checksum, or None where there is none; raises upload_malformed."""
    text = headers.get("Upload-Checksum")
    if text is None:
        return None
    algorithm, _, encoded = text.partition(" ")
    if algorithm not in ALGORITHMS:
        raise _malformed("Upload-Checksum", "只支持 sha256 和 sha1", "only sha256 and sha1 are known")
    digest = _decoded(encoded, "Upload-Checksum")
    return Checksum(algorithm, digest)


def _metadata(text: str) -> dict[str, str]:
    """Read `key base64,key base64,key`; a key without value has an empty one."""
    found: dict[str, str] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        key, _, encoded = pair.partition(" ")
        if key in found:
            raise _malformed("Upload-Metadata", f"{key} 重复", f"{key} is there twice")
        found[key] = _decoded(encoded, "Upload-Metadata").decode("utf-8", "replace")
    return found


def _decoded(encoded: str, header: str) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed(header, "不是 base64", "is not base64") from error


def _number(headers: Mapping[str, str], header: str) -> int:
    text = headers.get(header, "")
    if not _NUMBER.fullmatch(text):
        raise _malformed(header, "需要一个非负整数", "must be a whole number, not negative")
    return int(text)


def _malformed(header: str, zh: str, en: str) -> Problem:
    return Problem(UPLOAD_MALFORMED, Finding(header, zh, en))
