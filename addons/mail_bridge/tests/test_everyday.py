# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from uuid import uuid4

from odoo.tests import tagged
from odoo.tools import html2plaintext

from .common import DOMAIN, BridgeCase
from .everyday_mails import EVERYDAY


@tagged("post_install", "-at_install")
class TestEveryday(BridgeCase):
    """Mail of every day arrives, with its words and its files, and arrives once."""

    def receive(self, everyday):
        """Let a mail come in twice; return its post."""
        mime = everyday.sent(f"desk-a@{DOMAIN}", uuid4().hex)
        message, again = (self.deliver(mime, [f"desk-a@{DOMAIN}"]) for _ in range(2))
        self.assertEqual((message.state, again.state), (everyday.state, "repeated"))
        self.assertEqual(len(message.posted_ids), 1)
        return message.posted_ids

    def test_it_stands_in_the_chatter(self):
        for name, everyday in EVERYDAY.items():
            with self.subTest(name):
                post = self.receive(everyday)
                self.assertIn(everyday.says, html2plaintext(post.body))
                found = [(file.name, file.raw) for file in post.attachment_ids]
                for file, content in everyday.files:
                    if content is None:
                        self.assertIn(file, [name for name, _content in found])
                    else:
                        self.assertIn((file, content), found)
