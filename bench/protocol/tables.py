"""Tables of the protocol's pages that are made from the code: fields of rows and commands, codes, limits."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from msgspec import inspect
from sqlalchemy import JSON, Boolean, Column, Date, DateTime, Float, Integer, Uuid
from sqlalchemy.types import TypeDecorator

from backend.core.changes import SYNCED, SyncedTable
from backend.devices.handlers import EventArgs, NoteArgs, OrderArgs, PartArgs, RequestArgs
from backend.devices.row_rules import ADDED, EDITED
from backend.forms.schemas import FormFiling
from backend.forms.shown import ShownForm
from backend.forms.signing import Signature
from backend.jobs.rules import TRANSITIONS
from bench.protocol.forms import form_example, words_table
from bench.reference import limits_of
from sync.deciding import DecisionArgs
from sync.policy import POLICY, EntityPolicy, Rule
from sync.texts import TEXTS

ROOT: Final = Path(__file__).parents[2]
COLUMN_TYPES: Final[tuple[tuple[type[Any], str], ...]] = (
    (DateTime, "instant"), (Boolean, "boolean"), (Uuid, "id"), (Date, "date"), (Integer, "integer"), (Float, "number"),
    (JSON, "JSON"),
)  # fmt: skip
ARGS: Final[Mapping[str, tuple[type[msgspec.Struct], frozenset[str]]]] = {
    "visit.event": (EventArgs, frozenset({"person_id"})),
    "form.file": (FormFiling, frozenset({"device_at"})),
    "part.use": (PartArgs, frozenset({"used_at"})),
    "note.add": (NoteArgs, frozenset()),
    "request.create": (RequestArgs, frozenset({"id", "received_at"})),
    "work_order.create": (OrderArgs, frozenset({"id"})),
    "conflict.decide": (DecisionArgs, frozenset()),
}
"""Arguments of each command; those left out the server knows from the mutation itself."""
LIMIT_MODULES: Final = (
    "sync.limits", "backend.devices.hints", "backend.devices.prefetch", "backend.devices.routes",
    "backend.devices.scope", "backend.attachments.actions", "backend.attachments.schemas", "backend.attachments.store",
    "backend.attachments.tus",
    "backend.attachments.uploads", "backend.core.compression", "backend.people.sign_in", "backend.forms.schemas",
)  # fmt: skip
SOURCES: Final = (
    (r'Refusal\((\d{3}), "(\w+)"', r"\1"), (r'_refusing\((\d{3}), "(\w+)"', r"\1"), (r'refused\("(\w+)"\)', "rejected"),
    (r'refusal\("(\w+)"\)', "rejected"), (r'quarantined\("(\w+)"', "quarantined"),
    (r'Rule\.\w+: "(\w+)"', "rejected"), (r', "(row_gone|edited_meanwhile)"\)', "conflict"),
    (r'code = "(delivered_out_of_scope)"', "any"), (r'^RESCUED: Final = "(\w+)"', "quarantined"),
)  # fmt: skip
"""Where the code says which answer or result a code belongs to."""


def tables() -> dict[str, str]:
    """Return every table by name, as Markdown."""
    return {
        "buckets": buckets_table(), "rows": rows_table(), "editable": editable_table(), "args": args_tables(),
        "codes": codes_table(), "limits": limits_table(), "steps": steps_table(), "form": form_tables(),
        "form-example": form_example(), "form-words": words_table(),
    }  # fmt: skip


def buckets_table() -> str:
    """Which entities are in which kind of bucket."""
    kinds: dict[str, list[str]] = {}
    for entity, table in sorted(SYNCED.items()):
        for template in filter(None, (table.bucket, table.otherwise)):
            kinds.setdefault(template.partition(":")[0], []).append(f"`{entity}`")
    kinds["that of the row it is about"] = kinds.pop("{bucket}")
    rows = (f"| {_bucket(kind)} | {', '.join(names)} |\n" for kind, names in sorted(kinds.items()))
    return "| bucket | rows |\n|---|---|\n" + "".join(rows)


def _bucket(kind: str) -> str:
    return kind if " " in kind else f"`{kind}`" if kind == "catalogue" else f"`{kind}:<id>`"


def rows_table() -> str:
    """Every field of every entity."""
    return "\n".join(
        f"### `{entity}`\n\nIn {_place(table)}.\n\n| field | type |\n|---|---|\n"
        + "".join(
            f"| `{column.name}` | {_column(column)} |\n" for column in sorted(table.columns(), key=lambda c: c.name)
        )
        for entity, table in sorted(SYNCED.items())
    )


def _place(table: SyncedTable) -> str:
    if table.bucket == "{bucket}":
        return "the bucket it names itself; null: on no phone"
    other = f", or `{table.otherwise}` where that is null" if table.otherwise else ""
    return f"`{table.bucket}`{other}"


def _column(column: Column[Any]) -> str:
    kind: Any = column.type
    if isinstance(kind, TypeDecorator):
        kind = cast("Any", kind).impl_instance
    words = next((words for one, words in COLUMN_TYPES if isinstance(kind, one)), "")
    length: int | None = getattr(cast("Any", kind), "length", None)
    target = next((f" of `{key.target_fullname.partition('.')[0]}`" for key in column.foreign_keys), "")
    text = f"text, at most {length}" if length else "text"
    return (words or text) + target + (" or null" if column.nullable else "")


def editable_table() -> str:
    """What phones may do to rows."""
    head = "| entity | `edit` | `add` | `remove` |\n|---|---|---|---|\n"
    rows = (
        f"| `{entity}` | {_groups(rules)} | {_born(rules)} | {'yes' if rules.removable else ''} |\n"
        for entity, rules in POLICY.entities.items()
        if rules.rule is Rule.MERGE
    )
    return head + "".join(rows)


def _groups(rules: EntityPolicy) -> str:
    shown = (
        f"`{name}`" if members == (name,) else f"{name} (" + ", ".join(f"`{one}`" for one in members) + ")"
        for name, members in rules.groups.items()
    )
    return ", ".join(shown)


def _born(rules: EntityPolicy) -> str:
    if not rules.parent:
        return ""
    given = ", ".join(f"`{name}`" for name in (rules.parent_column, *rules.born_with))
    return f"below a `{rules.parent}`: {given}"


def args_tables() -> str:
    """Arguments of every command, and values of every row a phone writes."""
    parts = [_struct(f"### `{name}`", kind, known) for name, (kind, known) in ARGS.items()]
    parts.append(_struct("### signature", Signature, frozenset()))
    parts += [_struct(f"### `edit` of `{name}`", kind, _not_for(name)) for name, kind in EDITED.items()]
    parts += [_struct(f"### `add` of `{name}`", kind, _not_for(name)) for name, kind in ADDED.items()]
    return "\n".join(parts)


def _not_for(entity: str) -> frozenset[str]:
    """Fields the office has and phones have not."""
    kinds = [kind for kind in (EDITED.get(entity), ADDED.get(entity)) if kind]
    names = {field.encode_name for kind in kinds for field in msgspec.structs.fields(kind)}
    rules = POLICY.of(entity)
    return frozenset(names - {*rules.editable(), *rules.born_with})


def _struct(heading: str, kind: type[msgspec.Struct], known: frozenset[str]) -> str:
    described = cast("inspect.StructType", inspect.type_info(kind))
    rows = (
        f"| `{field.encode_name}` | {_type(field.type)} | {'yes' if field.required else ''} |\n"
        for field in described.fields
        if field.encode_name not in known
    )
    return f"{heading}\n\n| field | value | needed |\n|---|---|---|\n" + "".join(rows)


def _type(kind: inspect.Type) -> str:
    """Say in words what a value may be."""
    match kind:
        case inspect.Metadata():
            return _type(kind.type)
        case inspect.UnionType():
            return " or ".join(_type(one) for one in kind.types)
        case inspect.ListType() | inspect.VarTupleType():
            return f"list of {_type(kind.item_type)}" + _range(kind.min_length, kind.max_length, "elements")
        case inspect.StructType():
            return f"*{_words_of(kind.cls)}*"
        case _:
            return _plain(kind)


def _plain(kind: inspect.Type) -> str:
    match kind:
        case inspect.StrType():
            return "text" + _range(kind.min_length, kind.max_length, "characters") + _pattern(kind.pattern)
        case inspect.IntType() | inspect.FloatType():
            return ("integer" if isinstance(kind, inspect.IntType) else "number") + _range(kind.ge, kind.le, "")
        case inspect.LiteralType():
            return ", ".join(f"`{value}`" for value in kind.values)
        case inspect.EnumType():
            return ", ".join(f"`{member.value}`" for member in kind.cls)
        case _:
            return SIMPLE[type(kind)]


SIMPLE: Final[Mapping[type[inspect.Type], str]] = {
    inspect.BoolType: "boolean", inspect.DateTimeType: "instant", inspect.DateType: "date", inspect.UUIDType: "id",
    inspect.NoneType: "null", inspect.DictType: "object", inspect.AnyType: "any value", inspect.TupleType: "list",
}  # fmt: skip


def _range(least: float | None, most: float | None, unit: str) -> str:
    numbers = {(True, True): f"{least} to {most}", (True, False): f"at least {least}", (False, True): f"at most {most}"}
    said = numbers.get((least is not None, most is not None))
    return f", {said} {unit}".rstrip() if said else ""


def _pattern(pattern: str | None) -> str:
    """Say what a text must look like; that it holds no NUL is said once for all."""
    words = PATTERNS.get(pattern or "", f"`{pattern}`".replace("|", "\\|"))
    return f", {words}" if words else ""


PATTERNS: Final[Mapping[str, str]] = {
    "": "", r"^[^\x00]*$": "", r"^[^\x00]+$": "", r"^[^\x00]*[^\s\x00][^\x00]*$": "words",
    "^[A-Za-z][A-Za-z0-9_]*$": "a key",
}  # fmt: skip


def steps_table() -> str:
    """The steps of one person on one visit."""
    rows = (f"| {before} | `{kind}` | {after} |\n" for (before, kind), after in TRANSITIONS.items())
    return "| state | event | state after |\n|---|---|---|\n" + "".join(rows)


def form_tables() -> str:
    """The document of a signed form, with every part of it."""
    waiting, seen, parts = [ShownForm], [ShownForm], list[str]()
    while waiting:
        kind = waiting.pop(0)
        heading = "### The document" if kind is ShownForm else f"### {_words_of(kind)}"
        parts.append(_struct(heading, kind, frozenset()))
        fresh = [one for one in _structs_in(inspect.type_info(kind)) if one not in seen]
        waiting += fresh
        seen += fresh
    return "\n".join(parts)


def _structs_in(described: inspect.Type) -> list[Any]:
    """Return the structs the fields of a struct are made of, in order."""
    found: list[Any] = []
    waiting: list[Any] = [field.type for field in cast("inspect.StructType", described).fields]
    while waiting:
        kind = waiting.pop(0)
        if isinstance(kind, inspect.StructType):
            found += [] if kind.cls in found else [kind.cls]
        waiting += [getattr(kind, name) for name in ("item_type", "type") if hasattr(kind, name)]
        waiting += [*getattr(kind, "types", ()), *getattr(kind, "item_types", ())]
    return found


def _words_of(kind: type) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__.removeprefix("Shown")).lower()


def codes_table() -> str:
    """Every code of sync's own, with the answers and results it comes in."""
    found: dict[str, set[str]] = {}
    for path in sorted([*(ROOT / "sync").glob("*.py"), ROOT / "backend/devices/routes.py"]):
        for pattern, meaning in SOURCES:
            for match in re.finditer(pattern, path.read_text("utf-8"), re.MULTILINE):
                found.setdefault(match[match.lastindex or 1], set()).add(match.expand(meaning))
    rows = (f"| `{code}` | {', '.join(sorted(found[code]))} | {text.en} |\n" for code, text in TEXTS.items())
    return "| code | answer or result | what people are told |\n|---|---|---|\n" + "".join(rows)


def limits_table() -> str:
    """Every number of sync's and of what a phone uses beside it."""
    rows: Iterator[tuple[str, str, str, str]] = (row for module in LIMIT_MODULES for row in limits_of(module))
    told: dict[str, str] = {}
    for name, value, _, why in rows:
        if why:
            told.setdefault(name, f"| `{name}` | {value} | {why} |\n")  # a phone's own comes before a server's
    return "| limit | value | what for |\n|---|---|---|\n" + "".join(told.values())
