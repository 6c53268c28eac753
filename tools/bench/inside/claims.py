"""What a claim costs in a queue with and without a long history."""

import time

from tools.bench.inside.loop import backend_cpu

BLOCKS, CLAIMS = 20, 25
FILL = """\
INSERT INTO {schema}.mail_bridge_intake
       (account_id, company_id, reference, dedupe_key, content_hash, state, lane,
        priority, attempts, next_attempt, received_at, method, path, headers,
        content_type, remote_addr, size, done_at)
SELECT %(account)s, 1, md5(n::text), md5(n::text) || %(state)s, md5(n::text), %(state)s,
       'main', 5, 0, m, m, 'POST', '/mailgate/mailgun', '[]', 'multipart/form-data',
       '192.0.2.1', 17000, CASE WHEN %(state)s = 'done' THEN m END
  FROM (SELECT n, now() AT TIME ZONE 'UTC' - n * interval '1 second' AS m
          FROM generate_series(1, %(count)s) n) rows"""


def main(env, job: dict) -> dict:
    """Claim from both queues in turns; seconds of each claim, backend CPU per claim.

    The two queues are copies of the table in schemas of their own, with all indexes;
    the search path says which of them the product's own statement finds.
    """
    account = env["mail.bridge.account"].search([], limit=1).id
    for schema, done in (("alone", 0), ("history", job["done"])):
        _make(env, schema, account, done, job["due"])
    times: dict[str, list[float]] = {"alone": [], "history": []}
    used = {"alone": 0.0, "history": 0.0}
    for _block in range(BLOCKS):
        for schema, seconds in times.items():
            before = backend_cpu(env)
            _use(env, schema)
            seconds += _claims(env)
            _use(env, "public")
            used[schema] += backend_cpu(env) - before
    env.cr.execute("DROP SCHEMA alone CASCADE; DROP SCHEMA history CASCADE")
    env.cr.commit()
    return {"times": times, "backend": used}


def _make(env, schema: str, account: int, done: int, due: int) -> None:
    cr = env.cr
    cr.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
    cr.execute(
        f"CREATE TABLE {schema}.mail_bridge_intake"
        " (LIKE public.mail_bridge_intake INCLUDING ALL)"
    )
    for state, count in (("done", done), ("pending", due)):
        values = {"account": account, "state": state, "count": count}
        cr.execute(FILL.format(schema=schema), values)
    cr.commit()
    cr._cnx.autocommit = True
    cr.execute(f"VACUUM ANALYZE {schema}.mail_bridge_intake")
    cr._cnx.autocommit = False


def _use(env, schema: str) -> None:
    env.cr.execute(f"SET search_path TO {schema}, public")
    env.cr.commit()


def _claims(env) -> list[float]:
    queue = env["mail.bridge.intake"]
    seconds = []
    for _ in range(CLAIMS):
        start = time.perf_counter()
        claim = queue._claim()
        seconds.append(time.perf_counter() - start)
        if not claim:
            raise RuntimeError("nothing was due")
    return seconds
