"""For pytest: providers and adapters importable without Odoo.

`from odoo.addons.mail_bridge.providers import mime` works, although the addon's own
`__init__.py` (which loads the models) is not executed. Everything of Odoo itself
fails to import, so a plain module that reaches for the ORM fails its tests.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType

from tools.paths import ADDONS


class PlainOdoo(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `odoo`, `odoo.addons` and the addons as empty packages."""

    def find_spec(self, fullname, path=None, target=None):
        """An empty package for what only holds others; a refusal for Odoo's own."""
        parts = fullname.split(".")
        if parts[0] != "odoo":
            return None
        folder = ADDONS.joinpath(*parts[2:])
        if len(parts) > 3:
            return None  # inside an addon: Python's own finder takes over
        if parts[1:2] not in ([], ["addons"]) or not folder.is_dir():
            raise ImportError(f"{fullname} is Odoo: plain modules do without it")
        spec = importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        if len(parts) > 1:
            spec.submodule_search_locations = [str(folder)]
        return spec

    def create_module(self, spec) -> ModuleType | None:
        """The default module object."""
        return None

    def exec_module(self, module: ModuleType) -> None:
        """Nothing runs: the package only leads to the modules below it."""


def install() -> None:
    """Put the finder in front, and keep pytest from running the addons' code."""
    if any(isinstance(finder, PlainOdoo) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, PlainOdoo())
    # pytest names a test module after its folders and imports each of them first.
    for folder in [ADDONS, *(path for path in ADDONS.iterdir() if path.is_dir())]:
        package = ModuleType(".".join(folder.relative_to(ADDONS.parent).parts))
        package.__path__ = [str(folder)]
        sys.modules.setdefault(package.__name__, package)
