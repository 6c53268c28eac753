# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import os
import stat
import tempfile
from pathlib import Path
from unittest.mock import patch

from cryptography.fernet import Fernet

from odoo.exceptions import AccessError, UserError
from odoo.tests import TransactionCase, new_test_user, tagged
from odoo.tools import config

from ..keyring import (
    KeyRing,
    KeyRingError,
    create_key_file,
    fingerprint,
    read_key_file,
)

CANARY = "canary-9f3a71"


@tagged("post_install", "-at_install")
class TestSecret(TransactionCase):
    """Credentials: encrypted, bound to their place, from the right host alone."""

    def setUp(self):
        super().setUp()
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.enterContext(patch.dict(config.options, {"data_dir": str(self.folder)}))
        self.enterContext(patch.dict(os.environ))
        os.environ.pop("MAIL_BRIDGE_KEYS", None)
        self.Secret = self.env["mail.bridge.secret"]
        self.Secret.search([]).unlink()
        parameter = self.env["ir.config_parameter"].sudo()
        parameter.search([("key", "=", "mail_bridge.key_fingerprint")]).unlink()
        self.account = self.env["mail.bridge.account"].create({"name": "Secret"})

    def row(self, name="canary"):
        return self.Secret.search(
            [("res_id", "=", self.account.id), ("name", "=", name)]
        )

    def live(self, name="canary"):
        return self.account._live_secrets().get(name)

    def test_value_is_encrypted_in_the_database(self):
        self.Secret._store(self.account, "canary", CANARY)
        self.env.flush_all()
        self.env.cr.execute(
            "SELECT ciphertext FROM mail_bridge_secret WHERE id = %s", (self.row().id,)
        )
        self.assertNotIn(CANARY, self.env.cr.fetchone()[0])
        self.assertEqual(self.live(), [CANARY])

    def test_first_value_makes_a_key_file_for_its_owner_alone(self):
        path = self.folder / "mail_bridge.key"
        self.assertTrue(path.exists())  # the account's address was the first value
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600)

    def test_host_without_the_key_never_makes_a_second_one(self):
        (self.folder / "mail_bridge.key").unlink()
        with self.assertRaises(KeyRingError):
            self.account._live_secrets()
        with self.assertRaises(UserError):
            self.Secret._store(self.account, "canary", CANARY)
        self.assertFalse((self.folder / "mail_bridge.key").exists())
        self.assertTrue(self.Secret._is_ready())

    def test_host_with_another_key_fails_closed(self):
        os.environ["MAIL_BRIDGE_KEYS"] = Fernet.generate_key().decode()
        with self.assertRaises(KeyRingError):
            self.account._live_secrets()
        with self.assertRaises(UserError):
            self.Secret._store(self.account, "canary", CANARY)

    def test_key_file_that_others_may_read_is_refused(self):
        (self.folder / "mail_bridge.key").chmod(0o640)
        with self.assertRaises(KeyRingError):
            read_key_file(self.folder / "mail_bridge.key")

    def test_two_processes_make_one_key(self):
        path = self.folder / "race.key"
        self.assertEqual(create_key_file(path), create_key_file(path))

    def test_swapped_ciphertexts_are_refused(self):
        other = self.env["mail.bridge.account"].create({"name": "Other"})
        self.Secret._store(self.account, "canary", CANARY)
        self.Secret._store(other, "canary", "other")
        stolen = self.Secret.search(
            [("res_id", "=", other.id), ("name", "=", "canary")]
        )
        stolen.ciphertext = self.row().ciphertext
        self.env.flush_all()
        with self.assertRaises(KeyRingError):
            other._live_secrets()

    def test_ciphertext_of_another_database_is_refused(self):
        self.Secret._store(self.account, "canary", CANARY)
        self.env["ir.config_parameter"].sudo().set_param("database.uuid", "a copy")
        with self.assertRaises(KeyRingError):
            self.account._live_secrets()

    def test_changed_bit_is_refused(self):
        self.Secret._store(self.account, "canary", CANARY)
        token = self.row().ciphertext
        middle = len(token) // 2
        flipped = "A" if token[middle] != "A" else "B"
        self.row().ciphertext = token[:middle] + flipped + token[middle + 1 :]
        self.env.flush_all()
        with self.assertRaises(KeyRingError):
            self.account._live_secrets()

    def test_rotation_keeps_the_old_value_for_a_while(self):
        day = self.account._secret_horizon()
        self.Secret._store(self.account, "canary", "old", day)
        self.Secret._store(self.account, "canary", "new", day)
        self.assertEqual(self.live(), ["new", "old"])
        self.row().previous_until = "2020-01-01 00:00:00"
        self.env.flush_all()
        self.assertEqual(self.live(), ["new"])

    def test_the_same_value_again_changes_nothing(self):
        day = self.account._secret_horizon()
        for value in ("old", "new", "new"):
            self.Secret._store(self.account, "canary", value, day)
        self.assertEqual(self.live(), ["new", "old"])

    def test_a_slip_does_not_push_out_what_was_in_use(self):
        day = self.account._secret_horizon()
        for value in ("old", "nwe", "new"):
            self.Secret._store(self.account, "canary", value, day)
        self.assertEqual(self.live(), ["new", "old"])

    def test_replaced_value_comes_along_to_a_new_key(self):
        day = self.account._secret_horizon()
        self.Secret._store(self.account, "canary", "old", day)
        old = read_key_file(self.folder / "mail_bridge.key")[0]
        new = Fernet.generate_key().decode()
        os.environ["MAIL_BRIDGE_KEYS"] = f"{new},{old}"
        self.Secret._store(self.account, "canary", "new", day)
        os.environ["MAIL_BRIDGE_KEYS"] = new
        self.assertEqual(
            self.Secret._decrypt(
                self.account._name, self.account.id, {"canary": self.row()._as_stored()}
            ),
            {"canary": ["new", "old"]},
        )

    def test_ring_rotation_and_reencryption(self):
        self.Secret._store(self.account, "canary", CANARY)
        old = read_key_file(self.folder / "mail_bridge.key")[0]
        new = Fernet.generate_key().decode()
        os.environ["MAIL_BRIDGE_KEYS"] = f"{new},{old}"
        self.assertEqual(self.live(), [CANARY])
        count = self.Secret.action_reencrypt()
        self.assertEqual(count, self.Secret.search_count([]))
        self.assertEqual(
            set(self.Secret.search([]).mapped("key_fingerprint")), {fingerprint(new)}
        )
        os.environ["MAIL_BRIDGE_KEYS"] = new
        self.env.flush_all()
        self.assertEqual(self.live(), [CANARY])

    def test_a_new_key_may_come_to_one_host_after_the_other(self):
        """The host without it goes on with all accounts but the changed one."""
        other = self.env["mail.bridge.account"].create({"name": "Other"})
        self.Secret._store(self.account, "canary", CANARY)
        self.Secret._store(other, "canary", "other")
        old = read_key_file(self.folder / "mail_bridge.key")[0]
        new = Fernet.generate_key().decode()
        os.environ["MAIL_BRIDGE_KEYS"] = f"{new},{old}"
        self.Secret._store(other, "canary", "changed")
        self.env.flush_all()
        os.environ["MAIL_BRIDGE_KEYS"] = old
        self.assertEqual(self.live(), [CANARY])
        with self.assertRaises(KeyRingError):
            other._live_secrets()
        with self.assertRaises(UserError):
            self.Secret._store(self.account, "canary", "written with the old key")
        self.assertIn(fingerprint(new), self.Secret._is_ready())
        with self.assertRaises(UserError):
            self.Secret.action_reencrypt()
        os.environ["MAIL_BRIDGE_KEYS"] = f"{new},{old}"
        self.assertFalse(self.Secret._is_ready())

    def test_copy_has_no_secrets(self):
        self.Secret._store(self.account, "canary", CANARY)
        self.assertNotIn("canary", self.account.copy()._live_secrets())

    def test_deleted_account_leaves_no_secret(self):
        self.Secret._store(self.account, "canary", CANARY)
        self.account.unlink()
        self.assertFalse(self.Secret.search([]))

    def test_ring_of_no_keys_or_bad_keys(self):
        for keys in ([], ["no key"]):
            with self.assertRaises(KeyRingError):
                KeyRing(keys)

    def test_lost_key_can_be_given_up(self):
        (self.folder / "mail_bridge.key").unlink()
        self.Secret.action_forget()
        self.assertFalse(self.Secret._is_ready())
        self.Secret._store(self.account, "canary", CANARY)
        self.assertEqual(self.live(), [CANARY])

    def test_only_an_administrator_gives_up_the_key(self):
        user = new_test_user(
            self.env, "bridge-only", groups="mail_bridge.group_administrator"
        )
        with self.assertRaises(AccessError):
            self.Secret.with_user(user).action_forget()
