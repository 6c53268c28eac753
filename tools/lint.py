"""`make lint`: every check that needs no running Odoo."""

import ast
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from lxml import etree

from tools import compat, imports
from tools.console import note, say
from tools.paths import ADDONS, ROOT, contained_environment, suite_addons, venv_python

# Written in parts, or this file would be its own finding.
REGISTRIES = ("deb." + "debian.org", "pypi." + "org", "registry." + "npmjs")
MACHINE = re.compile(r"(?<![\w.])/(work|root)/")
TEXTS = (".py", ".xml", ".md", ".yml", ".yaml", ".toml", ".txt", ".conf", ".csv", "")

PYLINT_OFF = (
    "except-pass",  # ruff's business
    "invalid-commit",  # the queue commits each result on purpose (DESIGN §5)
    "method-required-super",  # plain classes have a write() of their own
    "missing-readme",  # one README.md for the suite
)


def main(_arguments: list[str]) -> None:
    """Run all checks and end with 1 where any found something."""
    checks: list[tuple[str, Callable[[], list[str]]]] = [
        ("ruff check", _ruff_check),
        ("pylint-odoo", _pylint),
        ("XML", _xml),
        ("manifests", _manifests),
        ("import directions", lambda: list(map(str, imports.check(ADDONS)))),
        ("names of 18.0 and 19.0", lambda: list(map(str, compat.check(ADDONS)))),
        ("what must not be committed", _committed),
    ]
    failed = 0
    for name, check in checks:
        findings = check()
        failed += bool(findings)
        say(f"{name}: {f'{len(findings)} findings' if findings else 'ok'}")
        for finding in findings:
            note(f"  {finding.replace(f'{ROOT}/', '')}")
    if failed:
        raise SystemExit(1)


def _output(*command: str) -> list[str]:
    result = subprocess.run(
        command, cwd=ROOT, env=contained_environment(), capture_output=True, text=True
    )
    if not result.returncode:
        return []
    return (result.stdout + result.stderr).strip().splitlines() or [str(command)]


def _ruff_check() -> list[str]:
    ruff = str(venv_python().with_name("ruff"))
    return _output(ruff, "check", "--output-format=concise", "--quiet", ".")


def _pylint() -> list[str]:
    folders = [str(ADDONS / name) for name in suite_addons()]
    if not folders:
        return []
    pylint = str(venv_python().with_name("pylint"))
    off = f"--disable={','.join(PYLINT_OFF)}"
    lines = _output(pylint, "--rcfile=pyproject.toml", off, "--jobs=2", *folders)
    # With two jobs pylint reports each finding twice.
    return sorted({line for line in lines if not line.startswith("*****")})


def _xml() -> list[str]:
    findings = []
    for path in sorted(ADDONS.rglob("*.xml")):
        try:
            etree.parse(str(path))
        except etree.XMLSyntaxError as error:
            findings.append(f"{path}: {error}")
    return findings


def _manifests() -> list[str]:
    return [
        f"{addon}: {problem}"
        for addon in suite_addons()
        for problem in manifest_problems(ADDONS / addon)
    ]


def manifest_problems(addon: Path) -> list[str]:
    """What is wrong with one manifest; the same rules hold on 18.0 and 19.0."""
    manifest = ast.literal_eval((addon / "__manifest__.py").read_text())
    problems = []
    if not re.fullmatch(r"\d+\.\d+\.\d+", manifest.get("version", "")):
        problems.append("version is not x.y.z (19.0 refuses a series in it)")
    if manifest.get("license") != "LGPL-3":
        problems.append("license is not LGPL-3")
    problems += [
        f"{key} is missing"
        for key in ("author", "depends", "name", "summary")
        if not manifest.get(key)
    ]
    listed = [*manifest.get("data", []), *manifest.get("demo", [])]
    problems += [
        f"{name} is not there" for name in listed if not (addon / name).exists()
    ]
    present = {
        str(path.relative_to(addon))
        for folder in ("data", "demo", "security", "views", "wizards", "report")
        for path in (addon / folder).glob("*.xml")
    }
    problems += [f"{name} is not listed" for name in sorted(present - set(listed))]
    return problems


def _committed() -> list[str]:
    """Names of package registries and paths of one machine, in tracked files."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    findings = []
    for name in result.stdout.splitlines():
        path = ROOT / name
        if path.suffix not in TEXTS or not path.is_file():
            continue
        text = path.read_text(errors="replace")
        words = [word for word in REGISTRIES if word in text]
        words += [match[0] for match in [MACHINE.search(text)] if match]
        findings += [f"{name}: {word}" for word in words]
    return findings
