# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import HttpCase, new_test_user, tagged

from .common import SimulatorMixin

#: A mail that wants everything it must not get.
HOSTILE = b"""\
From: a@b.example\r
Subject: hostile\r
MIME-Version: 1.0\r
Content-Type: multipart/mixed; boundary=x\r
\r
--x\r
Content-Type: text/html; charset=utf-8\r
\r
<p>kept</p><script>alert(1)</script><img src=x onerror=alert(1)>
<img src="https://remote.example/1.png"><img src="cid:logo">
--x\r
Content-Type: image/png\r
Content-ID: <logo>\r
Content-Disposition: inline; filename="logo.png"\r
Content-Transfer-Encoding: base64\r
\r
iVBORw0KGgo=\r
--x\r
Content-Type: text/html; name="../../x.html"\r
Content-Disposition: attachment; filename="../../x\"; filename=y.html"\r
\r
<script>alert(2)</script>\r
--x--\r
"""


@tagged("post_install", "-at_install")
class TestMessageController(SimulatorMixin, HttpCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.account = cls.make_simulator()
        cls.message = cls.receive_mime(cls.account, HOSTILE)
        cls.reader = new_test_user(
            cls.env, "bridge-reader", groups="mail_bridge.group_user"
        )
        cls.clerk = new_test_user(cls.env, "bridge-clerk", groups="base.group_user")

    def get(self, path, login="bridge-reader"):
        self.authenticate(login, login)
        return self.url_open(f"/mail_bridge/message/{self.message.id}/{path}")

    def policy(self, response):
        header = response.headers["Content-Security-Policy"]
        parts = (part.strip().partition(" ") for part in header.split(";"))
        return {name: value for name, _space, value in parts}

    def test_the_frame_is_a_sandbox(self):
        response = self.get("view")
        self.assertEqual(response.status_code, 200)
        policy = self.policy(response)
        self.assertEqual(
            set(policy["sandbox"].split()),
            {"allow-popups", "allow-popups-to-escape-sandbox"},
        )
        self.assertEqual(policy["default-src"], "'none'")
        self.assertEqual(policy["img-src"], "data:")
        self.assertNotIn("script-src", policy)
        headers = response.headers
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(headers["X-Frame-Options"], "SAMEORIGIN")
        self.assertIn("no-store", headers["Cache-Control"])
        self.assertIn("kept", response.text)
        for word in ("script", "onerror", "remote.example"):
            self.assertNotIn(word, response.text)

    def test_an_inline_image_comes_with_the_page(self):
        self.assertIn("data:image/png;base64,iVBORw0KGgo=", self.get("view").text)

    def test_remote_images_come_when_asked_for(self):
        response = self.get("view?images=1")
        self.assertIn("https://remote.example/1.png", response.text)
        self.assertEqual(self.policy(response)["img-src"], "data: https:")
        self.assertNotIn("script", response.text)

    def test_an_attachment_is_only_ever_a_download(self):
        [item] = self.message.with_user(self.reader).read_content()["attachments"]
        response = self.get(f"attachment/{item['index']}")
        self.assertEqual(response.status_code, 200)
        self.assertIn("alert(2)", response.text)
        headers = response.headers
        self.assertEqual(headers["Content-Type"], "application/octet-stream")
        self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
        self.assertEqual(
            self.policy(response), {"default-src": "'none'", "sandbox": ""}
        )
        disposition = headers["Content-Disposition"]
        self.assertTrue(disposition.startswith("attachment"))
        self.assertNotIn("/", disposition.partition("filename")[2].replace("UTF-8", ""))

    def test_bodies_are_no_attachments(self):
        for index in (0, 99):
            self.assertEqual(self.get(f"attachment/{index}").status_code, 404)

    def test_the_original_is_what_came(self):
        response = self.get("original.eml")
        self.assertEqual(response.content, HOSTILE)
        self.assertTrue(
            response.headers["Content-Disposition"].startswith("attachment")
        )
        self.assertEqual(
            self.policy(response), {"default-src": "'none'", "sandbox": ""}
        )

    def test_who_may_not_read_the_inbox_finds_nothing(self):
        for path in ("view", "attachment/2", "original.eml"):
            response = self.get(path, login="bridge-clerk")
            self.assertEqual(response.status_code, 404, path)
            self.assertNotIn("kept", response.text)
        self.authenticate(None, None)
        response = self.url_open(
            f"/mail_bridge/message/{self.message.id}/view", allow_redirects=False
        )
        self.assertIn(response.status_code, (303, 403, 404))

    def test_a_message_of_another_company_is_not_there(self):
        other = self.env["res.company"].create({"name": "Other"})
        self.message.company_id = other
        self.assertEqual(self.get("view").status_code, 404)

    def test_a_message_that_is_gone_is_not_found(self):
        self.authenticate("bridge-reader", "bridge-reader")
        response = self.url_open("/mail_bridge/message/2147483647/view")
        self.assertEqual(response.status_code, 404)

    def test_after_its_retention_the_frame_says_so(self):
        self.message.intake_id.body_deleted = True
        response = self.get("view")
        self.assertIn("retention", response.text)
        self.assertEqual(self.policy(response)["default-src"], "'none'")
        self.assertEqual(self.get("original.eml").status_code, 404)
        self.assertEqual(self.get("attachment/2").status_code, 404)

    def test_the_widget_is_told_what_there_is(self):
        content = self.message.with_user(self.reader).read_content()
        self.assertTrue(content["has_html"] and content["remote_images"])
        self.assertFalse(content["has_text"] or content["error"])
        [item] = content["attachments"]
        self.assertEqual((item["type"], item["size"]), ("text/html", 25))
