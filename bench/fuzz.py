"""Schemathesis against a running demo server: every operation of the OpenAPI document, with good and with bad input.

    make schemathesis [CASES=2000]

A demo server is started for it and thrown away. Each round is signed in as another of the demo's people, since nobody
may do everything. Ends with one line of `name=value` figures; a server error, a server that stops answering, or fewer
cases than asked for, is a failure, and so is a round that ends signed out. Operations that would end the session are
left out (ids come from earlier answers, one's own among them): what follows would be 401.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import httpx
import msgspec

from backend.imports.demo_city import DEMO_PASSWORD, demo_logins
from bench.server import demo_server, newcomers_environment

SCHEMA: Final = "/docs/openapi.json"
LEFT_OUT: Final = "^/auth/|/sessions|/deactivation|-grants"
EXAMPLES: Final = 5
"""Random cases per operation in a round, beside those that follow from the document."""
REQUEST_SECONDS: Final = 30
"""How long an answer may take; longer is a failure."""
ROUNDS: Final = 40
"""Rounds, each with a seed of its own, after which having too few cases is a failure."""


class Counted(msgspec.Struct, frozen=True):
    """Test cases of a report by Schemathesis."""

    generated: int
    with_failures: int


class Operations(msgspec.Struct, frozen=True):
    """Operations of a report by Schemathesis."""

    tested: int
    errored: int


class Report(msgspec.Struct, frozen=True):
    """What we read of a report by Schemathesis (`--report json`)."""

    exit_code: int
    test_cases: Counted
    operations: Operations


def main() -> None:
    """Run rounds until there are enough cases; exits with 1 when one of them found a server error."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="paigong-fuzz-") as name, demo_server(Path(name)) as address:
        rounds = _rounds(address, Path(name), given.cases, given.seed)
    cases = sum(one.test_cases.generated for one in rounds)
    failed = sum(one.test_cases.with_failures for one in rounds)
    tested = rounds[0].operations.tested
    print(f"cases={cases} operations={tested} server_errors={failed} rounds={len(rounds)} seed={given.seed}")
    sys.exit(1 if any(one.exit_code for one in rounds) or cases < given.cases else 0)


def _rounds(address: str, folder: Path, cases: int, seed: int) -> list[Report]:
    rounds: list[Report] = []
    people = demo_logins()
    while len(rounds) < ROUNDS:
        login = people[len(rounds) % len(people)]
        rounds.append(_one_round(address, folder, seed + len(rounds), login.employee_number))
        enough = sum(one.test_cases.generated for one in rounds) >= cases and len(rounds) >= len(people)
        if enough or rounds[-1].exit_code:
            break
    return rounds


def _one_round(address: str, folder: Path, seed: int, login: str) -> Report:
    report = folder / f"report-{seed}.json"
    signed_in = {"Authorization": f"Bearer {_access_token(address, login)}"}
    command = [
        sys.executable, "-m", "schemathesis.cli", "run", address + SCHEMA,
        *(f"--header={name}: {value}" for name, value in signed_in.items()),
        "--exclude-path-regex", LEFT_OUT,
        "--checks", "not_a_server_error",
        "--phases", "examples,coverage,fuzzing",
        "--max-examples", str(EXAMPLES),
        # a connection the server closes after five idle seconds, just as it is used again, is no failure of the server
        "--request-retries", "3", "--request-timeout", str(REQUEST_SECONDS),
        "--continue-on-failure",
        "--seed", str(seed),
        "--generation-database", "none",
        "--report", "json", "--report-json-path", str(report),
        "--no-color",
    ]  # fmt: skip
    subprocess.run(command, cwd=folder, env=newcomers_environment(folder), check=False)
    httpx.get(f"{address}/me", headers=signed_in).raise_for_status()
    return msgspec.json.decode(report.read_bytes(), type=Report)


def _access_token(address: str, login: str) -> str:
    """Sign in anew for each round: an access token lives for minutes only."""
    answer = httpx.post(f"{address}/auth/sign-in", json={"login": login, "password": DEMO_PASSWORD})
    return str(answer.raise_for_status().json()["access_token"])


if __name__ == "__main__":
    main()
