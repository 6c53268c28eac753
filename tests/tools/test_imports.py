from tools import imports


def _addon(folder, name, depends=("mail",), **files):
    root = folder / name
    root.mkdir()
    (root / "__manifest__.py").write_text(repr({"depends": list(depends)}))
    for path, text in files.items():
        target = root / f"{path.replace('__', '/')}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def _wrong(folder):
    return [found.text for found in imports.check(folder)]


def test_provider_that_imports_the_orm_is_found(tmp_path):
    _addon(tmp_path, "core", providers__mime="from odoo import models")
    assert _wrong(tmp_path)


def test_adapter_that_imports_odoo_tools_is_found(tmp_path):
    _addon(tmp_path, "core", adapter="import odoo.tools")
    assert _wrong(tmp_path)


def test_import_by_name_is_found_too(tmp_path):
    text = "import importlib\nmodels = importlib.import_module('odoo.models')"
    _addon(tmp_path, "core", providers__mime=text)
    assert _wrong(tmp_path)


def test_provider_that_speaks_to_the_database_is_found(tmp_path):
    _addon(tmp_path, "core", providers__mime="from psycopg2 import sql")
    assert _wrong(tmp_path)


def test_helper_of_an_adapter_is_as_plain_as_the_adapter(tmp_path):
    _addon(
        tmp_path, "core", adapter="from .post import Post", post="from odoo import http"
    )
    assert _wrong(tmp_path)


def test_provider_that_imports_a_model_is_found(tmp_path):
    _addon(tmp_path, "core", providers__base="from ..models import account")
    assert _wrong(tmp_path)


def test_model_that_imports_a_controller_is_found(tmp_path):
    _addon(tmp_path, "core", models__account="from ..controllers.main import x")
    assert _wrong(tmp_path)


def test_core_that_imports_its_provider_is_found(tmp_path):
    _addon(tmp_path, "core", models__account="from odoo.addons.some.adapter import A")
    _addon(tmp_path, "some", ["core"], adapter="A = 1")
    assert _wrong(tmp_path) == ["core imports some, on which it does not depend"]


def test_downward_imports_pass(tmp_path):
    _addon(
        tmp_path,
        "core",
        providers__base="import json",
        models__account="from odoo import models\nfrom ..providers import base",
        controllers__main="from ..models.account import x\nfrom ..intake import y",
        intake="from .models import account",
    )
    _addon(
        tmp_path,
        "some",
        ["core"],
        adapter="from odoo.addons.core.providers.base import A\nfrom .post import B",
        post="from odoo.addons.core.providers import base",
    )
    assert _wrong(tmp_path) == []
