"""Goal 4: what a 25 MB mail costs in memory, at the door and in a drain."""

import secrets
import time
from dataclasses import dataclass

from tools.bench.mails import MEGABYTE, large_post, make_mails
from tools.bench.measure import memory, reset_peak
from tools.bench.report import Goal, Section
from tools.bench.stage import Stage
from tools.console import Failure, say
from tools.server import OdooServer

MAIL = 25 * MEGABYTE
#: Becomes 25 MB of base64 with its line ends.
ATTACHMENT = MAIL * 57 // 78
MOST_SECONDS = 120
METHOD = """\
A server with one HTTP worker and one cron worker, so that it is known who does the
work, and three mails one after the other: 25 MB of MIME, posted by Mailgun as raw MIME
(a body of 25 MB) and as fields (18 MB: the attachment is not in base64). The peak is
`VmHWM` after it was set back (`/proc/<pid>/clear_refs`), less `VmRSS` of the same
worker after a few small mails. What stays is `VmRSS` after the third mail less the idle
worker's. Beside it what `message_process` alone adds in a fresh process to the same
mail's bytes."""


CAUSE = """\
Core's parser alone takes what the last line says: Python's `email` makes text of the
whole mail and a list of its lines. A post of fields is smaller than the mail it makes
(no base64), so the same memory is a larger multiple of it."""


@dataclass(frozen=True)
class Cost:
    """Bytes beyond the idle worker, at the peak and afterwards; size of the body."""

    door: int
    drain: int
    door_after: int
    drain_after: int
    body: int


def run(stage: Stage, quick: bool) -> Section:
    """Measure all of goal 4."""
    section = Section(
        4, "Memory", METHOD,
        ("posted as", "mail", "door MB", "x body", "drain MB", "x body", "x mail",
         "stays: door MB", "drain MB"),
    )  # fmt: skip
    stage.up()
    for name, raw in (("raw MIME", True), ("fields", False)):
        stage.pause_drains()
        stage.empty_queue()
        stage.resume_drains()
        with stage.small_server() as server:
            idle = _idle(stage, server)
            costs = [_one(stage, server, idle, raw) for _ in range(3)]
        say(f"goal 4: {name}: {costs[-1]}")
        section.rows += [_row(name, n, cost) for n, cost in enumerate(costs, 1)]
        _judge(section, name, costs)
    stage.pause_drains()
    stage.empty_queue()
    bare = stage.inside("bare_memory", attachment=ATTACHMENT)
    floor = bare["peak"] + bare["mail"]
    text = f"{floor / MEGABYTE:.0f} MB, {floor / bare['mail']:.1f} x mail"
    section.goals.append(Goal("core's message_process alone, mail included", "", text))
    return section


def _row(name: str, number: int, cost: Cost) -> tuple[str, ...]:
    sizes = (cost.door, cost.drain, cost.door_after, cost.drain_after)
    door, drain, *after = [f"{size / MEGABYTE:.0f}" for size in sizes]
    return (
        name,
        str(number),
        door,
        f"{cost.door / cost.body:.1f}",
        drain,
        f"{cost.drain / cost.body:.1f}",
        f"{cost.drain / MAIL:.1f}",
        *after,
    )


def _judge(section: Section, name: str, costs: list[Cost]) -> None:
    door = max(cost.door / cost.body for cost in costs)
    section.allow(f"peak of the door, {name}", door, 5, "x body")
    drain = max(cost.drain / cost.body for cost in costs)
    section.allow(f"peak of a drain, {name}", drain, 12, "x body", CAUSE)
    stays = max(costs[-1].door_after, costs[-1].drain_after) / MAIL
    section.allow(f"what stays after three mails, {name}", stays, 1, "x mail")


def _idle(stage: Stage, server: OdooServer) -> dict[int, int]:
    """Resident bytes of the two workers once they have done all kinds of work."""
    stage.post(make_mails(10), clients=1)
    _wait_done(stage)
    pids = server.http_workers() + server.cron_workers()
    return {pid: memory(pid, "VmRSS") for pid in pids}


def _one(stage: Stage, server: OdooServer, idle: dict[int, int], raw: bool) -> Cost:
    for pid in idle:
        reset_peak(pid)
    request, body = large_post(stage.peer, secrets.token_bytes(ATTACHMENT), raw)
    status = stage.send(request)
    if status != 200:
        raise Failure(f"a large post was answered {status}")
    _wait_done(stage)
    if set(idle) != set(server.http_workers() + server.cron_workers()):
        raise Failure("a worker was replaced while its memory was measured")
    peaks = [memory(pid, "VmHWM") - rest for pid, rest in idle.items()]
    after = [memory(pid, "VmRSS") - rest for pid, rest in idle.items()]
    return Cost(*peaks, *after, body=body)


def _wait_done(stage: Stage) -> None:
    limit = time.monotonic() + MOST_SECONDS
    while stage.waiting():
        if time.monotonic() > limit:
            raise Failure("the drain does not end")
        time.sleep(0.1)
    time.sleep(1)  # the worker gives back what it held
