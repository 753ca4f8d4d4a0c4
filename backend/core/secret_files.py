"""Files with a secret: made once, whole, and never readable by anybody but the server's user."""

import os
import secrets
from pathlib import Path

from backend.core.ids import new_id
from backend.settings import SettingsError


def write_once(path: Path, raw: bytes) -> None:
    """Write a secret durably, and only if nobody else wrote one first: then theirs stays."""
    draft = path.with_name(f"{path.name}.{new_id()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        draft.unlink()


def key_in(path: Path, length: int) -> bytes:
    """Return the key of so many bytes in a file, made on first use; processes that start at once have the same.

    Raises SettingsError for a file of another length: a key that was cut off would let anybody in.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_once(path, secrets.token_bytes(length))
    key = path.read_bytes()
    if len(key) != length:
        msg = (
            f"密钥文件 {path} 应为 {length} 字节,实际 {len(key)} 字节:请从备份恢复;没有备份就删除它,所有人需重新登录 / "
            f"the key file {path} must have {length} bytes and has {len(key)}: bring it back from a backup, or without "
            f"one delete it; everybody signs in again then"
        )
        raise SettingsError(msg)
    return key
