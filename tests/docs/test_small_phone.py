"""The small phone in JavaScript passes the test vectors of what it does. Its day is lived in test_phone_day.py."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT

NODE = shutil.which("node")
SMALL_PHONE = ROOT / "docs/examples/small-phone.mjs"
VECTORS = ROOT / "tests/sync/vectors"
ASKED = """
import { readFileSync } from "node:fs"
const { bodiesOf, checkOf, digest, swapped } = await import(process.argv[2])
const cases = JSON.parse(readFileSync(0, "utf8"))
const withBodies = ({ ops = [], ...page }) => ({ ...page, ops, bodies: ops.map((op) => op.body) })
const done = {
  checksum: ({ entity, row, body }) => checkOf({ [`${entity}/${row}`]: body }).sum,
  digest: ({ incarnation, cookie, page }) => digest(incarnation, cookie, page),
  pull: ({ held, pages }) => swapped(held, pages.map(withBodies)),
  raw: ({ text }) => bodiesOf(JSON.parse(text), text),
}
console.log(JSON.stringify(cases.map(([kind, one]) => done[kind](one))))
"""

pytestmark = pytest.mark.skipif(NODE is None, reason="the small phone needs Node.js")


def asked(cases: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """What the small phone makes of each case."""
    done = subprocess.run(
        [str(NODE), "--input-type=module", "-e", ASKED, "vectors", str(SMALL_PHONE)],
        input=json.dumps(cases), check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_vectors_of_a_pull() -> None:
    files = {name: json.loads(Path(VECTORS / f"{name}.json").read_bytes()) for name in ("checksum", "digest", "pull")}
    expected = {"checksum": "sum", "digest": "of", "pull": "then"}
    cases = [(name, case) for name, found in files.items() for case in found]
    for (name, case), said in zip(cases, asked(cases), strict=True):
        known = {bucket: rows for bucket, rows in said.items() if rows} if name == "pull" else said
        assert known == case[expected[name]], case["name"]


def test_bodies_are_cut_out_as_they_came() -> None:
    bodies = [r'{"lat":31.0,"note":"a \"}]\" and \\"}', '{"empty":{},"list":[1.50,[]]}']
    ops = ",".join(f'{{"op":"put","bucket":"b","entity":"e","row":"r","body":{body}}}' for body in bodies)
    text = f'{{"of":"x","v":1,"ops":[{ops},{{"op":"drop","bucket":"b"}}],"cookie":"c"}}'
    assert asked([("raw", {"text": text})]) == [[*bodies, None]]
