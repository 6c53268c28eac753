# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json

from odoo import api, fields, models
from odoo.exceptions import AccessError, UserError
from odoo.tools import email_normalize

from odoo.addons.mail_bridge.exceptions import PermanentError
from odoo.addons.mail_bridge.models.columns import in_order
from odoo.addons.mail_bridge.models.mail_bridge_message_content import shown
from odoo.addons.mail_bridge.providers.preview import Preview

from ..providers.states import RANKS

#: Recipients that are named where a mail has many.
NAMED = 3
#: What the fate of a mail looks like, from the best to the worst.
FATE_TONES = [("good", "Good"), ("open", "Open"), ("bad", "Bad")]
_BAD = ("failed", "rejected", "bounced", "complained")
_GOOD = ("delivered", "opened", "clicked", "unsubscribed")
#: The order of states in a sentence about many recipients: the latest news first.
_RANK_OF_STATE = {truth.state: rank for truth, rank in RANKS.items()}
#: Documents whose mails carry a key to an account: a link to set a password.
_KEY_MODELS = ("res.users",)
#: Order of the kanban's columns: what waits, then what is settled.
STATE_ORDER = ("queued", "sending", "in_doubt", "held", "dead", "done", "cancelled")


class MailRelayMessage(models.Model):
    """What people see of an outgoing mail, and what they do with it."""

    _inherit = "mail.relay.message"

    recipient_count = fields.Integer(compute="_compute_recipients")
    recipient_names = fields.Char(
        string="Recipients",
        compute="_compute_recipients",
        search="_search_recipient_names",
    )
    fate = fields.Char(
        compute="_compute_recipients", help="What became of it at its recipients."
    )
    fate_tone = fields.Selection(FATE_TONES, compute="_compute_recipients")
    route_story = fields.Text(
        string="Choice of Account",
        compute="_compute_route_story",
        help="The accounts that were thought of, in their order.",
    )
    record_name = fields.Char(string="Record", compute="_compute_record_name")
    can_read_content = fields.Boolean(compute="_compute_can_read_content")

    # --- Compute ---

    def _compute_recipients(self):
        """Name some recipients of each mail, and say what became of all of them."""
        self.env["mail.relay.recipient"].flush_model()
        self.env.cr.execute(
            """SELECT mail.id, named.list, (
                      SELECT json_object_agg(counts.state, counts.count)
                        FROM (SELECT state, count(*) FROM mail_relay_recipient
                               WHERE relay_message_id = mail.id GROUP BY state) counts)
                 FROM unnest(%s) AS mail(id)
            LEFT JOIN LATERAL (
                      SELECT array_agg(address) AS list
                        FROM (SELECT address FROM mail_relay_recipient
                               WHERE relay_message_id = mail.id
                            ORDER BY id LIMIT %s) first) named ON true""",
            (self.ids, NAMED),
        )
        found = {row[0]: row[1:] for row in self.env.cr.fetchall()}
        for mail in self:
            names, counts = found.get(mail.id, ((), {}))
            mail._describe_recipients(names or (), counts or {})

    def _describe_recipients(self, names, counts):
        """Set the fields about the recipients of one mail.

        :param counts: number of recipients by state of truth.
        """
        total = sum(counts.values())
        text = ", ".join(names)
        if total > len(names):
            text = self.env._(
                "%(names)s and %(more)s more", names=text, more=total - len(names)
            )
        self.recipient_count = total
        self.recipient_names = text
        self.fate = self._fate_text(counts)
        tones = {"bad": _BAD, "good": _GOOD}
        self.fate_tone = next(
            (tone for tone, states in tones.items() if counts.keys() & set(states)),
            "open",
        )

    @api.model
    def _fate_text(self, counts):
        """Return the states of all recipients in a few words."""
        names = dict(
            self.env["mail.relay.recipient"]
            ._fields["state"]
            ._description_selection(self.env)
        )
        states = sorted(counts, key=_RANK_OF_STATE.get, reverse=True)
        if sum(counts.values()) == 1:
            return names[states[0]]
        return ", ".join(f"{counts[state]} {names[state].lower()}" for state in states)

    @api.model
    def _search_recipient_names(self, operator, value):
        """Find mails by a recipient: a whole address by the index, else any part."""
        if operator not in ("=", "ilike", "in"):
            raise UserError(self.env._("Recipients are searched by their address."))
        addresses = [value] if isinstance(value, str) else list(value)
        whole = [email_normalize(item) for item in addresses]
        if all(whole):
            return [("recipient_ids.email_normalized", "in", whole)]
        terms = [("recipient_ids.address", "ilike", item) for item in addresses]
        return ["|"] * (len(terms) - 1) + terms

    @api.depends("route_trace")
    def _compute_route_story(self):
        """Say which accounts were thought of, and why; names as they are today."""
        traces = {mail: json.loads(mail.route_trace or "[]") for mail in self}
        ids = {account_id for trace in traces.values() for account_id, _why in trace}
        accounts = self.env["mail.bridge.account"].sudo().browse(ids - {0}).exists()
        names = {account.id: account.name for account in accounts}
        for mail, trace in traces.items():
            mail.route_story = "\n".join(
                f"{names[account_id]}: {why}" if account_id in names else why
                for account_id, why in trace
            )

    @api.depends("model", "res_id")
    @api.depends_context("uid")
    def _compute_record_name(self):
        for mail in self:
            record = mail._document()
            mail.record_name = record.display_name if record else False

    def _document(self):
        """Return the record that the mail is about, if this user may see it."""
        self.ensure_one()
        if not self.res_id or self.model not in self.env:
            return None
        record = self.env[self.model].browse(self.res_id).exists()
        return record if record and record.has_access("read") else None

    @api.depends_context("uid")
    def _compute_can_read_content(self):
        for mail in self:
            mail.can_read_content = mail._may_read_content()

    # --- Content ---

    def _may_read_content(self):
        """Tell whether this user may read the text of a mail.

        An administrator may: whoever chooses the server that mail leaves by can read
        it there. Everybody else reads what the record's chatter shows him anyway, and
        never a link that sets somebody's password.
        """
        self.ensure_one()
        if self.env.user.has_group("mail_bridge.group_administrator"):
            return True
        post = self.sudo().mail_message_id.with_env(self.env)
        return bool(
            post
            and self._document()
            and self.model not in _KEY_MODELS
            and post.has_access("read")
        )

    def read_content(self):
        """Return what the mail widget shows around its frame.

        See ``mail.bridge.message.read_content``.
        """
        self.ensure_one()
        self.check_access("read")
        return shown(*self._preview())

    def _preview(self):
        """Return ``(Preview, False)``, or ``(None, why there is none)``."""
        mime, trouble = self._original()
        return (None, trouble) if trouble else (Preview(mime), False)

    def _original(self):
        """Return ``(MIME bytes, False)``, or ``(None, why there is none)``."""
        self.ensure_one()
        if not self._may_read_content():
            return None, self.env._(
                "You see what became of this mail, and not its text: that is for those "
                "who may read it in its record."
            )
        try:
            return self._read_part(), False
        except PermanentError:
            return None, self.env._(
                "The mail was deleted when its retention time was over."
            )

    # --- Views ---

    @api.model
    def web_read_group(self, *args, **kwargs):
        """Show the columns of the kanban in the order of the work."""
        result = super().web_read_group(*args, **kwargs)
        opened = kwargs.get("opening_info")
        return in_order(result, STATE_ORDER, ("cancelled",), opened)

    # --- Actions ---

    def action_release(self):
        """Let suspended mails go."""
        self.check_access("write")
        self.sudo().filtered(lambda mail: mail.hold_reason == "suspended")._move(
            "queued", hold_reason=False, next_attempt=fields.Datetime.now()
        )
        self.env.cr.postcommit.add(lambda: self._wake(always=True))

    def action_choose_account(self):
        """Ask which account shall send these mails."""
        self.check_access("write")
        return {
            "type": "ir.actions.act_window",
            "name": self.env._("Send through Another Account"),
            "res_model": "mail.relay.account.wizard",
            "view_mode": "form",
            "target": "new",
            "context": {"default_message_ids": self.ids},
        }

    def _hand_over(self, account):
        """Let another account send those that wait for nobody's answer.

        :return: the mails that it will send; dead ones are queued anew.
        """
        self.check_access("write")
        obstacle = account.sudo()._sending_obstacle()
        if obstacle:
            raise UserError(
                self.env._(
                    "%(account)s cannot send: %(why)s.",
                    account=account.name,
                    why=obstacle,
                )
            )
        if account.company_id != self.company_id:
            raise AccessError(
                self.env._("A mail is sent by an account of its own company.")
            )
        taken = self.sudo()._free_to_move()
        why = self.env._("chosen by %(user)s", user=self.env.user.name)
        for mail in taken:
            trace = [*json.loads(mail.route_trace or "[]"), (account.id, why)]
            mail.write(
                {
                    "account_id": account.id,
                    "account_chain": "[]",
                    "route_trace": json.dumps(trace),
                    "error": False,
                }
            )
        taken.action_retry()
        return taken

    def _free_to_move(self):
        """Lock and return what no dispatcher has and no doubt is about."""
        self.env.flush_all()
        self.env.cr.execute(
            """SELECT id FROM mail_relay_message
                WHERE id = ANY(%s) AND (
                      state = 'dead'
                      OR state = 'held' AND hold_reason = 'suspended'
                      OR state = 'queued' AND (claimed_by IS NULL OR claimed_until
                                               < (now() AT TIME ZONE 'UTC')))
             ORDER BY id FOR UPDATE SKIP LOCKED""",
            (self.ids,),
        )
        self.invalidate_recordset()
        return self.browse(row[0] for row in self.env.cr.fetchall())

    def action_download_original(self):
        """Download the mail as it is sent."""
        self.ensure_one()
        return {
            "type": "ir.actions.act_url",
            "url": f"/mail_relay/message/{self.id}/mail.eml",
            "target": "download",
        }

    def action_view_recipients(self):
        """Open the recipients of these mails."""
        action = self.env["ir.actions.act_window"]._for_xml_id(
            "mail_relay.mail_relay_recipient_action"
        )
        action["domain"] = [("relay_message_id", "in", self.ids)]
        action["context"] = {}
        return action
