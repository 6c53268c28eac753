"""The relay from its queue to the wire: one dispatcher in a process of its own."""

import time
import uuid

from tools.bench.inside.loop import backend_cpu, own_cpu
from tools.bench.mails import make_mails


def main(env, job: dict) -> dict:
    """Enqueue `job["count"]` mails and dispatch them; seconds and CPU of the latter."""
    account = _account(env, job["port"], job["connections"])
    for _warm_up in range(2):
        _dispatch(env, account, job["connections"])
    start, before, backend = time.perf_counter(), own_cpu(), backend_cpu(env)
    seconds = _dispatch(env, account, job["count"])
    return {
        "seconds": seconds,
        "whole": time.perf_counter() - start,
        "cpu": own_cpu() - before,
        "backend": backend_cpu(env) - backend,
    }


def _account(env, port: int, connections: int):
    account = env["mail.bridge.account"].create(
        {
            "name": "Bench",
            "code": "smtp",
            "smtp_host": "127.0.0.1",
            "smtp_port": port,
            "relay_threads": connections,
            "relay_batch_size": 200,
            "state": "enabled",
        }
    )
    env.cr.commit()
    return account


def _dispatch(env, account, count: int) -> float:
    """Send so many mails; return how long the dispatcher took, its end included."""
    from odoo.addons.mail_relay.submission import Rcpt, Submission

    queue = env["mail.relay.message"]
    mails = queue._enqueue(
        [
            Submission(
                mime=mail.mime(),
                envelope_sender="shop@bench.example.com",
                email_from="shop@bench.example.com",
                recipients=(Rcpt(f"reader{number}@example.org"),),
                message_id=f"<{uuid.uuid4().hex}@bench.example.com>",
                account_id=account.id,
            )
            for number, mail in enumerate(make_mails(count))
        ]
    )
    env.cr.commit()
    start = time.perf_counter()
    while queue.search_count([("id", "in", mails.ids), ("state", "=", "queued")]):
        env.cr.commit()
        queue._cron_dispatch()
    seconds = time.perf_counter() - start
    left = queue.search_count([("id", "in", mails.ids), ("state", "!=", "done")])
    if left:
        raise RuntimeError(f"{left} of {count} mails were not sent")
    # At the end it looks once more after a pause, in which nothing is sent.
    env.cr.execute(
        """SELECT extract(epoch FROM max(ended_at) - min(started_at))::float8
             FROM mail_relay_attempt WHERE relay_message_id = ANY(%s)""",
        (mails.ids,),
    )
    (wire,) = env.cr.fetchone()
    return wire if wire and wire < seconds else seconds
