"""Import directions: controllers → models → providers, provider addon → core.

Providers and adapters are plain Python: no ORM, no Odoo, so that they are tested
without a database and may run in a thread pool.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

# An import may lead to the own layer or a lower one, never up. Other modules of an
# addon are helpers: models may use them and they may use models.
LAYERS = {
    "const": 0,
    "exceptions": 0,
    "providers": 1,
    "adapter": 1,
    "models": 2,
    "wizards": 3,
    "controllers": 4,
}
HELPER = 2
PLAIN = ("const", "exceptions", "providers", "adapter")


@dataclass(frozen=True)
class Wrong:
    """An import that leads the wrong way."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def check(addons: Path) -> list[Wrong]:
    """Every wrong import below the addons folder; tests may import what they like."""
    closure = _dependencies(addons)
    wrong: list[Wrong] = []
    for addon in sorted(closure):
        plain = plain_modules(addons / addon)
        for path in sorted((addons / addon).rglob("*.py")):
            parts = path.relative_to(addons / addon).with_suffix("").parts
            if parts[0] in ("tests", "tests_plain", "__init__", "__manifest__"):
                continue
            for line, target in imported(path, addons):
                is_plain = parts[0] in PLAIN or parts in plain
                text = _verdict(addon, parts, target, closure, is_plain)
                if text:
                    wrong.append(Wrong(path, line, text))
    return wrong


def _dependencies(addons: Path) -> dict[str, set[str]]:
    """For each of our addons: itself and what it depends on, ours only."""
    direct = {
        path.parent.name: set(ast.literal_eval(path.read_text()).get("depends", []))
        for path in addons.glob("*/__manifest__.py")
    }
    closure = {}
    for addon in direct:
        reached, queue = {addon}, [addon]
        while queue:
            for other in direct[queue.pop()] & set(direct) - reached:
                reached.add(other)
                queue.append(other)
        closure[addon] = reached
    return closure


def plain_modules(addon: Path) -> set[tuple[str, ...]]:
    """The top-level modules an adapter or provider brings in: plain like itself."""
    found: set[tuple[str, ...]] = set()
    queue = [addon / "adapter.py", *addon.glob("providers/**/*.py")]
    while queue:
        path = queue.pop()
        if not path.exists():
            continue
        for _line, target in imported(path, addon.parent):
            inner = tuple(target.split(".")[3:4])
            if not target.startswith(f"odoo.addons.{addon.name}.") or not inner:
                continue
            helper = addon / f"{inner[0]}.py"
            if inner not in found and helper.exists():
                found.add(inner)
                queue.append(helper)
    return found


def imported(path: Path, addons: Path) -> list[tuple[int, str]]:
    """(line, absolute dotted name) of every import in a file of an addon."""
    package = ["odoo", "addons", *path.relative_to(addons).parts[:-1]]
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = [*base, *([node.module] if node.module else [])]
            dotted = ".".join(module)
            names += [(node.lineno, f"{dotted}.{alias.name}") for alias in node.names]
        elif isinstance(node, ast.Call) and node.args:
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            target = getattr(node.args[0], "value", None)
            if called in ("import_module", "__import__") and isinstance(target, str):
                names.append((node.lineno, target))
    return names


def _verdict(
    addon: str,
    parts: tuple[str, ...],
    target: str,
    closure: dict[str, set[str]],
    is_plain: bool,
) -> str:
    """Why the import is wrong; '' where it is not."""
    words = target.split(".")
    if is_plain and words[0] == "psycopg2":
        return f"plain module imports {target}: no database in providers and adapters"
    if words[0] != "odoo":
        return ""
    ours = words[1:2] == ["addons"] and len(words) > 2 and words[2] in closure
    if is_plain and not ours:
        return f"plain module imports {target}: no Odoo in providers and adapters"
    if not ours:
        return ""
    if words[2] not in closure[addon]:
        return f"{addon} imports {words[2]}, on which it does not depend"
    if len(words) < 4:
        return ""
    if is_plain and words[3] in ("models", "wizards", "controllers"):
        return f"plain module imports {target}: providers know no models"
    if is_plain and parts[0] not in LAYERS:
        return ""
    if _layer(words[3]) > _layer(parts[0]) and (words[3] in LAYERS or not is_plain):
        return f"{parts[0]} imports {target}: imports only lead downward"
    return ""


def _layer(name: str) -> int:
    return LAYERS.get(name, HELPER)
