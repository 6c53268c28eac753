# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import json
from datetime import timedelta

from odoo import api, fields, models
from odoo.exceptions import UserError, ValidationError

from .. import templating
from ..experiments import Rate, best, variant_of, wilson

LETTERS = "ABCD"
#: Entries that get the winner's mail in one go.
RELEASE_BATCH = 500
#: Metric → what counts as success, of a row of ``mail_relay_analysis``. An answer is a
#: mail that came in from the recipient since, with the subject of ours in its own.
_SUCCESS = {
    "opens": "figures.opened",
    "clicks": "figures.clicked",
    "replies": """(EXISTS (
        SELECT 1 FROM mail_bridge_message answer
         WHERE answer.company_id = figures.company_id
           AND answer.received_at >= mail.sent_at
           AND strpos(lower(answer.email_from), lower(figures.address)) > 0
           AND strpos(lower(answer.subject), lower(mail.subject)) > 0))::integer""",
}
_SUCCESS["manual"] = _SUCCESS["clicks"]


class MailRelayBatch(models.Model):
    """Two to four variants are tried on some of a batch; the rest gets the winner."""

    _inherit = "mail.relay.batch"

    variant_ids = fields.One2many("mail.relay.batch.variant", "batch_id", copy=True)
    test_percent = fields.Integer(
        "Tried On (%)", default=20, help="The share of all that the variants go to."
    )
    test_minimum = fields.Integer(
        "Least Mails a Variant",
        default=100,
        help="Nothing is decided before each variant was sent to so many.",
    )
    test_hours = fields.Integer("Decided after (hours)", default=24)
    test_metric = fields.Selection(
        [
            ("clicks", "Most clicks"),
            ("replies", "Most answers"),
            ("opens", "Most opens"),
            ("manual", "By hand"),
        ],
        string="Decided By",
        default="clicks",
        required=True,
    )
    test_began_at = fields.Datetime(readonly=True, copy=False)
    decided_at = fields.Datetime(readonly=True, copy=False)
    winner_id = fields.Many2one(
        "mail.relay.batch.variant", readonly=True, copy=False, ondelete="restrict"
    )
    verdict = fields.Char(
        string="Result",
        compute="_compute_verdict",
        help="Two-proportion z test of the best against the second, corrected for the "
        "number of comparisons.",
    )

    @api.constrains("variant_ids", "test_percent", "test_minimum", "test_hours")
    def _check_test(self):
        for batch in self.filtered("variant_ids"):
            if not 2 <= len(batch.variant_ids) <= len(LETTERS):
                raise ValidationError(self.env._("A test has two to four variants."))
            if not 1 <= batch.test_percent <= 100:
                raise ValidationError(self.env._("A share is between 1 and 100 %."))
            if batch.test_minimum < 1 or batch.test_hours < 1:
                raise ValidationError(
                    self.env._("A test needs a mail and an hour at least.")
                )

    # --- Who gets what ---

    def _variant_for(self, normalized):
        if not self.variant_ids:
            return super()._variant_for(normalized)
        if self.winner_id:
            return self.winner_id.letter
        place = (self.reference, normalized, self.test_percent / 100)
        number = variant_of(*place, len(self.variant_ids))
        return None if number is None else LETTERS[number]

    def _waits(self, entry):
        return bool(self.variant_ids) and not entry["variant"]

    def _words(self, entry, variables):
        if not self.variant_ids:
            return super()._words(entry, variables)
        letter = entry["variant"]
        chosen = self.variant_ids.filtered(lambda item: item.letter == letter)
        # Who waits must be able to get each of them.
        rendered = [
            self.template_id.render(variables, **item._parts())
            for item in chosen or self.variant_ids
        ]
        return templating.Rendered(*rendered[0])

    def _tracking(self):
        """A test sees nothing without tracking, so it is on for the batch."""
        if not self.variant_ids:
            return super()._tracking()
        return {"track_opens": True, "track_clicks": True}

    def _enqueue_entries(self, entries):
        mails = super()._enqueue_entries(entries)
        if entries and self.variant_ids and not self.test_began_at:
            self.sudo().test_began_at = fields.Datetime.now()
        return mails

    # --- Result ---

    def _rates(self):
        """Return the rate of each variant, by its letter (``experiments.Rate``)."""
        self.ensure_one()
        self.env.flush_all()
        self.env.cr.execute(
            f"""SELECT figures.variant, sum({_SUCCESS[self.test_metric]}), count(*)
                  FROM mail_relay_analysis figures
                  JOIN mail_relay_message mail ON mail.id = figures.relay_message_id
                 WHERE figures.batch_id = %s AND figures.sent = 1
                   AND mail.created_at <= coalesce(%s::timestamp, mail.created_at)
              GROUP BY figures.variant""",
            (self.id, self.decided_at or None),
        )
        found = {row[0]: Rate(*row[1:]) for row in self.env.cr.fetchall()}
        return {
            item.letter: found.get(item.letter, Rate(0, 0)) for item in self.variant_ids
        }

    @api.depends("variant_ids", "winner_id", "test_metric")
    def _compute_verdict(self):
        for batch in self:
            batch.verdict = batch.id and batch.variant_ids and batch._verdict_text()

    def _verdict_text(self):
        rates = list(self._rates().values())
        if min(rate.total for rate in rates) < self.test_minimum:
            return self.env._("Too few mails to decide.")
        number, chance = best(rates)
        values = {"letter": LETTERS[number], "chance": f"{chance:.3f}"}
        if chance < 0.05:
            return self.env._(
                "%(letter)s is better: significant (p = %(chance)s).", **values
            )
        return self.env._(
            "%(letter)s leads, perhaps by chance (p = %(chance)s).", **values
        )

    @api.model
    def _cron_decide(self):
        """Decide tests whose time is over, and send the rest of them."""
        running = self.search(
            [("variant_ids", "!=", False), ("state", "=", "open")], order="id"
        )
        more = False
        for batch in running:
            if not batch.winner_id:
                batch._decide()
            if batch.winner_id:
                more |= batch._release_waiting() == RELEASE_BATCH
        if more:
            self.env.ref("mail_relay.ir_cron_decide")._trigger()

    def _decide(self):
        """Choose the winner when its time has come and enough is known."""
        self.ensure_one()
        if self.test_metric == "manual" or not self.test_began_at:
            return
        over = self.test_began_at + timedelta(hours=self.test_hours)
        rates = list(self._rates().values())
        if over > fields.Datetime.now() or self.test_minimum > min(
            rate.total for rate in rates
        ):
            return
        number, _chance = best(rates)
        self._set_winner(self.variant_ids.sorted("letter")[number])

    def _set_winner(self, variant):
        self.sudo().write(
            {"winner_id": variant.id, "decided_at": fields.Datetime.now()}
        )

    def _release_waiting(self):
        """Send the winner to those that waited, some at a time; return how many."""
        self._lock()
        waiting = self.env["mail.relay.batch.entry"].search(
            [("batch_id", "=", self.id), ("state", "=", "waiting")], limit=RELEASE_BATCH
        )
        if self.state != "open" or not waiting:
            return 0
        entries = []
        for item in waiting:
            entry = {
                "id": item.id,
                "address": item.address,
                "email_normalized": item.email_normalized,
                "variables": item.variables,
                "variant": self.winner_id.letter,
                "state": "queued",
            }
            entries.append(entry | self._written(entry, json.loads(item.variables)))
        refused = [entry for entry in entries if entry["state"] == "refused"]
        for entry in refused:
            values = {"state": "refused", "reason": entry["reason"]}
            waiting.browse(entry["id"]).sudo().write(values)
        self._enqueue_entries([entry for entry in entries if entry not in refused])
        self.env.invalidate_all()
        return len(waiting)


class MailRelayBatchVariant(models.Model):
    """Another subject, or other words, that are tried."""

    _name = "mail.relay.batch.variant"
    _description = "Mail Relay Variant"
    _order = "batch_id, sequence, id"
    _rec_name = "letter"

    batch_id = fields.Many2one(
        "mail.relay.batch", required=True, ondelete="cascade", index=True
    )
    sequence = fields.Integer(default=10)
    letter = fields.Char(compute="_compute_letter")
    subject = fields.Char(help="Empty: the template's.")
    body_html = fields.Text(string="HTML", help="Empty: the template's.")
    body_text = fields.Text(string="Text")
    sent_count = fields.Integer("Sent", compute="_compute_figures")
    success_count = fields.Integer("Successes", compute="_compute_figures")
    rate = fields.Float(compute="_compute_figures")
    interval = fields.Char(
        "95 % Between", compute="_compute_figures", help="Wilson's interval."
    )

    @api.depends("batch_id.variant_ids", "sequence")
    def _compute_letter(self):
        for variant in self:
            order = variant.batch_id.variant_ids.sorted(
                lambda item: (item.sequence, item._origin.id or 0)
            )
            place = list(order).index(variant) if variant in order else 0
            variant.letter = LETTERS[min(place, len(LETTERS) - 1)]

    @api.depends("batch_id.winner_id")
    def _compute_figures(self):
        rates = {}
        for batch in self.batch_id._origin:
            rates |= {(batch.id, key): rate for key, rate in batch._rates().items()}
        for variant in self:
            key = (variant.batch_id._origin.id, variant.letter)
            rate = rates.get(key, Rate(0, 0))
            low, high = wilson(rate)
            variant.sent_count, variant.success_count = rate.total, rate.wins
            variant.rate = rate.share
            variant.interval = f"{low:.1%} – {high:.1%}"

    @api.constrains("subject", "body_html", "body_text")
    def _check_gaps(self):
        for variant in self:
            if any(map(templating.is_broken, variant._parts().values())):
                raise ValidationError(self.env._("A gap is written {{ name }}."))

    @api.constrains("sequence", "batch_id", "subject", "body_html", "body_text")
    def _check_not_begun(self):
        if any(variant.batch_id.test_began_at for variant in self):
            raise ValidationError(
                self.env._("Mails of this test were sent: its variants are fixed.")
            )

    @api.ondelete(at_uninstall=False)
    def _unlink_except_begun(self):
        self._check_not_begun()

    def _parts(self):
        return {
            "subject": self.subject or "",
            "html": self.body_html or "",
            "text": self.body_text or "",
        }

    def action_choose(self):
        """Let this variant win, by hand."""
        self.ensure_one()
        batch = self.batch_id
        batch.check_access("write")
        batch._lock()
        if batch.winner_id:
            raise UserError(self.env._("The test is decided."))
        batch._set_winner(self)
        self.env.ref("mail_relay.ir_cron_decide").sudo()._trigger()
