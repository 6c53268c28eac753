"""`make audit`: known vulnerabilities of the pins, and bandit over the shipped code."""

import json
import subprocess

from tools import environment
from tools.console import note, say
from tools.paths import ROOT, VENV, contained_environment

REQUIREMENTS = ROOT / "requirements-audit.txt"
# Their versions follow what Odoo 18.0 pins itself and only serve development: a
# deployment runs on its own Odoo's. They are reported and do not fail the audit.
ODOO_PINS = {"cryptography", "lxml", "pyopenssl", "pypdf2", "werkzeug"}
BANDIT = ["-q", "-r", "-ll", "-x", "*/tests/*,*/tests_plain/*", "addons"]


def main(_arguments: list[str]) -> None:
    """Both tools; ends with 1 where either finds something."""
    environment.ensure(REQUIREMENTS)
    clean = _pip_audit()
    bandit = subprocess.run([_program("bandit"), *BANDIT], cwd=ROOT)
    say(f"bandit: {'findings' if bandit.returncode else 'ok'}")
    if bandit.returncode or not clean:
        raise SystemExit(1)


def _program(name: str) -> str:
    return str(VENV / "bin" / name)


def _pip_audit() -> bool:
    """Whether no pin of ours has a known vulnerability."""
    result = subprocess.run(
        [_program("pip-audit"), "-r", "requirements.txt", "-f", "json"],
        cwd=ROOT,
        env=contained_environment(),
        capture_output=True,
        text=True,
    )
    if not result.stdout:
        note(result.stderr.strip())
        return False
    vulnerable = [
        item for item in json.loads(result.stdout)["dependencies"] if item.get("vulns")
    ]
    for item in vulnerable:
        names = ", ".join(found["id"] for found in item["vulns"])
        note(f"  {item['name']} {item['version']}: {names}")
    ours = [item for item in vulnerable if item["name"].lower() not in ODOO_PINS]
    say(f"pip-audit: {len(vulnerable)} packages, {len(ours)} of them not Odoo's pins")
    return not ours
