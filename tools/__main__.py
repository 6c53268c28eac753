"""`python3 -m tools <command>`: what the Makefile calls."""

import importlib
import os
import sys

from tools import preflight

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# command: (module, function, requirements it needs; None: runs without them)
RUNTIME, DEVELOPMENT = "requirements.txt", "requirements-dev.txt"
COMMANDS = {
    "addons": ("addon_tests", "main", DEVELOPMENT),
    "bench": ("bench.command", "main", DEVELOPMENT),
    "audit": ("audit", "main", DEVELOPMENT),
    "clean": ("ending", "clean", None),
    "clone": ("interactive", "clone", DEVELOPMENT),
    "lint": ("lint", "main", DEVELOPMENT),
    "matrix": ("suite", "matrix", DEVELOPMENT),
    "pgenv": ("interactive", "pgenv", DEVELOPMENT),
    "pot": ("pot", "main", RUNTIME),
    "python": ("interactive", "python", DEVELOPMENT),
    "run": ("run", "main", RUNTIME),
    "serve": ("interactive", "serve", DEVELOPMENT),
    "serve-stop": ("interactive", "stop", DEVELOPMENT),
    "shell": ("interactive", "shell", DEVELOPMENT),
    "soak": ("suite", "soak", DEVELOPMENT),
    "stop": ("ending", "stop", None),
    "test": ("suite", "main", DEVELOPMENT),
    "update": ("interactive", "update", DEVELOPMENT),
    "venv": ("interactive", "venv", DEVELOPMENT),
}


def main():
    """Run the command named by the first argument."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        sys.exit("usage: python3 -m tools {}".format("|".join(sorted(COMMANDS))))
    name = sys.argv[1]
    module, function, requirements = COMMANDS[name]
    port = (os.environ.get("PORT") or "8069") if name == "run" else None
    preflight.check(ROOT, port)
    # Only now: these need the Python that was just checked.
    from tools import console, environment

    try:
        if requirements:
            environment.enter(environment.ROOT / requirements, sys.argv[1:])
        getattr(importlib.import_module("tools." + module), function)(sys.argv[2:])
    except console.Failure as error:
        console.die(error)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
