"""Goal 5: claims beside a long history, and trigger rows under many posts."""

import time

from tools.bench.mails import mailgun_post, make_mails
from tools.bench.measure import percentile
from tools.bench.report import Goal, Section, milliseconds
from tools.bench.stage import Stage
from tools.console import Failure, say

DUE, DONE = 10_000, 1_000_000
POSTS = 10_000
TRIGGER_SECONDS = 0.2
STATISTICS_SECONDS = 1.5
METHOD = """\
The product's own claim (one process, 500 times in each queue, in turns of 25) on two
copies of the intake table with all indexes: 10 000 due rows alone, and the same beside
1 000 000 done ones. Then 10 000 posts of 16 clients while both drains work, and how
many rows `ir_cron_trigger` was given meanwhile (PostgreSQL's own count; all other crons
are off)."""


def run(stage: Stage, quick: bool) -> Section:
    """Measure all of goal 5."""
    section = Section(
        5, "The queue", METHOD,
        ("queue", "claim p50 ms", "p95 ms", "PostgreSQL CPU ms"),
    )  # fmt: skip
    stage.up()
    stage.pause_drains()
    _claims(stage, section, DONE // 10 if quick else DONE)
    _triggers(stage, section, POSTS // 10 if quick else POSTS)
    return section


def _claims(stage: Stage, section: Section, done: int) -> None:
    answer = stage.inside("claims", done=done, due=DUE)
    middle = {}
    names = {"alone": f"{DUE} due", "history": f"{DUE} due, {done} done"}
    for key, name in names.items():
        times = answer["times"][key]
        middle[key] = percentile(times, 0.5)
        cells = [milliseconds(x) for x in (middle[key], percentile(times, 0.95))]
        cpu = milliseconds(answer["backend"][key] / len(times))
        section.rows.append((name, *cells, cpu))
    ratio = middle["history"] / middle["alone"]
    section.allow("claim beside a long history to one without", ratio, 1.2, "x")
    say(f"goal 5: claims: {ratio:.2f} x")


def _triggers(stage: Stage, section: Section, posts: int) -> None:
    stage.empty_queue()
    stage.sql("DELETE FROM ir_cron_trigger")
    requests = [mailgun_post(mail, stage.peer) for mail in make_mails(posts)]
    time.sleep(STATISTICS_SECONDS)
    before = _inserted(stage)
    stage.resume_drains()
    load = stage.load(requests, clients=16)
    time.sleep(STATISTICS_SECONDS)
    added = _inserted(stage) - before
    left = stage.sql("SELECT count(*) FROM ir_cron_trigger")[0][0]
    stage.pause_drains()
    stage.empty_queue()
    if load.bad:
        raise Failure(f"posts were not accepted: {load.bad}")
    each = added / load.seconds * TRIGGER_SECONDS
    section.allow("trigger rows per 200 ms of posts", each, 1, "")
    text = f"{posts} in {load.seconds:.0f} s; {added} rows added, {left} left"
    section.goals.append(Goal("posts", "", text))
    say(f"goal 5: {text}")


def _inserted(stage: Stage) -> int:
    return stage.sql(
        "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'ir_cron_trigger'"
    )[0][0]
