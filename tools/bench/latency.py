"""Goal 3: how long a mail takes from the provider's post to the chatter."""

import random
import time

from tools.bench.mails import mailgun_post, make_mail
from tools.bench.measure import percentile
from tools.bench.report import Section
from tools.bench.sink import smtp_sink
from tools.bench.stage import Stage
from tools.console import Failure, say

JOB_MAILS = 5000
MAILS = 40  # a p95 of fewer is little more than the longest
PAUSE_SECONDS = (0.3, 1.5)
POLL_SECONDS = 0.005
MOST_SECONDS = 60
METHOD = """\
One mail at a time at irregular intervals (0.3 to 1.5 s): from the first byte of the
post until another database connection sees the mail on its lead. First on a server that
does nothing else; then while Odoo's own mail queue cron sends 5 000 queued mails to an
SMTP server that takes everything."""


def run(stage: Stage, quick: bool) -> Section:
    """Measure all of goal 3."""
    section = Section(
        3, "From the post to the chatter", METHOD,
        ("server", "mails", "p50 ms", "p95 ms", "longest ms"),
    )  # fmt: skip
    stage.up()
    stage.empty_queue()
    stage.resume_drains()
    _one(stage)
    times = [_one(stage, pause=True) for _ in range(MAILS)]
    _add(section, "idle", times, 2)
    with smtp_sink() as port:
        _add(section, "5 000-mail job", _beside_job(stage, port), 5)
    stage.pause_drains()
    return section


def _add(section: Section, name: str, times: list[float], most: float) -> None:
    p95 = percentile(times, 0.95)
    cells = [f"{1000 * x:.0f}" for x in (percentile(times, 0.5), p95, max(times))]
    section.rows.append((name, str(len(times)), *cells))
    section.allow(f"p95, {name}", p95, most, "s")
    say(f"goal 3: {name}: p95 {1000 * p95:.0f} ms of {len(times)}")


def _one(stage: Stage, pause: bool = False) -> float:
    if pause:
        time.sleep(random.uniform(*PAUSE_SECONDS))  # noqa: S311
    mail = make_mail()
    statement = """SELECT 1 FROM mail_message
                    WHERE message_id = %s AND model = 'crm.lead'"""
    start = time.perf_counter()
    status = stage.send(mailgun_post(mail, stage.peer))
    if status != 200:
        raise Failure(f"a post was answered {status}")
    while not stage.sql(statement, mail.message_id):
        if time.perf_counter() > start + MOST_SECONDS:
            raise Failure(f"a mail is not in the chatter after {MOST_SECONDS} s")
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - start


def _beside_job(stage: Stage, port: int) -> list[float]:
    cron = stage.inside("newsletter", count=JOB_MAILS, port=port)["cron"]
    now = "now() AT TIME ZONE 'UTC'"
    stage.sql(f"UPDATE ir_cron SET active = true, nextcall = {now} WHERE id = %s", cron)
    stage.notify()
    _wait_sending(stage)
    times = []
    while len(times) < MAILS:
        seconds = _one(stage, pause=True)
        if not _unsent(stage):
            break
        times.append(seconds)
    stage.server.stop(5)  # a job under way does not end for being told so
    stage.sql("UPDATE ir_cron SET active = false WHERE id = %s", cron)
    stage.sql("DELETE FROM mail_mail")
    stage.up()
    if len(times) < MAILS:
        raise Failure(f"the job ended after {len(times)} mails")
    return times


def _unsent(stage: Stage) -> int:
    return stage.sql("SELECT count(*) FROM mail_mail WHERE state = 'outgoing'")[0][0]


def _wait_sending(stage: Stage) -> None:
    limit = time.monotonic() + MOST_SECONDS
    while _unsent(stage) == JOB_MAILS:
        if time.monotonic() > limit:
            raise Failure("the mail queue does not start")
        time.sleep(0.05)
