# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import hashlib
import hmac
from datetime import timedelta
from unittest.mock import patch

from odoo import fields
from odoo.exceptions import AccessError, ValidationError
from odoo.tests import Form, new_test_user, tagged

from .common import BridgeCase

SCOPE = "messages:read"


@tagged("post_install", "-at_install")
class TestKey(BridgeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.Key = cls.env["mail.bridge.key"]
        cls.head = new_test_user(
            cls.env, "bridge-head", groups="mail_bridge.group_administrator"
        )

    def issue(self, **values):
        return self.Key._issue([SCOPE], **{"name": "Program", **values})

    def test_a_key_opens_what_it_was_made_for(self):
        key, token = self.issue()
        self.assertRegex(token, r"\A[A-Za-z0-9_-]{43}\Z")
        self.assertEqual(self.Key._find(token), key)
        self.assertEqual(self.Key._find(token, SCOPE), key)
        self.assertFalse(self.Key._find(token, "messages"))
        self.assertFalse(self.Key._find(token, "relay:admin"))

    def test_nothing_but_a_hash_is_stored(self):
        key, token = self.issue()
        self.env.flush_all()
        self.env.cr.execute("SELECT k::text FROM mail_bridge_key k")
        stored = " ".join(row[0] for row in self.env.cr.fetchall())
        self.assertNotIn(token, stored)
        self.assertNotIn(token[9:], stored)
        self.assertIn(hashlib.sha256(token.encode()).hexdigest(), stored)
        self.assertEqual(key.prefix, token[:8])

    def test_no_administrator_reads_the_hash(self):
        key, _token = self.issue()
        shown = key.with_user(self.head).read()[0]
        self.assertFalse({"hash", "previous_hash"} & shown.keys())
        with self.assertRaises(AccessError):
            key.with_user(self.head).read(["hash"])

    def test_what_is_no_token_finds_nothing(self):
        key, token = self.issue()
        for wrong in (
            "",
            token[:-1],
            token + "x",
            token.swapcase(),
            key.prefix,
            "\ud800",
        ):
            self.assertFalse(self.Key._find(wrong))
        for odd in (None, b"x" * 43, 43, token.encode(), "ü" * 43, token + "\n"):
            self.assertFalse(self.Key._find(odd))
        self.assertFalse(self.Key._find(hashlib.sha256(token.encode()).hexdigest()))

    def test_hashes_are_compared_in_constant_time(self):
        key, token = self.issue()
        key._rotate()
        with patch.object(hmac, "compare_digest", wraps=hmac.compare_digest) as compare:
            self.assertTrue(self.Key._find(token))
        self.assertEqual(compare.call_count, 2, "both hashes, whichever it is")

    def test_an_expired_key_opens_nothing(self):
        key, token = self.issue(expires_at=fields.Datetime.now() + timedelta(hours=1))
        self.assertTrue(self.Key._find(token))
        key.expires_at = fields.Datetime.now() - timedelta(seconds=1)
        self.assertFalse(self.Key._find(token))

    def test_a_key_opens_only_from_its_networks(self):
        _key, token = self.issue(networks="192.0.2.0/24\n2001:db8::/32")
        for allowed in ("192.0.2.77", "2001:db8::1", "::ffff:192.0.2.1"):
            self.assertTrue(self.Key._find(token, remote_addr=allowed))
        for other in ("198.51.100.1", "2001:db9::1", "", "nonsense"):
            self.assertFalse(self.Key._find(token, remote_addr=other))
        with self.assertRaises(ValidationError):
            self.issue(networks="192.0.2.0/99")

    def test_a_replaced_token_overlaps_with_the_new_one(self):
        key, old = self.issue()
        new = key._rotate(timedelta(hours=1))
        self.assertEqual(self.Key._find(old), key)
        self.assertEqual(self.Key._find(new), key)
        key.previous_until = fields.Datetime.now() - timedelta(seconds=1)
        self.assertFalse(self.Key._find(old))
        self.assertEqual(self.Key._find(new), key)
        self.Key._gc_replaced()
        self.assertFalse(key.previous_hash)

    def test_a_revoked_key_ends_with_both_tokens(self):
        key, old = self.issue()
        new = key._rotate()
        key.with_user(self.head).action_revoke()
        self.assertFalse(self.Key._find(old) or self.Key._find(new))

    def test_a_key_opens_something_that_is_known(self):
        for scopes in ([], ["everything"], [SCOPE, "x"]):
            with self.assertRaises(ValidationError):
                self.Key._issue(scopes, name="Program")

    # --- Last use ---

    def test_the_last_use_is_written_once_a_minute(self):
        key, _token = self.issue()
        self.env.flush_all()
        writes = [key._write_use(self.env.cr) for _call in range(3)]
        self.assertEqual(writes, [1, 0, 0])
        self.env.invalidate_all()
        key.last_used_at -= timedelta(seconds=61)
        self.env.flush_all()
        self.assertEqual(key._write_use(self.env.cr), 1)

    def test_a_worker_asks_for_that_once_a_minute(self):
        _key, token = self.issue()
        write_use = type(self.Key)._write_use
        with patch.object(
            type(self.Key), "_write_use", autospec=True, side_effect=write_use
        ) as write:
            for _call in range(5):
                self.assertTrue(self.Key._find(token))
        self.assertEqual(write.call_count, 1)

    # --- People ---

    def wizard(self, user, **values):
        form = Form(self.env["mail.bridge.key.wizard"].with_user(user))
        for name, value in {"name": "Program", "scopes": SCOPE, **values}.items():
            form[name] = value
        return form.save()

    def test_an_administrator_makes_a_key_and_sees_it_once(self):
        action = self.wizard(self.head).action_issue()
        token = action["context"]["default_token"]
        key = self.Key._find(token, SCOPE)
        self.assertEqual((key.name, key.user_id), ("Program", self.head))
        Show = self.env[action["res_model"]].with_user(self.head)
        form = Form(Show.with_context(**action["context"]))
        self.assertEqual(form.token, token)
        self.assertFalse(self.exists(Show._table))

    def exists(self, table):
        self.env.cr.execute("SELECT to_regclass(%s)", (table,))
        return self.env.cr.fetchone()[0]

    def test_replacing_shows_the_new_token(self):
        key, _token = self.issue()
        action = key.with_user(self.head).action_rotate()
        self.assertEqual(self.Key._find(action["context"]["default_token"]), key)

    def test_only_administrators_know_of_keys(self):
        user = new_test_user(self.env, "bridge-reader", groups="mail_bridge.group_user")
        key, _token = self.issue()
        for call in (
            key.with_user(user).read,
            key.with_user(user).action_rotate,
            key.with_user(user).action_revoke,
            lambda: self.env["mail.bridge.key.wizard"].with_user(user).create({}),
            lambda: self.Key.with_user(self.head).create({"name": "x"}),
            key.with_user(self.head).unlink,
        ):
            with self.assertRaises(AccessError):
                call()

    def test_nobody_makes_a_key_that_acts_for_another(self):
        wizard = self.wizard(self.head)
        wizard.user_id = self.admin
        with self.assertRaises(AccessError):
            wizard.action_issue()
        key, _token = self.issue()
        with self.assertRaises(AccessError):
            key.with_user(self.head).user_id = self.admin

    def test_keys_of_another_company_are_hidden(self):
        company = self.env["res.company"].create({"name": "Elsewhere"})
        key, _token = self.issue(company_id=company.id)
        self.assertFalse(self.Key.with_user(self.head).search([("id", "=", key.id)]))
        wizard = self.wizard(self.head)
        wizard.sudo().company_id = company
        with self.assertRaises(AccessError):
            wizard.action_issue()

    def test_views_open(self):
        self.issue()
        for kind in ("list", "form", "search"):
            self.Key.with_user(self.head).get_view(view_type=kind)
        self.Key.with_user(self.head).search([]).read()
        with Form(self.Key.with_user(self.head).search([], limit=1)) as form:
            form.name = "Another"

    def test_a_copy_of_the_database_is_open_to_nobody(self):
        _key, token = self.issue()
        self.neutralize()
        self.assertFalse(self.Key._find(token))
