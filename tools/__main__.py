"""`python3 -m tools <command>`: what the Makefile calls."""

import importlib
import sys

from tools import environment
from tools.console import Failure, die

# command: (module, function, requirements it needs)
COMMANDS = {
    "addons": ("tools.addon_tests", "main", environment.DEVELOPMENT),
    "clone": ("tools.interactive", "clone", environment.DEVELOPMENT),
    "lint": ("tools.lint", "main", environment.DEVELOPMENT),
    "matrix": ("tools.suite", "matrix", environment.DEVELOPMENT),
    "pgenv": ("tools.interactive", "pgenv", environment.DEVELOPMENT),
    "pot": ("tools.pot", "main", environment.RUNTIME),
    "python": ("tools.interactive", "python", environment.DEVELOPMENT),
    "run": ("tools.run", "main", environment.RUNTIME),
    "serve": ("tools.interactive", "serve", environment.DEVELOPMENT),
    "serve-stop": ("tools.interactive", "stop", environment.DEVELOPMENT),
    "shell": ("tools.interactive", "shell", environment.DEVELOPMENT),
    "soak": ("tools.suite", "soak", environment.DEVELOPMENT),
    "stop": ("tools.run", "stop", environment.RUNTIME),
    "test": ("tools.suite", "main", environment.DEVELOPMENT),
    "update": ("tools.interactive", "update", environment.DEVELOPMENT),
    "venv": ("tools.interactive", "venv", environment.DEVELOPMENT),
}


def main() -> None:
    """Run the command named by the first argument."""
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        raise Failure(f"usage: python3 -m tools {'|'.join(COMMANDS)}")
    module, function, requirements = COMMANDS[sys.argv[1]]
    environment.enter(requirements, sys.argv[1:])
    getattr(importlib.import_module(module), function)(sys.argv[2:])


if __name__ == "__main__":
    try:
        main()
    except Failure as error:
        die(error)
    except KeyboardInterrupt:
        sys.exit(130)
