"""The virtual environment of the programs we are measured against, apart from our own."""

import subprocess
import venv
from pathlib import Path
from typing import Final

REQUIREMENTS: Final = Path(__file__).parent / "requirements-peers.txt"
PEERS: Final = Path(__file__).parent / "out" / "peers"


def installed() -> Path:
    """Return the peers' Python; their environment is made once, and again when the requirements change."""
    python = PEERS / "bin" / "python"
    done = PEERS / REQUIREMENTS.name
    if not done.exists() or done.read_bytes() != REQUIREMENTS.read_bytes():
        venv.create(PEERS, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS], check=True)
        done.write_bytes(REQUIREMENTS.read_bytes())
    return python
