# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo import api, models

from ..gateway import OWN_MODEL, current_run


class MailThread(models.AbstractModel):
    _inherit = "mail.thread"

    @api.model
    def message_parse(self, message, save_original=False):
        values = super().message_parse(message, save_original=save_original)
        if run := current_run(self.env):
            run.on_parsed(values)
        return values

    @api.model
    def message_route(
        self, message, message_dict, model=None, thread_id=None, custom_values=None
    ):
        run = current_run(self.env)
        if not run:
            return super().message_route(
                message, message_dict, model, thread_id, custom_values
            )
        run.before_route(message_dict)
        if run.forced:
            model, res_id, values, alias = run.forced
            routes = [(model, res_id, values, self.env.uid, alias)]
        else:
            routes = super().message_route(
                message, message_dict, OWN_MODEL, run.message.id
            )
        return run.after_route(self.env, message_dict, routes)

    @api.model
    def _message_parse_post_process(self, message, message_dict, routes):
        values = super()._message_parse_post_process(message, message_dict, routes)
        run = current_run(self.env)
        return run.after_author_search(values) if run else values

    @api.model
    def _detect_is_bounce(self, message, message_dict):
        """Keep read receipts and complaint reports from being swallowed as bounces."""
        is_bounce = super()._detect_is_bounce(message, message_dict)
        if is_bounce and current_run(self.env):
            kind = str(message.get_param("report-type") or "").lower()
            if message.get_content_type() == "multipart/report" and kind in (
                "disposition-notification",
                "feedback-report",
            ):
                return False
        return is_bounce

    @api.model
    def _detect_loop_headers(self, msg_dict):
        is_answer = super()._detect_loop_headers(msg_dict)
        run = current_run(self.env)
        if is_answer and run:
            run.on_bounce_answer()
            return False
        return is_answer

    @api.model
    def _detect_loop_sender(self, message, message_dict, routes):
        is_loop = super()._detect_loop_sender(message, message_dict, routes)
        run = current_run(self.env)
        if is_loop and run:
            run.on_loop(self.env, message_dict, routes)
            return False
        return is_loop

    @api.model
    def _detect_write_to_catchall(self, msg_dict):
        """Core bounces what is written to catchall; no alias has refused it."""
        is_written = super()._detect_write_to_catchall(msg_dict)
        if run := current_run(self.env):
            run.writes_to_catchall = bool(is_written)
        return is_written

    @api.model
    def _routing_create_bounce_email(self, email_from, body_html, message, **values):
        """A provider has accepted the mail long ago: a bounce would hit a stranger."""
        run = current_run(self.env)
        if run:
            run.is_refused = not run.writes_to_catchall
            return
        super()._routing_create_bounce_email(email_from, body_html, message, **values)

    def _get_message_create_valid_field_names(self):
        return super()._get_message_create_valid_field_names() | {"bridge_message_id"}

    def message_post(self, **kwargs):
        message = super().message_post(**kwargs)
        run = current_run(self.env)
        if run and message.bridge_message_id == run.message:
            run.posted = (self._name, self.id)
        return message
