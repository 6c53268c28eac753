"""The long job of another cron: outgoing mails in Odoo's own queue."""

BODY = "<p>Our spring catalogue is out, with many new lamps.</p>\n" * 40


def main(env, job: dict) -> dict:
    """Queue `job["count"]` mails for the server at `job["port"]`."""
    env["ir.mail_server"].create(
        {"name": "Sink", "smtp_host": "127.0.0.1", "smtp_port": job["port"]}
    )
    for start in range(0, job["count"], 1000):
        env["mail.mail"].create(
            [
                {
                    "subject": "Spring catalogue",
                    "email_from": "shop@bench.example.com",
                    "email_to": f"reader{number}@example.org",
                    "body_html": BODY,
                    "auto_delete": False,
                }
                for number in range(start, min(start + 1000, job["count"]))
            ]
        )
        env.cr.commit()
    return {"cron": env.ref("mail.ir_cron_mail_scheduler_action").id}
