"""The glossary says what is in the code, in both languages, each word once."""

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORDS_OF_THE_DESIGN = {
    "Customer", "Contact", "Site", "Position", "Asset", "ServiceContract", "WorkOrder", "Visit", "Attendance",
    "Assignment", "Technician", "Crew", "Dispatcher", "Territory", "Skill", "Shift", "Absence", "MaintenancePlan",
    "ChecklistTemplate", "CompletionForm", "Signature", "Part", "StockMovement", "PartUse", "Complaint", "Escalation",
    "KnowledgeArticle", "Problem", "Plan", "Route", "Stop", "Unplanned", "Device", "Mutation", "Change", "Cookie",
    "Bucket", "Tombstone",
}  # fmt: skip


def rows() -> list[list[str]]:
    lines = (ROOT / "docs" / "glossary.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0] != "Term"]


def test_every_word_stands_once_with_chinese_meaning_and_place() -> None:
    found = rows()
    assert all(len(row) == 4 and all(row) for row in found)
    assert [term for term, times in Counter(row[0] for row in found).items() if times > 1] == []
    assert all(re.search(r"[\u4e00-\u9fff]", chinese) for _, chinese, _, _ in found)
    assert not any(re.search(r"[\u4e00-\u9fff]", term + meaning) for term, _, meaning, _ in found)


def test_the_words_of_the_design_are_explained() -> None:
    explained = {word.strip() for row in rows() for word in row[0].split(",")}
    assert explained >= WORDS_OF_THE_DESIGN | {"ServiceRequest", "FollowUp"}


def test_every_place_it_names_exists_and_holds_the_word() -> None:
    for term, _, _, where in rows():
        path, *names = re.findall(r"`([^`]+)`", where)
        place = ROOT / path
        assert place.exists(), f"{term}: no {path}"
        text = place.read_text("utf-8") if place.is_file() else ""
        assert all(re.search(rf"\b{re.escape(name)}\b", text) for name in names), f"{term}: {names} is not in {path}"
