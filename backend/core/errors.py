"""Errors as facts: a stable code, a status, and a sentence in both languages that says what to do next (RFC 9457)."""

import re
from dataclasses import dataclass
from typing import Final

import msgspec

ASIDE: Final = re.compile(r"\s*\([^()]*\{[^()]*\)|: ?\{\w+\}(?=\.?$)")
"""What of a sentence is of one occurrence and can be left out: `(moved by {mover})`, and `: {detail}` at its end."""
FACT: Final = re.compile(r"`?\{\w+\}`?(\.$)?")

FAULTS: Final[dict[str, "Fault"]] = {}
"""Every fault the server can answer, by code; docs/reference/errors.md is generated from it."""


@dataclass(frozen=True)
class Fault:
    """A kind of refusal. `zh` and `en` say what is wrong, `todo_zh` and `todo_en` what to do about it."""

    code: str
    status: int
    zh: str
    en: str
    todo_zh: str
    todo_en: str

    def __post_init__(self) -> None:
        """Register the fault; two faults under one code would make the code meaningless."""
        known = FAULTS.setdefault(self.code, self)
        if known != self:
            msg = f"two faults share the code {self.code}"
            raise ValueError(msg)

    @property
    def title(self) -> str:
        """What is wrong, without the facts: the same for every occurrence (RFC 9457, 3.1.3)."""
        return FACT.sub("…", ASIDE.sub("", self.en))


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing wrong in a request: where (`field`, a dotted path) and what, in both languages."""

    field: str
    zh: str
    en: str


class ProblemDetails(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of every error answer, `application/problem+json` (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    detail_zh: str
    todo: str
    todo_zh: str
    findings: tuple[Finding, ...] = ()
    facts: dict[str, str | int] = {}


class Problem(Exception):
    """A request that cannot be done, to be answered as problem details. Raising it rolls the transaction back."""

    def __init__(self, fault: Fault, *findings: Finding, **facts: str | int) -> None:
        super().__init__(fault.code)
        self.fault = fault
        self.findings = findings
        self.facts = facts

    def details(self) -> ProblemDetails:
        """Return the answer's body."""
        fault = self.fault
        return ProblemDetails(
            type=f"urn:paigong:problem:{fault.code}",
            title=fault.title,
            status=fault.status,
            detail=fault.en.format_map(self.facts) if self.facts else fault.en,
            code=fault.code,
            detail_zh=fault.zh.format_map(self.facts) if self.facts else fault.zh,
            todo=fault.todo_en,
            todo_zh=fault.todo_zh,
            findings=self.findings,
            facts=self.facts,
        )


NOT_FOUND = Fault(
    "not_found", 404, "没有这条记录,或您无权查看。", "There is no such record, or you may not see it.",
    "请检查编号,或向调度确认您的权限。", "Check the id, or ask a dispatcher whether you should have access.",
)  # fmt: skip
FORBIDDEN = Fault(
    "forbidden", 403, "您的角色不允许这样做。", "Your role does not allow this.",
    "请联系管理员调整角色。", "Ask an administrator for a role that allows it.",
)  # fmt: skip
NOT_SIGNED_IN = Fault(
    "not_signed_in", 401, "尚未登录或登录已过期。", "You are not signed in, or the sign-in has expired.",
    "请用刷新令牌换取新令牌,或重新登录。", "Refresh the token at POST /auth/refresh, or sign in again.",
)  # fmt: skip
INVALID = Fault(
    "invalid", 422, "请求中有不正确的内容。", "Something in the request is not right.",
    "请按 findings 逐项改正后重新提交。", "Correct each of the findings and send it again.",
)  # fmt: skip
TOO_LARGE = Fault(
    "too_large", 413, "内容超过上限。", "The body is larger than the limit.",
    "请缩小或分批提交;上限见 docs/reference/limits.md。",
    "Send less or in parts; the limits are in docs/reference/limits.md.",
)  # fmt: skip
STALE = Fault(
    "stale", 412, "在您编辑期间,别人已修改了这条记录。", "Someone else changed this record while you were editing.",
    "请重新读取,再做修改。", "Read it again, then repeat your change.",
)  # fmt: skip
PRECONDITION_MISSING = Fault(
    "if_match_missing", 428, "修改时必须带 If-Match。", "An edit needs an If-Match header.",
    "请用读取时得到的 ETag 作为 If-Match。", "Send the ETag you got when reading as If-Match.",
)  # fmt: skip
IDEMPOTENCY_KEY_MISSING = Fault(
    "idempotency_key_missing", 400, "新建时必须带 Idempotency-Key。", "Creating needs an Idempotency-Key header.",
    "请为每次新建生成一个 UUID;重发时用同一个。", "Make a UUID for each creation and repeat it when sending again.",
)  # fmt: skip
IDEMPOTENCY_KEY_REUSED = Fault(
    "idempotency_key_reused", 409, "这个 Idempotency-Key 已用于另一个请求。",
    "This Idempotency-Key was used for another request.",
    "请换一个新的 UUID。", "Use a new UUID.",
)  # fmt: skip
CONSTRAINT = Fault(
    "constraint", 409, "数据库拒绝了这次修改:与已有记录冲突。",
    "The database refused the change: it clashes with an existing record.",
    "请检查编号、电话或外部编号是否重复,以及所引用的记录是否存在。",
    "Check that numbers, phones and external ids are not taken and that the records you refer to exist.",
)  # fmt: skip
BUSY = Fault(
    "busy", 503, "服务器暂时繁忙。", "The server is busy at the moment.",
    "请几秒后用同样内容重试。", "Send the same request again in a few seconds.",
)  # fmt: skip
