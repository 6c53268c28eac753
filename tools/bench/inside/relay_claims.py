"""What the relay's claim costs in a short and in a long queue."""

import time

from tools.bench.inside.claims import _use
from tools.bench.inside.loop import backend_cpu

BLOCKS, CLAIMS, MAILS = 10, 10, 100
FILL = """\
INSERT INTO {schema}.mail_relay_message
       (reference, state, company_id, account_id, account_chain, owner_key, level,
        next_attempt, created_at, attempts, tries, generation, message_id, size,
        domains)
SELECT md5(n::text), 'queued', 1, %(account)s, '[]', n %% 5, n %% 4,
       now() AT TIME ZONE 'UTC' - n * interval '1 second', now() AT TIME ZONE 'UTC',
       0, 0, 0, md5(n::text), 5000, '{{example.org}}'
  FROM generate_series(1, %(count)s) n"""


def main(env, job: dict) -> dict:
    """Claim from both queues in turns; seconds of each claim, backend CPU per claim."""
    from odoo.addons.mail_relay.engine.claim import claim

    account = env["mail.bridge.account"].create(
        {
            "name": "Claims",
            "code": "smtp",
            "smtp_host": "127.0.0.1",
            "state": "enabled",
        }
    )
    env.cr.commit()
    values = account._send_account()
    for schema in ("short", "long"):
        _make(env, schema, account.id, job[schema])
    times: dict[str, list[float]] = {"short": [], "long": []}
    used = {"short": 0.0, "long": 0.0}
    for _block in range(BLOCKS):
        for schema, seconds in times.items():
            before = backend_cpu(env)
            _use(env, schema)
            for _ in range(CLAIMS):
                start = time.perf_counter()
                found = claim(env.cr, values, "bench", MAILS, {})
                env.cr.commit()
                seconds.append(time.perf_counter() - start)
                if len(found.taken) != MAILS:
                    raise RuntimeError(f"{len(found.taken)} mails claimed")
            _use(env, "public")
            used[schema] += backend_cpu(env) - before
    env.cr.execute("DROP SCHEMA short CASCADE; DROP SCHEMA long CASCADE")
    env.cr.commit()
    return {"times": times, "backend": used}


def _make(env, schema: str, account: int, count: int) -> None:
    cr = env.cr
    cr.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
    cr.execute(
        f"CREATE TABLE {schema}.mail_relay_message"
        " (LIKE public.mail_relay_message INCLUDING ALL)"
    )
    cr.execute(FILL.format(schema=schema), {"account": account, "count": count})
    cr.commit()
    cr._cnx.autocommit = True
    cr.execute(f"VACUUM ANALYZE {schema}.mail_relay_message")
    cr._cnx.autocommit = False
