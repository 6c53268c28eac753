"""Goal 2: mails into the chatter, beside a bare loop and the gateway; our own share."""

import os
import pickle
import time
from dataclasses import dataclass

from tools.bench.mails import gateway_call, make_mails
from tools.bench.measure import median
from tools.bench.report import Goal, Section, milliseconds
from tools.bench.stage import Stage
from tools.console import Failure, say

WARM_UP = 20
SHARE_CAUSE = """\
The record of the mail (`mail.bridge.message`, through the ORM) is the largest part;
the functions below say where the rest goes."""
CRON_NICENESS = 10
#: A drain and its PostgreSQL process take turns, so each keeps one core busy.
DRAINS = 2
METHOD = """\
The same number of equal mails, in turns: stored posts that two drains put into the
chatter (from the first mail done to the last); one process that calls
`mail.thread.message_process` and commits, mail by mail, at a cron worker's niceness as
Odoo's fetchmail cron would; and the gateway with 4 clients at 4 workers. The share is
that of a sampling profile of one drain's CPU time (`tools/bench/inside/share.py` says
whose a sample is); beside it what one drain's CPU per mail, PostgreSQL's included, adds
to the loop's."""


@dataclass(frozen=True)
class Pace:
    """Mails per second and CPU seconds per mail, PostgreSQL's included."""

    rate: float
    cpu: float


def run(stage: Stage, quick: bool) -> Section:
    """Measure all of goal 2."""
    rounds, count = (1, 120) if quick else (3, 250)
    section = Section(
        2, "Into the chatter", METHOD, ("way", "mails per s", "CPU ms per mail")
    )
    stage.up()
    stage.pause_drains()
    ways = {"two drains": drains, "bare loop": loop, "gateway, 4 workers": gateway}
    found: dict[str, list[Pace]] = {name: [] for name in ways}
    gateway(stage, 40)  # every worker has seen a mail
    for turn in range(rounds):
        names = list(ways)
        for name in names[turn % 3 :] + names[: turn % 3]:
            found[name].append(ways[name](stage, count))
            say(f"goal 2: {name}: {found[name][-1].rate:.1f}/s")
    rate = {name: median(p.rate for p in paces) for name, paces in found.items()}
    for name, paces in found.items():
        cpu = milliseconds(median(pace.cpu for pace in paces))
        section.rows.append((name, f"{rate[name]:.1f}", cpu))
    ours = rate["two drains"]
    each = {name: median(p.cpu for p in paces) for name, paces in found.items()}
    section.require(
        "two drains to the bare loop",
        ours / rate["bare loop"],
        1.6,
        cause=_limit(each, "bare loop"),
    )
    section.require(
        "two drains to the gateway",
        ours / rate["gateway, 4 workers"],
        1.2,
        cause=_limit(each, "gateway, 4 workers"),
    )
    _share(stage, section, count)
    return section


def _limit(each: dict[str, float], peer: str) -> str:
    """What two drains could reach at best, by the CPU that a mail costs."""
    ours, other = each["two drains"], each[peer]
    cores = os.cpu_count() or 1
    used = 1 if peer == "bare loop" else cores
    best = min(cores, DRAINS) / used * other / ours
    return (
        f"Core's `message_process` is most of both: a mail costs {ours * 1000:.1f} ms"
        f" of CPU in the drains and {other * 1000:.1f} ms there, PostgreSQL included,"
        f" and {cores} cores are all there is: {best:.2f} x if none ever waited for the"
        " disk, for another process or for a cron worker's niceness."
    )


def drains(stage: Stage, count: int) -> Pace:
    """Two drains on a full queue."""
    stage.empty_queue()
    stage.post(make_mails(count))
    before = stage.cpu()
    stage.resume_drains()
    done, began, first = 0, 0.0, 0
    limit = time.monotonic() + 300
    while done < count:
        done = _done(stage)
        now = time.perf_counter()
        if done >= WARM_UP and not first:
            began, first, before = now, done, stage.cpu()
        if time.monotonic() > limit:
            raise Failure(f"{count - done} of {count} mails do not reach the chatter")
        time.sleep(0.03)
    pace = Pace(
        rate=(count - first) / (now - began),
        cpu=(stage.cpu() - before) / (count - first),
    )
    stage.pause_drains()
    return pace


def _done(stage: Stage) -> int:
    statement = "SELECT count(*) FROM mail_bridge_intake WHERE state = 'done'"
    return stage.sql(statement)[0][0]


def loop(stage: Stage, count: int) -> Pace:
    """One process, `message_process` and commit."""
    path = stage.folder / "mails"
    path.write_bytes(pickle.dumps([mail.mime() for mail in make_mails(count)]))
    result = stage.inside("loop", CRON_NICENESS, mails=str(path))
    used = result["cpu"] + result["backend"]
    return Pace(result["count"] / result["seconds"], used / result["count"])


def gateway(stage: Stage, count: int) -> Pace:
    """As many clients as there are workers."""
    requests = [gateway_call(mail, stage.peer) for mail in make_mails(count)]
    load = stage.load(requests, clients=4)
    if load.bad:
        raise Failure(f"the gateway did not take the mails: {load.bad}")
    return Pace(load.rate, load.cpu_each)


def _share(stage: Stage, section: Section, count: int) -> None:
    each = []
    for profile in (True, False):
        stage.empty_queue()
        stage.post(make_mails(count))
        result = stage.inside("share", CRON_NICENESS, profile=profile)
        each.append(result)
    profiled, plain = each
    samples = profiled["samples"]
    total = sum(samples.values())
    ours = 100 * samples.get("ours", 0) / total
    section.allow("our share of a drain's CPU per mail", ours, 15, "%", SHARE_CAUSE)
    shared = 100 * samples.get("shared", 0) / total
    section.goals.append(
        Goal("beside it: the commit that ends each mail", "", f"{shared:.1f} %")
    )
    lone = (plain["cpu"] + plain["backend"]) / plain["count"]
    bare = loop(stage, count).cpu
    text = f"{(1 - bare / lone):.1%} ({lone * 1000:.1f} ms to {bare * 1000:.1f} ms)"
    section.goals.append(Goal("what one drain adds to the loop's CPU", "", text))
    places = ", ".join(
        f"{name} {100 * n / total:.1f} %" for name, n in profiled["places"]
    )
    section.goals.append(Goal("where our share goes", "", places))
