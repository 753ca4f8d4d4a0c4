"""Why a backup or a restore is refused: one sentence in both languages, with what to do."""

from collections.abc import Generator
from contextlib import contextmanager

from backend.attachments.places import BLOB_STORE_UNREACHABLE
from backend.core.errors import Problem


class BackupRefusedError(Exception):
    """Nothing was changed; the message says why, in Chinese and English."""

    def __init__(self, zh: str, en: str) -> None:
        super().__init__(f"{zh} / {en}")


def damaged(what: str) -> BackupRefusedError:
    """Return the refusal of a file that is not what it was when it was written."""
    return BackupRefusedError(
        f"备份已损坏 ({what}),什么都没有改动。请用另一份备份",
        f"this backup is damaged ({what}); nothing was changed. Use another backup",
    )


@contextmanager
def reaching_files() -> Generator[None]:
    """Refuse when the store of the files cannot be reached: what it has is not lost."""
    try:
        yield
    except Problem as problem:
        if problem.fault is not BLOB_STORE_UNREACHABLE:
            raise
        raise BackupRefusedError(
            "文件存储 (PAIGONG_BLOBS) 无法访问,什么都没有改动。请稍后重试",
            "the file store (PAIGONG_BLOBS) cannot be reached; nothing was changed. Try again in a moment",
        ) from problem
