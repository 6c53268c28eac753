"""Python run inside an Odoo environment of a database, beside the running server."""

import json
import subprocess
import textwrap
from pathlib import Path
from typing import Any

from tools.odoo_source import Odoo

WRAPPER = """\
import json
result = None
{code}
env.cr.commit()
with open({answer!r}, "w") as file:
    json.dump(result, file, default=str)
"""


class ShellError(Exception):
    """The snippet failed; the text is the end of its output."""


def run_in_odoo(odoo: Odoo, config: Path, database: str, code: str) -> Any:
    """Run `code` with `env`, commit, and return what it left in `result`."""
    answer = config.with_suffix(".answer")
    answer.unlink(missing_ok=True)
    script = WRAPPER.format(code=textwrap.dedent(code), answer=str(answer))
    command = odoo.command(
        "shell", "-c", str(config), "-d", database, "--no-http",
        "--logfile", str(config.with_suffix(".shell.log")),
    )  # fmt: skip
    process = subprocess.run(
        command,
        env=odoo.environment(),
        input=script,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if not answer.exists():
        raise ShellError((process.stderr + process.stdout)[-3000:])
    return json.loads(answer.read_text())
