"""Deciding on each row: which records it means, whether they are new, changed or the same, what refuses it. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, cast
from uuid import UUID

from backend.core.errors import Finding
from backend.core.ids import new_id
from backend.imports.completing import ADD, FIT, KEEP, Completion
from backend.imports.converters import CellRefused
from backend.imports.known import Columns, Decided, Identity, Known, Seen, View
from backend.imports.rows import Draft, Reference, RowDraft
from backend.imports.schemas import ImportMapping, Refusal
from backend.imports.scope import outside
from backend.imports.targets import Target


@dataclass(frozen=True)
class Decision:
    """What becomes of one record of one row."""

    kind: Literal["create", "change", "same", "repeat"]
    """`repeat`: an earlier row of the file has said it."""
    target: Target
    id: UUID
    line: int
    values: Columns = field(default_factory=dict[str, Any])
    """All columns of a new record; the changed columns of a known one."""
    before: Columns = field(default_factory=dict[str, Any])
    """What the changed columns held."""
    given: Columns = field(default_factory=dict[str, Any])
    """What the file itself gave."""


@dataclass(frozen=True)
class Basis:
    """What holds for every row of a run."""

    mapping: ImportMapping
    now: datetime
    catalogues: Mapping[str, frozenset[str]]
    """Keys of preset sets, by set."""
    units: frozenset[UUID] | None = None
    """The units whose records may be written; None for the operator's, who may write all."""


class RecordRefused(Exception):
    """A record that cannot be made, with the reasons; none of its own where it only follows another one's."""

    def __init__(self, *reasons: Finding) -> None:
        super().__init__(reasons)
        self.reasons = reasons


@dataclass
class _Attempt:
    """One record about to be decided."""

    draft: Draft
    line: int
    view: View
    basis: Basis
    refused: set[tuple[str, str]]
    """Records of the same row that were refused, by entity and external id."""
    follows: bool = False
    """Whether this one refers to a refused one, and so is refused without a reason of its own."""

    @property
    def target(self) -> Target:
        return self.draft.target

    @property
    def name(self) -> str:
        """What the record is called in a reason."""
        return f"{self.target.entity} {self.draft.external_id}".strip()

    def finding(self, name: str, zh: str, en: str) -> Finding:
        """A reason about a field, placed where the file says it."""
        place = self.draft.column_of(name) if name in self.draft.record.fields else name
        return Finding(place, zh, en)


def decide_rows(
    rows: Sequence[RowDraft], known: Known, run: Decided, basis: Basis
) -> tuple[list[Decision], list[Refusal], Decided]:
    """Decide on rows in their order.

    Returns decisions, refusals and what was decided, which the run absorbs once it is written.
    """
    chunk, decisions, refusals = Decided(), list[Decision](), list[Refusal]()
    for row in rows:
        view = View(known, run, chunk, basis.catalogues)
        made, reasons = ([], row.refused) if row.refused else _decide_row(row, view, basis)
        if reasons:
            refusals.append(Refusal(row.line, tuple(dict.fromkeys(reasons))))
        else:
            decisions.extend(made)
            chunk.absorb(view.mine)
    return decisions, refusals, chunk


def _decide_row(row: RowDraft, view: View, basis: Basis) -> tuple[list[Decision], list[Finding]]:
    """Decide on a row as a whole: one record that cannot be made refuses all of them."""
    decisions, reasons, refused = list[Decision](), list[Finding](), set[tuple[str, str]]()
    for draft in row.drafts:
        try:
            decisions.append(_decide(_Attempt(draft, row.line, view, basis, refused)))
        except RecordRefused as refusal:
            reasons.extend(refusal.reasons)
            refused.add((draft.target.entity, draft.external_id))
    return decisions, reasons


def _decide(attempt: _Attempt) -> Decision:
    """Decide on one record, and note it for the rows that follow; raises RecordRefused."""
    values = _resolved(attempt)
    _complete(attempt, FIT, values)
    if attempt.follows:
        raise RecordRefused
    identity = _identity(attempt, values)
    target, view = attempt.target, attempt.view
    said = hash(repr(sorted(values.items())))
    earlier = view.seen(target.entity, identity)
    if earlier:
        return _repeated(attempt, earlier, said)
    existing = view.existing(target.entity, identity, by_external_id=target.has_external_id)
    decision = _change(attempt, existing, values) if existing else _create(attempt, identity, values)
    view.mine.seen[target.entity, identity] = Seen(decision.id, attempt.line, said)
    return decision


def _resolved(attempt: _Attempt) -> Columns:
    """Return the columns the file gives, with references resolved."""
    reasons, values = list[Finding](), Columns()
    for name, value in attempt.draft.values.items():
        values[attempt.target.column(name)] = value
        reasons.extend(_unfit(attempt, name, value))
    for name, reference in attempt.draft.references.items():
        found = attempt.view.candidates(reference)
        if len(found) == 1:
            values[attempt.target.column(name)] = attempt.view.survivor(reference.entity, found[0])
        else:
            reasons.extend(_unresolved(attempt, name, reference, len(found)))
    attempt.follows = any((one.entity, one.text) in attempt.refused for one in attempt.draft.references.values())
    if reasons:
        raise RecordRefused(*reasons)
    return values


def _unfit(attempt: _Attempt, name: str, value: Any) -> Iterator[Finding]:
    """What is wrong with a value that could be read: too long, or not a key of its preset set."""
    wanted = attempt.target.fields[name]
    column = attempt.target.model.__table__.c[attempt.target.column(name)]
    longest = min(wanted.characters, getattr(column.type, "length", None) or wanted.characters)
    if isinstance(value, str) and len(value) > longest:
        yield attempt.finding(name, f"超过 {longest} 个字符", f"longer than {longest} characters")
    if not wanted.of:
        return
    keys, named = attempt.basis.catalogues[wanted.of], cast("list[Any]", value if isinstance(value, list) else [value])
    for key in named:
        if key not in keys:
            there = ", ".join(sorted(keys))
            yield attempt.finding(
                name, f"没有 {wanted.of} {key};有 {there}", f"no {wanted.of} {key!r}; there are {there}"
            )


def _unresolved(attempt: _Attempt, name: str, reference: Reference, found: int) -> Iterator[Finding]:
    what = f"{reference.entity} {reference.text}"
    if found:
        yield attempt.finding(name, f"有 {found} 条 {what},无法确定", f"{found} of {what}: which one is meant?")
    elif (reference.entity, reference.text) not in attempt.refused:
        yield attempt.finding(name, f"没有 {what}", f"there is no {what}")


def _complete(attempt: _Attempt, rules: Mapping[str, Any], values: Columns) -> None:
    """Let the entity's own rule add what follows from the rest, and refuse what does not fit together."""
    rule = rules.get(attempt.target.entity)
    if rule is None:
        return
    try:
        rule(Completion(values, attempt.view, attempt.basis.mapping, attempt.basis.now))
    except CellRefused as reason:
        raise RecordRefused(reason.finding(attempt.name)) from reason


def _identity(attempt: _Attempt, values: Columns) -> Identity:
    target = attempt.target
    if target.has_external_id:
        return (attempt.draft.external_id,)
    missing = [name for name in target.identity if values.get(target.column(name)) is None]
    if missing:
        raise RecordRefused(*(_empty(attempt, name) for name in missing))
    return tuple(values[target.column(name)] for name in target.identity)


def _repeated(attempt: _Attempt, earlier: Seen, said: int) -> Decision:
    if said != earlier.said and attempt.draft.record.repeated == "refuse":
        raise RecordRefused(
            Finding(
                attempt.name,
                f"第 {earlier.line} 行对同一条记录另有说法",
                f"line {earlier.line} says something else of the same record",
            )
        )
    return Decision("repeat", attempt.target, earlier.id, attempt.line)


def _create(attempt: _Attempt, identity: Identity, values: Columns) -> Decision:
    target = attempt.target
    if attempt.draft.record.writes == "change":
        raise RecordRefused(Finding(attempt.name, "没有这条记录,无法修改", "there is no such record to change"))
    given = dict(values)
    _complete(attempt, ADD, values)
    required = [name for name, wanted in target.fields.items() if wanted.required]
    missing = [name for name in required if values.get(target.column(name)) in (None, "")]
    if missing:
        raise RecordRefused(*(_empty(attempt, name) for name in missing))
    if target.series and re.fullmatch(rf"{target.series}-\d+", values.get("number") or ""):
        reason = attempt.finding("number", "这种编号由系统给出", "numbers of this form are given by the system")
        raise RecordRefused(reason)
    record_id = new_id()
    _take(attempt, values, record_id)
    defaults = {target.column(name): wanted.default for name, wanted in target.fields.items()}
    columns = {**defaults, **target.always, **values}
    if target.has_external_id:
        columns["external_id"] = identity[0]
    _refuse_outside(attempt, columns)
    _note_new(attempt, record_id, columns)
    return Decision("create", target, record_id, attempt.line, columns, given=given)


def _note_new(attempt: _Attempt, record_id: UUID, columns: Columns) -> None:
    mine = attempt.view.mine
    mine.rows[record_id] = columns
    for column in attempt.target.known_by:
        if columns.get(column):
            mine.names.setdefault((attempt.target.entity, columns[column]), []).append(record_id)


def _change(attempt: _Attempt, record_id: UUID, values: Columns) -> Decision:
    target = attempt.target
    existing = attempt.view.row(target.entity, record_id)
    _refuse_outside(attempt, existing)
    if attempt.draft.record.writes == "create" or existing.get("merged_into_id"):
        return Decision("same", target, record_id, attempt.line)
    keep = KEEP.get(target.entity)
    kept = keep(existing) if keep else frozenset[str]()
    changed = {name: value for name, value in values.items() if name not in kept and existing[name] != value}
    if not changed:
        return Decision("same", target, record_id, attempt.line)
    fixed = [name for name in changed if _is_fixed(target, name)]
    if fixed:
        raise RecordRefused(*(_settled(attempt, name, existing[name], changed[name]) for name in fixed))
    _refuse_outside(attempt, {**existing, **changed})
    _take(attempt, changed, record_id)
    before = {name: existing[name] for name in changed}
    return Decision("change", target, record_id, attempt.line, changed, before, changed)


def _refuse_outside(attempt: _Attempt, columns: Columns) -> None:
    if outside(attempt.basis.units, attempt.target.entity, columns, attempt.view):
        raise RecordRefused(
            Finding(attempt.name, "不在您可以导入的范围内", "outside what your role lets you import over the network")
        )


def _is_fixed(target: Target, column: str) -> bool:
    wanted = target.fields.get(target.field_of(column))
    return wanted is not None and wanted.fixed


def _take(attempt: _Attempt, values: Columns, record_id: UUID) -> None:
    """Claim the values no two records may share; raises RecordRefused for one that another record has."""
    entity, mine = attempt.target.entity, attempt.view.mine
    for column in attempt.target.unique:
        value = values.get(column)
        if value is None:
            continue
        if attempt.view.holder(entity, column, value) not in (None, record_id):
            reason = attempt.finding(column, f"{value} 属于另一条记录", f"{value} belongs to another record")
            raise RecordRefused(reason)
        mine.taken[entity, column, value] = record_id


def _empty(attempt: _Attempt, name: str) -> Finding:
    field_name = f"{attempt.target.entity}.{name}"
    return attempt.finding(name, f"{field_name} 不能为空", f"{field_name} must not be empty")


def _settled(attempt: _Attempt, column: str, before: object, after: object) -> Finding:
    return attempt.finding(
        attempt.target.field_of(column),
        f"导入不能把 {before} 改为 {after},请在系统中修改",
        f"an import may not change {before} to {after}; edit it in the office",
    )
