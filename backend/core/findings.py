"""What was wrong with a request's shape, said in both languages and with the field's name."""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from litestar.exceptions import ValidationException

from backend.core.allowed import Taken, with_allowed
from backend.core.errors import Finding

BODY: Final = "data"
"""What the framework calls the body as a whole."""
FIELDS_NAMED: Final = 20
"""Findings told of one request."""

WORDINGS: Final = (
    (re.compile(r"Object missing required field `(?P<field>[^`]+)`"), "缺少必填字段 {field}"),
    (re.compile(r"Object contains unknown field `(?P<field>[^`]+)`"), "没有名为 {field} 的字段"),
    (re.compile(r"Expected `(?P<wanted>[^`]+)`, got `(?P<got>[^`]+)`"), "应为 {wanted},收到的是 {got}"),
    (re.compile(r"Expected `(?P<wanted>[^`]+)` of length (?P<bound>[<>=]+ ?\d+)"), "应为长度 {bound} 的 {wanted}"),
    (re.compile(r"Expected `(?P<wanted>[^`]+)` (?P<bound>[<>=]+ ?[-\d.]+)"), "应为 {bound} 的 {wanted}"),
    (re.compile(r"Expected `(?P<wanted>[^`]+)`"), "应为 {wanted}"),
    (re.compile(r"Invalid enum value (?P<got>.+?); allowed: (?P<values>.+)"), "不能是 {got},应为以下之一:{values}"),
    (re.compile(r"Invalid (?P<wanted>.+)"), "不是有效的 {wanted}"),
    (re.compile(r"Missing required (?P<kind>\w+) parameter '(?P<field>[^']+)'"), "缺少参数 {field}"),
)
"""The validator's own sentences, with what they mean in Chinese."""


def findings_of(error: ValidationException, taken: Mapping[str, Taken]) -> list[Finding]:
    """Return what a validation error found, one finding a field; `taken` is what the query may give, by argument."""
    extra: Any = error.extra
    if not isinstance(extra, list):
        return [finding(BODY, error.detail)]
    found = [cast("Mapping[str, Any]", one) for one in cast("list[Any]", extra) if isinstance(one, dict)]
    return [_told(one, taken) for one in found[:FIELDS_NAMED]]


def _told(one: Mapping[str, Any], taken: Mapping[str, Taken]) -> Finding:
    field, said = str(one.get("key", BODY)), str(one.get("message", ""))
    if one.get("source") != "query" or field not in taken:
        return finding(field, said)
    return finding(taken[field].name, with_allowed(said, taken[field].kind, ""))


def finding(field: str, message: str) -> Finding:
    """Return a finding in both languages; a message that names the field itself is believed over `field`."""
    for pattern, wording in WORDINGS:
        match = pattern.search(message)
        if match:
            words = match.groupdict()
            named = words.get("field", "")
            inside = f"{field}.{named}" if field != BODY and named else named or field
            return Finding("" if inside == BODY else inside, wording.format_map(words), message)
    return Finding("" if field == BODY else field, "内容不正确", message)
