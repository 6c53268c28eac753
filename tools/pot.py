"""`make pot`: i18n/<addon>.pot of every addon, the same bytes for the same code."""

import os
import re

from tools import database
from tools.console import note
from tools.odoo_source import Odoo, find_odoo
from tools.paths import ADDONS, RUN, suite_addons
from tools.server import write_config
from tools.services import connection, in_use
from tools.shell import run_in_odoo

# The second argument of 18.0 is a cursor, that of 19.0 an environment.
EXPORT = """
import inspect, io
from odoo.tools.translate import trans_export
source = env.cr if "cr" in inspect.signature(trans_export).parameters else env
result = {{}}
for addon in {addons!r}:
    buffer = io.BytesIO()
    trans_export(False, [addon], buffer, "po", source)
    result[addon] = buffer.getvalue().decode()
"""
VOLATILE = re.compile(
    r'^"(POT-Creation-Date|PO-Revision-Date|Project-Id-Version):.*\n', re.MULTILINE
)


def main(_arguments: list[str]) -> None:
    """Export from a database with the suite; made for it where there is none."""
    odoo = find_odoo(os.environ.get("ODOO", ""))
    with in_use("tests"):
        _export(odoo)


def _export(odoo: Odoo) -> None:
    link = connection("tests")
    name = database.clone(odoo, link, f"pot_{odoo.version.replace('.', '')}")
    config = write_config(RUN / "conf" / f"{name}.conf", odoo, link)
    exported = run_in_odoo(odoo, config, name, EXPORT.format(addons=suite_addons()))
    for addon, text in exported.items():
        path = ADDONS / addon / "i18n" / f"{addon}.pot"
        if not _terms(text):
            continue
        path.parent.mkdir(exist_ok=True)
        path.write_text(stable(text))
        note(f"{path.relative_to(ADDONS.parent)}: {_terms(text)} terms")
    database.drop(link, name)


def stable(text: str) -> str:
    """The export without what changes from one run or version to the next."""
    return VOLATILE.sub("", text)


def _terms(text: str) -> int:
    # The header is an entry with an empty msgid.
    return max(len(re.findall(r"^msgid ", text, re.MULTILINE)) - 1, 0)
