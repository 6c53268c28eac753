# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from datetime import timedelta

from odoo import api, fields, models

from ..const import CHUNK_BYTES
from ..exceptions import PermanentError


class MailBridgeBody(models.AbstractModel):
    """Rows with bytes beside them, in chunks of a table that is no model.

    Only ``_write_chunks`` and ``_read_part`` touch it, so that no view, export or
    cache ever carries a mail. A row may have several parts, each with a name.

    A model that inherits must call ``_init_body_table`` in its ``init``.
    """

    _name = "mail.bridge.body"
    _description = "Mail Bridge Row with a Body"
    #: The column of the body table that names the row.
    _body_owner = "owner_id"

    @api.model
    def _init_body_table(self):
        self.env.cr.execute(
            f"""CREATE TABLE IF NOT EXISTS {self._table}_body (
                    {self._body_owner} integer NOT NULL
                        REFERENCES {self._table} ON DELETE CASCADE,
                    part smallint NOT NULL,
                    name varchar,
                    seq integer NOT NULL,
                    data bytea NOT NULL,
                    PRIMARY KEY ({self._body_owner}, part, seq));
                ALTER TABLE {self._table}_body ALTER COLUMN data SET STORAGE EXTERNAL"""
        )

    @api.model
    def _horizon(self, parameter, default, least):
        """Return before when a retention setting deletes (naive UTC).

        :param parameter: of the system, in days; :param least: days, whatever it says.
        """
        days = self.env["ir.config_parameter"].sudo().get_param(parameter, default)
        return fields.Datetime.now() - timedelta(days=max(int(days), least))

    @api.model
    def _write_chunks(self, owner_id, part, name, data, start=0):
        """Write bytes in chunks, the first at least; from chunk ``start`` on."""
        view = memoryview(data)
        count = max(1, -(-len(view) // CHUNK_BYTES))
        for seq in range(start, count):
            chunk = view[seq * CHUNK_BYTES : (seq + 1) * CHUNK_BYTES]
            self.env.cr.execute(
                f"""INSERT INTO {self._table}_body
                           ({self._body_owner}, part, name, seq, data)
                    VALUES (%s, %s, %s, %s, %s)""",
                (owner_id, part, name, seq, chunk),
            )

    def _read_part(self, part=0):
        """Return the bytes of one part.

        :raises PermanentError: the retention time is over.
        """
        self.ensure_one()
        chunks = []
        while not chunks or len(chunks[-1]) == CHUNK_BYTES:
            self.env.cr.execute(
                f"""SELECT data FROM {self._table}_body
                     WHERE {self._body_owner} = %s AND part = %s AND seq = %s""",
                (self.id, part, len(chunks)),
            )
            row = self.env.cr.fetchone()
            if not row:
                break
            chunks.append(bytes(row[0]))
        if not chunks:
            raise PermanentError("the body was deleted after its retention time")
        return b"".join(chunks) if len(chunks) > 1 else chunks[0]
