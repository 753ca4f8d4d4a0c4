"""Installs what the lock files say into .venv, once: `python3 .ci/install.py runtime` or `... development`.

Runs on any Python from 3.11 with nothing but its standard library. A stamp in .venv remembers which lock files, which
checkout and which Python it was made from; as long as those are the same, this returns at once.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
OLDEST = (3, 11)
LOCKS = {"runtime": ["requirements.lock"], "development": ["requirements.lock", "requirements-dev.lock"]}
NO_VENV = """\
这个 Python 没有 venv 模块, 请先安装, 例如: sudo apt install python3-venv
This Python has no venv module. Install it first, for example: sudo apt install python3-venv
"""
FAILED = """\
安装失败 (见上), 常见原因是没有网络: 修好后重新运行即可.
The installation failed (see above), most often for lack of a network. Mend that and run the same command again.
"""


def fingerprint(kind: str) -> str:
    """What an installation depends on: locked packages, the project's entry, its place, and the Python that runs it."""
    digest = hashlib.sha256()
    for name in LOCKS[kind]:
        digest.update((ROOT / name).read_bytes())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    digest.update(json.dumps(project).encode())
    return f"{digest.hexdigest()} {VENV} {venv_python()}"


def venv_python() -> str:
    """The version of the Python in .venv, or nothing when there is none that runs."""
    try:
        asked = subprocess.run(
            [PYTHON, "-I", "-c", "import platform; print(platform.python_version())"],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return asked.stdout.strip()


def belongs_here() -> bool:
    """Whether .venv was made in this place and still runs: a virtual environment does not survive being moved."""
    pip = VENV / "bin" / "pip"
    if not pip.exists() or not venv_python():
        return False
    return str(VENV) in pip.read_text("utf-8", "replace")[:500]


def make_venv() -> None:
    """Make .venv anew, with the Python that runs this file."""
    try:
        import ensurepip  # noqa: F401, PLC0415 - Debian takes it out of Python and sells it as python3-venv
        import venv  # noqa: F401, PLC0415
    except ImportError:
        sys.exit(NO_VENV)
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([sys.executable, "-I", "-m", "venv", VENV], check=True)


def pip_install(*arguments: str, aloud: bool = True) -> None:
    """Run pip; where the home cannot hold a cache, do without one and without a warning about it."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    existing = next(folder for folder in [cache, *cache.parents] if folder.exists())
    mine = os.access(existing, os.W_OK) and existing.stat().st_uid == os.getuid()
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    command = [PYTHON, "-I", "-m", "pip", "install", *quiet, *([] if mine else ["--no-cache-dir"]), *arguments]
    said = None if aloud else subprocess.PIPE
    done = subprocess.run(command, check=False, cwd=ROOT, stdout=said, stderr=said and subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit((done.stdout or "") + FAILED)


def install(kind: str) -> None:
    """Bring .venv to what the lock files say."""
    stamp = VENV / f".{kind}"
    if stamp.exists() and stamp.read_text("utf-8") == fingerprint(kind):
        compile_search(kind)
        return
    began = time.monotonic()
    print(f"正在安装到 .venv, 通常不到一分钟 / installing into .venv, usually under a minute ({kind}) ...", flush=True)
    if not belongs_here():
        make_venv()
    locked = [part for name in LOCKS[kind] for part in ("--requirement", name)]
    pip_install("--require-hashes", "--only-binary", ":all:", *locked)
    pip_install("--no-deps", "--no-build-isolation", "--no-index", "--editable", ".", aloud=False)
    for done in LOCKS if kind == "development" else [kind]:
        (VENV / f".{done}").write_text(fingerprint(done), "utf-8")
    print(f"依赖安装用时 / installed in {time.monotonic() - began:.0f} s", flush=True)
    compile_search(kind)


def compile_search(kind: str) -> None:
    """For development, compile the planner's search once for these sources; a server does that while it serves."""
    if kind == "development":
        subprocess.run([PYTHON, "-m", "routing.compile"], check=True, cwd=ROOT)


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        sys.exit(f"Python {sys.version.split()[0]} is too old: Paigong needs 3.11 or newer.")
    if len(sys.argv) != 2 or sys.argv[1] not in LOCKS:  # noqa: PLR2004 - the command and one word
        sys.exit(f"usage: python3 .ci/install.py {'|'.join(LOCKS)}")
    install(sys.argv[1])
