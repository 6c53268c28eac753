"""Goal 1: how many posts the door accepts, beside the peers on the same server."""

from collections.abc import Callable
from dataclasses import dataclass

from tools.bench.mails import (
    Mail,
    Peer,
    empty_post,
    gateway_call,
    mailgun_post,
    make_mails,
)
from tools.bench.measure import median
from tools.bench.report import Goal, Section, milliseconds
from tools.bench.stage import Load, Stage
from tools.console import say

CLIENTS = (1, 4, 16)
METHOD = """\
The same mails (4.8 kB of MIME, about 17 kB as Mailgun posts them) at three doors of one
server with 4 workers: `/mailgate/mailgun` with the drains paused, an `auth="none"`
route that does nothing with the same post, and the call of Odoo's mailgate script
(XML-RPC `mail.thread.message_process`, API key, the alias makes a lead of each mail).
The doors take turns; medians of the rounds. CPU is user and system time of all
processes of Odoo and PostgreSQL per good answer; it suffers less from what else the
machine does. The load generator shares the two cores; its own CPU stands beside."""


CAUSE = """\
Odoo's own request machinery is most of a post; see the empty route, and the ratios by
CPU time where something else kept the machine busy."""


@dataclass(frozen=True)
class Door:
    """One way in; `most` is an upper bound of its requests per second."""

    name: str
    request: Callable[[Mail, Peer], bytes]
    most: int


DOORS = (
    Door("bridge", mailgun_post, 1500),
    Door("empty route", empty_post, 2500),
    Door("gateway", gateway_call, 120),
)


@dataclass(frozen=True)
class Plan:
    """How long and how often."""

    rounds: int
    seconds: float


def run(stage: Stage, quick: bool) -> Section:
    """Measure all of goal 1."""
    plan = Plan(rounds=1 if quick else 3, seconds=2.0 if quick else 4.0)
    section = Section(
        1,
        "Accepted posts",
        METHOD,
        (
            "door",
            "clients",
            "per s",
            "p50 ms",
            "p99 ms",
            "CPU ms each",
            "generator ms",
            "bad",
        ),
    )
    stage.up()
    stage.pause_drains()
    found = _paused(stage, plan)
    for (name, clients), loads in found.items():
        section.rows.append(_row(name, str(clients), loads))
    peak = {door.name: _peak(found, door.name) for door in DOORS}
    half = _at_half(stage, plan, peak["bridge"])
    label = f"open, {peak['bridge'] / 2:.0f}/s"
    section.rows.append(_row("bridge at half its peak", label, half))
    busy = _with_drains(stage, plan)
    section.rows.append(_row("bridge, two drains at work", "16", busy))
    _judge(section, found, peak, half, busy)
    return section


def _send(stage: Stage, door: Door, clients: int, seconds: float) -> Load:
    mails = make_mails(int(door.most * seconds))
    requests = [door.request(mail, stage.peer) for mail in mails]
    return stage.load(requests, clients, seconds)


def _paused(stage: Stage, plan: Plan) -> dict[tuple[str, int], list[Load]]:
    found: dict[tuple[str, int], list[Load]] = {
        (door.name, clients): [] for clients in CLIENTS for door in DOORS
    }
    for door in DOORS:
        _send(stage, door, 8, 1.0)  # every worker has seen every door
    for turn in range(plan.rounds):
        for clients in CLIENTS:
            for door in DOORS[turn % 3 :] + DOORS[: turn % 3]:
                load = _send(stage, door, clients, plan.seconds)
                found[door.name, clients].append(load)
                say(f"goal 1: {door.name}, {clients} clients: {load.rate:.0f}/s")
    return found


def _peak(found: dict[tuple[str, int], list[Load]], name: str) -> float:
    rates = [median(load.rate for load in found[name, n]) for n in CLIENTS]
    return max(rates)


def _at_half(stage: Stage, plan: Plan, peak: float) -> list[Load]:
    loads = []
    for _turn in range(plan.rounds):
        mails = make_mails(int(peak * plan.seconds))
        requests = [mailgun_post(mail, stage.peer) for mail in mails]
        loads.append(stage.load(requests, seconds=plan.seconds, rate=peak / 2))
        say(f"goal 1: half of the peak: p99 {milliseconds(loads[-1].at(0.99))} ms")
    return loads


def _with_drains(stage: Stage, plan: Plan) -> list[Load]:
    """What was posted before keeps both drains busy all the time."""
    if stage.waiting() < 500:
        stage.post(make_mails(500))
    stage.resume_drains()
    loads = []
    try:
        for _turn in range(plan.rounds):
            loads.append(_send(stage, DOORS[0], 16, plan.seconds))
            say(f"goal 1: with two drains: {loads[-1].rate:.0f}/s")
    finally:
        stage.pause_drains()
    stage.empty_queue()
    return loads


def _row(name: str, clients: str, loads: list[Load]) -> tuple[str, ...]:
    return (
        name,
        clients,
        f"{median(load.rate for load in loads):.0f}",
        milliseconds(median(load.at(0.5) for load in loads)),
        milliseconds(median(load.at(0.99) for load in loads)),
        milliseconds(median(load.cpu_each for load in loads)),
        milliseconds(
            median(load.generator_cpu / len(load.latencies) for load in loads)
        ),
        str(sum(sum(load.bad.values()) for load in loads)),
    )


def _judge(
    section: Section,
    found: dict[tuple[str, int], list[Load]],
    peak: dict[str, float],
    half: list[Load],
    busy: list[Load],
) -> None:
    rate = peak["bridge"]
    section.require(
        "posts/s to the gateway's mails/s", rate / peak["gateway"], 7, cause=CAUSE
    )
    floor = 100 / peak["empty route"]
    section.require("posts/s to the empty route's", rate * floor, 55, "%")
    drained = median(load.rate for load in busy)
    section.require("the same with two drains at work", drained * floor, 35, "%")
    slow = median(load.at(0.99) for load in half) * 1000
    section.allow("p99 at half the peak", slow, 100, "ms")
    each = {
        door.name: median(
            load.cpu_each for n in CLIENTS for load in found[door.name, n]
        )
        for door in DOORS
    }
    ratios = (each["gateway"] / each["bridge"], each["empty route"] / each["bridge"])
    text = f"{ratios[0]:.1f} x of the gateway, {ratios[1]:.0%} of the empty route"
    section.goals.append(Goal("the two ratios by CPU time", "", text))
