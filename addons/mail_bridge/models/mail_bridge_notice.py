# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import logging
import time

from odoo import api, fields, models

from ..const import NOTICE_SECONDS

_logger = logging.getLogger(__name__)

_written: dict[tuple, float] = {}


class MailBridgeNotice(models.Model):
    """Something an operator should know about an account, sampled.

    Refused posts must stay cheap: of each kind at most one write a minute and worker.
    """

    _name = "mail.bridge.notice"
    _description = "Mail Bridge Notice"
    _order = "last_seen desc, id desc"

    account_id = fields.Many2one(
        "mail.bridge.account", required=True, index=True, ondelete="cascade"
    )
    kind = fields.Selection(
        [
            ("disabled", "Posts arrive while the account is disabled or archived"),
            ("ambiguous", "Several accounts accept the same post"),
            ("retired_token", "Posts arrive at a replaced address"),
            ("address", "Posts arrive without the secret address"),
            ("network", "Posts arrive from a network that is not allowed"),
            ("no_key", "Posts arrive while the signing key is missing"),
            ("replay", "A repeated post had other content"),
            ("signature", "Posts with a wrong signature"),
            ("key_ring", "This host cannot decrypt the account's secrets"),
            ("not_here", "A host cannot process the account's mail"),
        ],
        required=True,
    )
    count = fields.Integer(help="Sampled: at least this many.")
    first_seen = fields.Datetime(required=True)
    last_seen = fields.Datetime(required=True)
    detail = fields.Char()
    told = fields.Boolean(help="An activity was raised.")
    resolved = fields.Boolean()

    def init(self):
        self.env.cr.execute(
            """CREATE UNIQUE INDEX IF NOT EXISTS mail_bridge_notice_open_uniq
               ON mail_bridge_notice (account_id, kind) WHERE NOT resolved"""
        )

    @api.model
    def _record(self, account_id, kind, detail=""):
        """Count one occurrence; the caller commits.

        :raises psycopg2.errors.SerializationFailure: somebody else changed the notice
            or its account at the same instant; roll back and call again.
        """
        key = (self.env.cr.dbname, account_id, kind)
        now = time.monotonic()
        if now - _written.get(key, -NOTICE_SECONDS) < NOTICE_SECONDS:
            return
        self.env.cr.execute(
            """INSERT INTO mail_bridge_notice AS n
                      (account_id, kind, count, first_seen, last_seen, detail,
                       told, resolved)
               VALUES (%s, %s, 1, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC',
                       %s, false, false)
               ON CONFLICT (account_id, kind) WHERE NOT resolved DO UPDATE
                  SET count = n.count + 1, last_seen = excluded.last_seen,
                      detail = excluded.detail, told = n.told
                          AND n.last_seen > excluded.last_seen - interval '1 day'""",
            (account_id, kind, detail[:200]),
            log_exceptions=False,
        )
        _written[key] = now

    def action_resolve(self):
        """Mark as dealt with; a new occurrence opens a new notice."""
        self.write({"resolved": True})

    @api.model
    def _cron_tell(self):
        """Raise one activity per open notice that nobody was told of."""
        for notice in self.search([("told", "=", False), ("resolved", "=", False)]):
            try:
                with self.env.cr.savepoint():
                    notice._tell()
            except Exception:  # what stops one must not stop the others
                _logger.warning("notice %s could not be told", notice.id, exc_info=True)

    def _tell(self):
        label = dict(self._fields["kind"]._description_selection(self.env))
        self.account_id._warn(label[self.kind], self.detail or "")
        self.told = True
