# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.exceptions import ValidationError
from odoo.tests import Form, tagged

from odoo.addons.mail_relay.templating import BadVariables, MissingVariables

from .people_case import PeopleCase


@tagged("post_install", "-at_install")
class TestTemplate(PeopleCase):
    def make(self, **values):
        return self.env["mail.relay.template"].create(
            {
                "name": "Order",
                "subject": "Your order {{ number }}",
                "body_html": "<p>Hello {{name}}, see <a href='{{ url }}'>it</a></p>",
                **values,
            }
        )

    def test_gaps_are_filled_and_html_is_escaped(self):
        values = {
            "number": 7,
            "name": "<b>Ann & Co</b>",
            "url": "https://x.example/?a&b",
        }
        subject, html, text = self.make().render(values)
        self.assertEqual(subject, "Your order 7")
        self.assertIn("&lt;b&gt;Ann &amp; Co&lt;/b&gt;", html)
        self.assertNotIn("<b>", html)
        self.assertIn("<b>Ann & Co</b>", text)

    def test_what_is_missing_is_named(self):
        with self.assertRaises(MissingVariables) as caught:
            self.make().render({"name": "", "url": "x"})
        self.assertEqual(caught.exception.names, ["name", "number"])

    def test_a_default_stands_where_nothing_was_given(self):
        template = self.make(
            variable_ids=[
                (0, 0, {"name": "name", "default": "customer"}),
                (0, 0, {"name": "number"}),
            ]
        )
        subject, html, _text = template.render({"url": "x"})
        self.assertEqual(subject, "Your order")
        self.assertIn("Hello customer", html)

    def test_a_value_is_text_and_nothing_is_computed(self):
        template = self.make()
        with self.assertRaises(BadVariables) as caught:
            template.render({"name": ["x"], "number": {}, "url": ""})
        self.assertEqual(caught.exception.names, ["name", "number"])
        again = template.render({"name": "{{ number }}", "number": "1", "url": "x"})
        self.assertIn("{{ number }}", again[1])
        for words in ("{{ 7*7 }}", "{{ user.name }}", "{{ name|upper }}", "{{"):
            with self.assertRaises(ValidationError):
                self.make(subject=words)

    def test_a_value_adds_no_header(self):
        values = {"number": "1\r\nBcc: evil@x.example\u2028x", "name": "a", "url": "b"}
        subject, _html, _text = self.make().render(values)
        self.assertEqual(subject, "Your order 1 Bcc: evil@x.example x")

    def test_a_provider_may_know_it_by_another_name(self):
        template = self.make(
            mapping_ids=[
                (0, 0, {"account_id": self.account.id, "provider_reference": "t-1"})
            ]
        )
        self.assertEqual(template._provider_reference(self.account), "t-1")
        self.assertEqual(template._provider_reference(self.other), "")

    def test_the_form_as_an_administrator_sees_it(self):
        with Form(self.env["mail.relay.template"].with_user(self.head)) as form:
            form.name = "New"
            form.subject = "Hello {{ name }}"
            form.body_text = "Hello {{ name }}"
        self.assertEqual(form.record.names, "name")
