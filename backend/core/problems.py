"""How every failure is answered: problem details (RFC 9457) whatever raised it, and nothing of our insides."""

import logging
from typing import Any, Final

import msgspec
from litestar import Request, Response
from litestar.exceptions import ClientException, HTTPException, ValidationException
from sqlalchemy.exc import DBAPIError, IntegrityError, NoResultFound, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from backend.core.errors import (
    BUSY,
    CONSTRAINT,
    FORBIDDEN,
    INVALID,
    NOT_FOUND,
    NOT_SIGNED_IN,
    TOO_LARGE,
    Fault,
    Finding,
    Problem,
)
from backend.core.findings import findings_of
from backend.core.reading import query_taken
from backend.core.transience import may_pass

MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = "2"

METHOD_NOT_ALLOWED = Fault(
    "method_not_allowed", 405, "这个地址不支持该方法。", "This address does not take that method.",
    "请查阅 /docs 中的接口说明。", "See the API at /docs.",
)  # fmt: skip
MALFORMED = Fault(
    "malformed", 400, "请求格式不正确。", "The request is malformed.",
    "请检查 JSON 语法、编码(UTF-8)和字段类型。",
    "Check the JSON syntax, the encoding (UTF-8) and the types of the fields.",
)  # fmt: skip
UNEXPECTED = Fault(
    "unexpected", 500, "服务器发生意外错误,什么都没有保存。", "The server failed unexpectedly; nothing was saved.",
    "请稍后重试;若再次发生,请把 x-request-id 告诉管理员。",
    "Try again later; if it happens again, tell an administrator the x-request-id.",
)  # fmt: skip

BY_STATUS: Final = {401: NOT_SIGNED_IN, 403: FORBIDDEN, 404: NOT_FOUND, 405: METHOD_NOT_ALLOWED, 413: TOO_LARGE}

log = logging.getLogger(__name__)


def answer_problem(_request: Request[Any, Any, Any], problem: Problem) -> Response[bytes]:
    """Answer a refusal of ours."""
    return _answer(problem)


def answer_http(_request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer a refusal of the framework: unknown address, wrong method, body too large, malformed input."""
    return _answer(Problem(BY_STATUS.get(error.status_code, MALFORMED), Finding("", MALFORMED.zh, error.detail)))


def answer_unreadable(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer bytes that are not UTF-8 (GBK from a spreadsheet, say), or JSON nested deeper than anybody means it."""
    log.info("unreadable: %s", error)
    return _answer(Problem(MALFORMED))


def answer_validation(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
    """Answer input of the wrong shape, naming each field, and the values there are where it takes one of a few."""
    return _answer(Problem(INVALID, *findings_of(error, query_taken(request.route_handler))))


def answer_missing(_request: Request[Any, Any, Any], _error: NoResultFound) -> Response[bytes]:
    """Answer a key that leads nowhere."""
    return _answer(Problem(NOT_FOUND))


def answer_constraint(_request: Request[Any, Any, Any], error: IntegrityError) -> Response[bytes]:
    """Answer what the database refused; the transaction is rolled back."""
    log.info("constraint: %s", error.orig)
    return _answer(Problem(CONSTRAINT))


def answer_database(_request: Request[Any, Any, Any], error: DBAPIError) -> Response[bytes]:
    """Answer a database that is locked, gone or deadlocked: the same request may succeed in a moment.

    SQLSTATE class 22 is a value the database cannot hold, such as a NUL in a text: that is the request's fault.
    """
    if str(getattr(error.orig, "sqlstate", "")).startswith("22"):
        unstorable = Finding("", "有数据库无法存储的字符或数值", "a character or number no row can hold")
        return _answer(Problem(INVALID, unstorable))
    log.error("database", exc_info=error)
    return _answer(Problem(BUSY if may_pass(error) else UNEXPECTED))


def answer_busy(_request: Request[Any, Any, Any], _error: PoolTimeoutError) -> Response[bytes]:
    """Answer that no connection came free in time."""
    return _answer(Problem(BUSY))


def answer_statement(request: Request[Any, Any, Any], error: StatementError) -> Response[bytes]:
    """Answer a value no column can hold, such as an instant before the year 1 in UTC."""
    if isinstance(error.orig, OverflowError):
        return answer_overflow(request, error.orig)
    return answer_unexpected(request, error)


def answer_overflow(_request: Request[Any, Any, Any], error: OverflowError) -> Response[bytes]:
    """Answer a time or number beyond what can be calculated with; the transaction is rolled back."""
    log.warning("out of range", exc_info=error)
    return _answer(Problem(INVALID, Finding("", "时间或数值超出范围", "a time or a number is out of range")))


def answer_unexpected(_request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer a defect of ours: logged in full here, told without details."""
    log.error("unexpected", exc_info=error)
    return _answer(Problem(UNEXPECTED))


def _answer(problem: Problem) -> Response[bytes]:
    wait = problem.facts.get("retry_after_seconds", RETRY_SECONDS if problem.fault is BUSY else None)
    headers = {} if wait is None else {"Retry-After": str(wait)}
    if problem.fault.status == NOT_SIGNED_IN.status:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(
        msgspec.json.encode(problem.details()), status_code=problem.fault.status, media_type=MEDIA_TYPE, headers=headers
    )


PROBLEM_HANDLERS: Final[dict[int | type[Exception], Any]] = {
    Problem: answer_problem,
    ValidationException: answer_validation,
    UnicodeDecodeError: answer_unreadable,
    msgspec.DecodeError: answer_unreadable,
    RecursionError: answer_unreadable,
    ClientException: answer_http,
    HTTPException: answer_http,
    NoResultFound: answer_missing,
    IntegrityError: answer_constraint,
    DBAPIError: answer_database,
    StatementError: answer_statement,
    OverflowError: answer_overflow,
    PoolTimeoutError: answer_busy,
    Exception: answer_unexpected,
}
