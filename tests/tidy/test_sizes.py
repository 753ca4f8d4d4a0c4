"""The worst file decides how a house feels, so sizes have limits; what may exceed one is named here with its reason."""

import statistics
from collections.abc import Callable

import pytest

from tests.tidy.source import is_product, name_of, python_files, source

FUNCTION_LINES = 70
FILE_LINES = 500
CLASS_METHODS = 15
MEDIAN_FUNCTION_LINES = 10

ALLOWED: dict[str, str] = {
    "tests/sync/test_simulation.py:History": "a Hypothesis state machine: its rules are its methods",
    "tests/sync/sql_world.py:SqlWorld": "an office before a store: one method for each thing the contract lets happen",
    "tests/sync/world.py:MemoryWorld": "an office before a store: one method for each thing the contract lets happen",
}
"""`file`, `file:function` or `file:Class`, and the reason why it may be larger."""


def _too_large(measured: dict[str, int], limit: int) -> dict[str, int]:
    return {name: size for name, size in measured.items() if size > limit and name not in ALLOWED}


def _function_lines() -> dict[str, int]:
    return {f"{name_of(file)}:{name}": lines for file in python_files() for name, lines in source(file).functions}


def _file_lines() -> dict[str, int]:
    return {name_of(file): file.read_text("utf-8").count("\n") for file in python_files()}


def _class_methods() -> dict[str, int]:
    return {f"{name_of(file)}:{name}": methods for file in python_files() for name, methods in source(file).classes}


@pytest.mark.parametrize(
    ("measure", "limit"),
    [(_function_lines, FUNCTION_LINES), (_file_lines, FILE_LINES), (_class_methods, CLASS_METHODS)],
)
def test_nothing_is_too_large(measure: Callable[[], dict[str, int]], limit: int) -> None:
    measured = measure()
    assert measured, "there is something to measure"
    assert not _too_large(measured, limit)


def test_half_of_all_functions_fit_in_ten_lines() -> None:
    lengths = [lines for file in python_files() if is_product(file) for _, lines in source(file).functions]
    assert statistics.median(lengths) <= MEDIAN_FUNCTION_LINES


def test_what_is_allowed_to_be_larger_exists_and_has_a_reason() -> None:
    assert set(ALLOWED) <= {*_function_lines(), *_file_lines(), *_class_methods()}
    assert all(ALLOWED.values())
