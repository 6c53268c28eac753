# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, fields, models
from odoo.exceptions import ValidationError
from odoo.tools import html2plaintext

from .. import templating


class MailRelayTemplate(models.Model):
    """A mail with named gaps, for applications and for many at once."""

    _name = "mail.relay.template"
    _description = "Mail Relay Template"
    _order = "name, id"
    _check_company_auto = True

    name = fields.Char(required=True)
    code = fields.Char(
        help="What applications call it; unique in the company.", copy=False
    )
    active = fields.Boolean(default=True)
    company_id = fields.Many2one(
        "res.company", required=True, default=lambda self: self.env.company
    )
    subject = fields.Char(required=True)
    body_html = fields.Text(string="HTML")
    body_text = fields.Text(
        string="Text", help="Empty: what can be read of the HTML without its looks."
    )
    variable_ids = fields.One2many(
        "mail.relay.template.variable", "template_id", copy=True
    )
    mapping_ids = fields.One2many(
        "mail.relay.template.mapping", "template_id", copy=True
    )
    names = fields.Char(
        string="Variables",
        compute="_compute_names",
        help="The gaps {{ name }} in subject, HTML and text.",
    )

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_template_code_uniq
                   ON mail_relay_template (company_id, code)
                WHERE code IS NOT NULL AND active"""
        )

    @api.depends("subject", "body_html", "body_text")
    def _compute_names(self):
        for template in self:
            template.names = ", ".join(sorted(templating.names_in(*template._parts())))

    @api.constrains("subject", "body_html", "body_text")
    def _check_gaps(self):
        for template in self:
            if any(map(templating.is_broken, template._parts())):
                raise ValidationError(
                    self.env._(
                        "A gap is written {{ name }}, with letters, digits and _; "
                        "nothing is computed in it."
                    )
                )
            if not template.body_html and not template.body_text:
                raise ValidationError(self.env._("A template needs HTML or text."))

    def _parts(self, subject="", html="", text=""):
        """Return the words with their gaps; a variant's own stand in their place."""
        self.ensure_one()
        if not html and not text:
            html, text = self.body_html or "", self.body_text or ""
        return templating.Rendered(
            subject or self.subject or "", html, text or html2plaintext(html)
        )

    def _defaults(self):
        """Return the values of the gaps that may stay empty."""
        self.ensure_one()
        return {item.name: item.default or "" for item in self.variable_ids}

    def render(self, variables, **parts):
        """Fill the gaps for one recipient.

        :param variables: texts and numbers by name.
        :param parts: ``subject``, ``html``, ``text`` of a variant.
        :return: ``(subject, html, text)``.
        :raises MissingVariables: values that have no default were not given.
        :raises BadVariables: values that are no text.
        """
        filled = templating.render(self._parts(**parts), variables, self._defaults())
        return tuple(filled)

    def _provider_reference(self, account):
        """Return what a provider calls this template, ``""`` where it has none."""
        mapped = self.mapping_ids.filtered(lambda item: item.account_id == account)
        return mapped[:1].provider_reference or ""


class MailRelayTemplateVariable(models.Model):
    """A gap that may stay empty, and what stands in it then."""

    _name = "mail.relay.template.variable"
    _description = "Mail Relay Template Variable"
    _order = "name, id"

    template_id = fields.Many2one(
        "mail.relay.template", required=True, ondelete="cascade", index=True
    )
    name = fields.Char(required=True)
    default = fields.Char(help="Empty: nothing stands there.")

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_template_variable_uniq
                   ON mail_relay_template_variable (template_id, name)"""
        )

    @api.constrains("name")
    def _check_name(self):
        for variable in self:
            if not templating.NAME.fullmatch(variable.name):
                raise ValidationError(
                    self.env._(
                        "A variable's name has letters, digits and _: %s", variable.name
                    )
                )


class MailRelayTemplateMapping(models.Model):
    """What a provider calls a template of ours, where it keeps one, too."""

    _name = "mail.relay.template.mapping"
    _description = "Mail Relay Template at a Provider"
    _order = "account_id"

    template_id = fields.Many2one(
        "mail.relay.template", required=True, ondelete="cascade", index=True
    )
    account_id = fields.Many2one(
        "mail.bridge.account",
        required=True,
        ondelete="cascade",
        index=True,
        domain="[('can_send', '=', True)]",
    )
    provider_reference = fields.Char(string="Template's Id There", required=True)

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_relay_template_mapping_uniq
                   ON mail_relay_template_mapping (template_id, account_id)"""
        )

    @api.constrains("account_id", "template_id")
    def _check_company(self, fnames=None):
        for item in self:
            if item.account_id.company_id != item.template_id.company_id:
                raise ValidationError(
                    self.env._("A template is mapped to accounts of its own company.")
                )
