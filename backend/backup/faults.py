"""Why a backup or a restore is refused: one sentence in both languages, with what to do."""


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
