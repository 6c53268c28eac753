from pathlib import Path

import pytest

from tools import compat

REJECTED = {
    "python": [
        "class A(models.Model):\n    _sql_constraints = []",
        "class A(models.Model):\n    _unique = models.Constraint('UNIQUE(name)')",
        "class A(models.Model):\n    _by_name = models.Index('(name)')",
        "from odoo import registry",
        "from odoo.fields import Domain",
        "from odoo.osv import expression",
        "import odoo.osv.expression",
        "from odoo.orm.fields import Field",
        "from odoo.tools import lazy_property",
        "from odoo.exceptions import LockError",
        "from odoo.addons.base.models.ir_cron import ir_cron",
        "self._cr.execute('SELECT 1')",
        "request.uid",
        "self.env.reset()",
        "records.read_group([], [], [])",
        "cron._commit_progress(1)",
        "cron._notify_progress(done=1, remaining=0)",
        "rows.try_lock_for_update()",
        "user.groups_id",
        "user.write({'group_ids': []})",
        "records.mapped('user_id.groups_id')",
        "route('/x', type='json')",
        "http.route('/x', type='jsonrpc')",
        "mails.process_email_queue(ids=[1])",
        "fields.Many2one('res.partner', auto_join=True)",
        "config['db_name']",
        "message.is_thread_message()",
        "api.returns('self')",
        "from odoo.models import Constraint",
        "from odoo.models import GC_UNLINK_LIMIT",
        "from odoo.addons.base.models import ir_cron",
        "class A(models.Model):\n    _sql_constraints: list = []",
        "setattr(cls, '_sql_constraints', [])",
        "async def read_group(self): ...",
    ],
    "xml": [
        "<odoo><record><field name='arch'><tree/></field></record></odoo>",
        "<odoo><search><group expand='0' string='By'/></search></odoo>",
        "<odoo><t t-name='kanban-box'/></odoo>",
        "<odoo><record model='ir.ui.menu'><field name='groups_id'/></record></odoo>",
        "<odoo><record model='res.groups'><field name='category_id'/></record></odoo>",
        "<odoo><record model='res.groups'><field name='user_ids'/></record></odoo>",
        "<odoo><field name='x' attrs='{}'/></odoo>",
        "<odoo><record><field name='view_mode'>tree,form</field></record></odoo>",
    ],
    "js": ["Record.one('Thread')", "thread = fields.One('Thread');"],
}
ACCEPTED = {
    "python": [
        "self.env.cr.execute('SELECT 1')",
        "records._read_group([], ['state'], ['__count'])",
        "http.route('/x', type='http')",
        "user.has_group('base.group_user')",
        "mails.process_email_queue([1])",
        "from odoo.modules.registry import Registry",
        "def _to_store(self, store): ...\ndef _to_store_defaults(self, target): ...",
        "def f(u):\n    return u.group_ids if NEW else u.groups_id",
        "cron._commit_progress(1)  # compat: tested with hasattr above",
        "# compat: 18.0 only, guarded\ncron._notify_progress(done=1, remaining=0)",
    ],
    "xml": [
        "<odoo><search><group><filter name='x'/></group></search></odoo>",
        "<odoo><record><field name='arch'><list/></field></record></odoo>",
        "<odoo><menuitem id='x' groups='base.group_user'/></odoo>",
        "<odoo><form><field name='group_ids'/></form></odoo>",
    ],
    "js": ["import { patch } from '@web/core/utils/patch';"],
}
SUFFIX = {"python": ".py", "xml": ".xml", "js": ".js"}


def _cases(table):
    return [(kind, text) for kind, texts in table.items() for text in texts]


def _check(folder: Path, kind: str, text: str) -> list[compat.Finding]:
    path = folder / f"sample{SUFFIX[kind]}"
    path.write_text(text)
    return compat.check_file(path)


@pytest.mark.parametrize(("kind", "text"), _cases(REJECTED))
def test_name_of_one_version_is_found(tmp_path, kind, text):
    assert _check(tmp_path, kind, text)


@pytest.mark.parametrize(("kind", "text"), _cases(ACCEPTED))
def test_name_of_both_versions_passes(tmp_path, kind, text):
    assert not _check(tmp_path, kind, text)


def test_finding_names_file_line_and_way_out(tmp_path):
    (found,) = _check(tmp_path, "python", "x = 1\nself._cr\n")
    assert str(found).endswith("sample.py:2: _cr: deprecated in 19.0; self.env.cr")


def test_guard_in_one_function_excuses_no_other(tmp_path):
    guarded = "def f(u):\n    return u.group_ids if NEW else u.groups_id\n"
    found = _check(tmp_path, "python", guarded + "def g(u):\n    return u.groups_id\n")
    assert [finding.line for finding in found] == [4]
