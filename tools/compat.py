"""Names that only one of Odoo 18.0 and 19.0 knows, looked up in one table.

A run on 19.0 alone would not notice what breaks on 18.0, and the other way round. A
line that handles both on purpose says so in a comment: `compat: <how>`.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lxml import etree

ESCAPE = "compat:"


@dataclass(frozen=True)
class Finding:
    """A name one of the two versions lacks."""

    path: Path
    line: int
    name: str
    advice: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.name}: {self.advice}"


# --- the table --------------------------------------------------------------
# Attributes, assigned class attributes and methods, whatever object they are on.
NAMES = {
    "_sql_constraints": "18.0 only; create the index in init()",
    "_cr": "deprecated in 19.0; self.env.cr",
    "_uid": "deprecated in 19.0; self.env.uid",
    "_context": "deprecated in 19.0; self.env.context",
    "read_group": "deprecated in 19.0; _read_group(domain, groupby, aggregates)",
    "_notify_progress": "deprecated in 19.0; test with hasattr",
    "_commit_progress": "19.0 only; test with hasattr",
    "lock_for_update": "19.0 only; SQL FOR UPDATE",
    "try_lock_for_update": "19.0 only; SQL FOR UPDATE SKIP LOCKED",
    "_build_email__": "19.0 only; define both, or hook send_email",
    "_prepare_email_message__": "19.0 only; define both, or hook send_email",
    "_smtp_login__": "19.0 only; define both, or hook send_email",
    "_connect__": "19.0 only; define both, or hook send_email",
    "_alter_message__": "19.0 only; hook send_email",
    "build_email": "18.0 only; define both, or hook send_email",
    "_prepare_email_message": "18.0 only; define both, or hook send_email",
    "_smtp_login": "18.0 only; define both, or hook send_email",
    "is_thread_message": "18.0 only; test model and res_id",
    "_is_thread_message": "19.0 only; test model and res_id",
    "_to_store": "other arguments on 19.0; define both as in the facts",
    "_to_store_defaults": "19.0 only; define both as in the facts",
    "get_misc": "18.0 only; config.get",
    "groups_id": "18.0 only; has_group(), or test the field",
    "group_ids": "19.0 only; has_group(), or test the field",
    "all_group_ids": "19.0 only; has_group()",
    "GC_UNLINK_LIMIT": "moved in 19.0; a constant of our own",
    "create_unique_index": "deprecated in 19.0; CREATE UNIQUE INDEX in init()",
    "enter_registry_test_mode": "19.0 only; call the model's method",
}
# `module: {name}` that cannot be imported on both; None: the whole module.
IMPORTS: dict[str, dict[str | None, str]] = {
    "odoo": {"registry": "18.0 only; odoo.modules.registry.Registry"},
    "odoo.api": {"returns": "18.0 only; leave it out"},
    "odoo.fields": {"Domain": "19.0 only; domains as lists"},
    "odoo.osv.expression": {None: "deprecated in 19.0; domains as lists"},
    "odoo.osv": {"expression": "deprecated in 19.0; domains as lists"},
    "odoo.orm": {None: "19.0 only"},
    "odoo.models": {
        "Constraint": "19.0 only; create the index in init()",
        "Index": "19.0 only; create the index in init()",
        "UniqueIndex": "19.0 only; create the index in init()",
        "GC_UNLINK_LIMIT": "moved in 19.0; a constant of our own",
    },
    "odoo.tools": {
        "lazy_property": "18.0 only; functools.cached_property",
        "constants": "19.0 only",
        "create_unique_index": "deprecated in 19.0; SQL in init()",
    },
    "odoo.tools.constants": {None: "19.0 only"},
    "odoo.exceptions": {
        "LockError": "19.0 only; psycopg2.errors",
        "ConcurrencyError": "19.0 only; psycopg2.errors",
    },
    "odoo.addons.base.models": {"ir_cron": "its class has another name in 19.0"},
    "odoo.addons.base.models.ir_cron": {None: "its class has another name in 19.0"},
}
# `object.attribute`, where the attribute alone says nothing.
DOTTED = {
    "models.Constraint": "19.0 only; create the index in init()",
    "models.Index": "19.0 only; create the index in init()",
    "models.UniqueIndex": "19.0 only; create the index in init()",
    "fields.Domain": "19.0 only; domains as lists",
    "api.returns": "18.0 only; leave it out",
    "odoo.registry": "18.0 only; odoo.modules.registry.Registry",
    "env.reset": "deprecated in 19.0; env.transaction.reset()",
    "request.cr": "deprecated in 19.0; request.env.cr",
    "request.uid": "deprecated in 19.0; request.env.uid",
    "request.context": "deprecated in 19.0; request.env.context",
    "tools.lazy_property": "18.0 only; functools.cached_property",
}
# keyword arguments: (called name or '', keyword, value or None)
KEYWORDS = {
    ("", "auto_join", None): "18.0 only; leave it out",
    ("", "bypass_search_access", None): "19.0 only; leave it out",
    ("process_email_queue", "ids", None): "email_ids on 19.0; give it by position",
    ("process_email_queue", "email_ids", None): "ids on 18.0; give it by position",
    ("route", "type", "json"): "jsonrpc on 19.0; type='http' and make_json_response",
    ("route", "type", "jsonrpc"): "json on 18.0; type='http' and make_json_response",
}
# A function (a class, of methods) that has both names of a pair handles both versions.
PAIRS = (
    {"_to_store", "_to_store_defaults"},
    {"_notify_progress", "_commit_progress"},
    {"groups_id", "group_ids"},
    {"build_email", "_build_email__"},
    {"_prepare_email_message", "_prepare_email_message__"},
    {"_smtp_login", "_smtp_login__"},
)
SUBSCRIPTS = {("config", "db_name"): "a list on 19.0; env.cr.dbname"}

# XPath over views and data: what it finds stands in one version only.
XML = {
    "//tree": "18.0's name is gone in both; <list>",
    "//search//group[@expand or @string]": "18.0 only; a bare <group>",
    "//*[@t-name='kanban-box']": "old; t-name='card'",
    "//field[@name='groups_id' and ancestor::record and not(ancestor::field)]": (
        "18.0 only; menuitem groups=, or a function that tests the field"
    ),
    "//field[@name='group_ids' and ancestor::record and not(ancestor::field)]": (
        "19.0 only; menuitem groups=, or a function that tests the field"
    ),
    "//record[@model='res.groups']/field[@name='category_id']": (
        "18.0 only; a function that tests the field"
    ),
    "//record[@model='res.groups']/field[@name='privilege_id']": (
        "19.0 only; a function that tests the field"
    ),
    "//record[@model='res.groups']/field[@name='users']": (
        "18.0 only; implied_ids of base.group_system"
    ),
    "//record[@model='res.groups']/field[@name='user_ids']": (
        "19.0 only; implied_ids of base.group_system"
    ),
    "//record[@model='res.groups.privilege']": "19.0 only",
    "//record[@model='ir.cron']/field[@name='numbercall' or @name='doall']": (
        "gone in both"
    ),
    "//*[@attrs or @states]": "gone in both; invisible=, readonly=, required=",
    "//field[@name='view_mode' and contains(text(), 'tree')]": "old; list",
}
JAVASCRIPT = {
    r"\bRecord\.(one|many|attr)\(": "18.0 only; plain attributes",
    r"\bfields\.(One|Many|Attr|Html)\(": "19.0 only; plain attributes",
    r"mail\.message/actions": "defined differently on 19.0; a button on the record",
}


# --- the checks -------------------------------------------------------------
def check_file(path: Path) -> list[Finding]:
    """Every finding in one Python, XML or JavaScript file."""
    text = path.read_text()
    scopes: list[range] = []
    if path.suffix == ".py":
        tree = ast.parse(text)
        pairs, scopes = _python(tree), _scopes(tree)
    elif path.suffix == ".xml":
        pairs = _xml(text)
    elif path.suffix == ".js":
        pairs = _javascript(text)
    else:
        return []
    lines = text.splitlines()
    found = set(pairs)
    known = {(_around(line, scopes)[0], name) for line, name, _advice in found}
    return [
        Finding(path, line, name, advice)
        for line, name, advice in sorted(found)
        if not _is_paired(name, _around(line, scopes), known)
        and ESCAPE not in " ".join(lines[max(line - 2, 0) : line])
    ]


Found = Iterator[tuple[int, str, str]]


def _scopes(tree: ast.AST) -> list[range]:
    """The lines of each function and class, without the one that names it."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    nodes = [node for node in ast.walk(tree) if isinstance(node, kinds)]
    return [range(node.lineno + 1, node.end_lineno + 1) for node in nodes]


def _around(line: int, scopes: list[range]) -> list[range]:
    """The functions and classes around a line, the inmost first; else the file."""
    return sorted((each for each in scopes if line in each), key=len) or [range(0)]


def _is_paired(name: str, around: list[range], known: set[tuple[range, str]]) -> bool:
    """Whether a scope around the line names the other one of its pair as well."""
    return any(
        name in pair and all((scope, each) in known for each in pair)
        for pair in PAIRS
        for scope in around
    )


def _python(tree: ast.AST) -> Found:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield from _attribute(node)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from _import(node)
        elif isinstance(node, ast.Call):
            yield from _call(node)
        elif isinstance(node, ast.Subscript):
            yield from _subscript(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name in NAMES:
                yield node.lineno, node.name, NAMES[node.name]
        elif isinstance(node, ast.ClassDef):
            yield from _class(node)
        elif isinstance(node, ast.Constant):
            yield from _constant(node)


def _attribute(node: ast.Attribute) -> Found:
    if node.attr in NAMES:
        yield node.lineno, node.attr, NAMES[node.attr]
    owner = _name(node.value).rpartition(".")[2]
    dotted = f"{owner}.{node.attr}"
    if dotted in DOTTED:
        yield node.lineno, dotted, DOTTED[dotted]


def _import(node: ast.Import | ast.ImportFrom) -> Found:
    if isinstance(node, ast.Import):
        for alias in node.names:
            if None in (table := IMPORTS.get(alias.name, {})):
                yield node.lineno, alias.name, table[None]
        return
    module = node.module or ""
    table = IMPORTS.get(module, {})
    if module.startswith("odoo.orm"):
        table = IMPORTS["odoo.orm"]
    for alias in node.names:
        for name in (None, alias.name):
            if name in table and not node.level:
                yield node.lineno, f"{module}.{alias.name}", table[name]


def _call(node: ast.Call) -> Found:
    called = _name(node.func).rpartition(".")[2]
    if called == "setattr" and len(node.args) > 1:
        name = getattr(node.args[1], "value", None)
        if name in NAMES:
            yield node.lineno, name, NAMES[name]
    for keyword in node.keywords:
        value = getattr(keyword.value, "value", None)
        for (function, argument, wanted), advice in KEYWORDS.items():
            if argument != keyword.arg or function not in ("", called):
                continue
            if wanted is None or wanted == value:
                yield node.lineno, f"{called}({argument}=)", advice


def _subscript(node: ast.Subscript) -> Found:
    key = getattr(node.slice, "value", None)
    owner = _name(node.value).rpartition(".")[2]
    if isinstance(key, str) and (owner, key) in SUBSCRIPTS:
        yield node.lineno, f"{owner}[{key!r}]", SUBSCRIPTS[owner, key]


def _class(node: ast.ClassDef) -> Found:
    for statement in node.body:
        targets = getattr(statement, "targets", None)
        for target in targets or [getattr(statement, "target", None)]:
            name = _name(target)
            if name in NAMES:
                yield statement.lineno, name, NAMES[name]


def _constant(node: ast.Constant) -> Found:
    # Field names stand in strings: values of create(), paths of mapped().
    if isinstance(node.value, str) and re.fullmatch(r"[\w.]{1,80}", node.value):
        last = node.value.rpartition(".")[2]
        if last in ("groups_id", "group_ids", "all_group_ids"):
            yield node.lineno, node.value, NAMES[last]


def _name(node: ast.AST | None) -> str:
    """`a.b` of a name or attribute; '' of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = _name(node.value)
        return f"{owner}.{node.attr}" if owner else node.attr
    return ""


def _xml(text: str) -> Found:
    root = etree.fromstring(text.encode())
    for xpath, advice in XML.items():
        for node in root.xpath(xpath):
            yield node.sourceline, f"<{node.tag}>", advice


def _javascript(text: str) -> Found:
    for number, line in enumerate(text.splitlines(), 1):
        for pattern, advice in JAVASCRIPT.items():
            if match := re.search(pattern, line):
                yield number, match[0], advice


def check(addons: Path) -> list[Finding]:
    """Every finding below the addons folder."""
    paths = (
        path
        for path in sorted(addons.rglob("*"))
        if path.suffix in (".py", ".xml", ".js") and "lib" not in path.parts
    )
    return [finding for path in paths for finding in check_file(path)]
