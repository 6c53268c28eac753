"""Goal 6: the relay, from its queue to the wire, and what a claim costs."""

import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median

from tools.bench.mails import make_mails
from tools.bench.measure import percentile
from tools.bench.report import Goal, Section, milliseconds
from tools.bench.stage import Stage
from tools.console import say
from tools.paths import ROOT, contained_environment

#: genro-mail-proxy's best figure on the machine of facts/relay.md §5.2, and what one
#: connection of smtplib with the same discipline gave there (§5.3), mails per second.
GENRO, GENRO_RAW = 370, 1250
LATENCY = 0.02
SHORT, LONG = 10_000, 1_000_000
METHOD = """\
A sink in a process of its own takes everything. One dispatcher in a process of its own
sends the same mails (4.8 kB) as raw smtplib with as many connections (no queue, nothing
written down), in turns; medians of the rounds. "Strict marking": the intent of each
mail is committed before it is on the wire, its result after that, fsync on. Once
without latency, once with 20 ms between each arrival of commands and its answer. The
peer genro-mail-proxy is not run here: its recorded best is compared by what raw smtplib
gave on its machine and gives on this one. A claim takes 100 mails over, in turns of 10
from two copies of the table with all indexes: 10 000 and 1 000 000 due mails of five
owners and four priorities."""


def run(stage: Stage, quick: bool) -> Section:
    """Measure all of goal 6."""
    section = Section(
        6, "The relay", METHOD, ("what", "connections", "mails per s", "CPU ms each")
    )
    rounds = 1 if quick else 3
    bare = _wire(stage, section, 0.0, {1: 1000, 4: 3000}, rounds)
    slow = _wire(stage, section, LATENCY, {1: 150, 4: 500}, rounds)
    section.require("1 connection, strict marking", bare[1][0], 400, "/s")
    section.require("4 connections, strict marking", bare[4][0], 1200, "/s")
    genro = GENRO * bare[1][1] / GENRO_RAW
    ratio = bare[4][0] / genro
    section.require("4 connections to genro's best, normalised", ratio, 1.5)
    for connections, (ours, raw) in slow.items():
        text = f"{connections} connections at 20 ms to raw smtplib's"
        section.require(text, 100 * ours / raw, 80, "%")
    _claims(stage, section, LONG // 10 if quick else LONG)
    return section


def _wire(
    stage: Stage, section: Section, latency: float, counts: dict[int, int], rounds: int
) -> dict[int, tuple[float, float]]:
    """Mails per second by connections: the relay's, and raw smtplib's."""
    found = {}
    for connections, count in counts.items():
        ours, raw, cpu = [], [], []
        for _round in range(rounds):
            with sink(latency) as port:
                raw.append(count / _raw(port, connections, count))
            with sink(latency) as port:
                job = {"port": port, "connections": connections, "count": count}
                answer = stage.inside("wire", **job)
            ours.append(count / answer["seconds"])
            cpu.append((answer["cpu"] + answer["backend"]) / count)
        found[connections] = (median(ours), median(raw))
        name = f"at {latency * 1000:.0f} ms" if latency else "loopback"
        section.rows += [
            (
                f"relay, {name}",
                str(connections),
                f"{median(ours):.0f}",
                milliseconds(median(cpu)),
            ),
            (f"raw smtplib, {name}", str(connections), f"{median(raw):.0f}", ""),
        ]
        say(f"goal 6: {connections} connections: {median(ours):.0f}/s")
    return found


def _raw(port: int, connections: int, count: int) -> float:
    """Send mails by smtplib over some connections; return the seconds."""
    mails = [mail.mime() for mail in make_mails(count)]

    def work(start: int) -> None:
        with smtplib.SMTP("127.0.0.1", port) as server:
            server.ehlo()
            for mime in mails[start::connections]:
                server.sendmail("shop@bench.example.com", ["r@example.org"], mime)

    begin = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        list(pool.map(work, range(connections)))
    return time.perf_counter() - begin


@contextmanager
def sink(latency: float) -> Iterator[int]:
    """An SMTP server in a process of its own; the value is its port."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.support.smtp_sink",
            "--latency",
            str(latency),
        ],
        cwd=ROOT,
        env=contained_environment(PYTHONPATH=str(ROOT)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield int(process.stdout.readline())
    finally:
        process.communicate()


def _claims(stage: Stage, section: Section, long: int) -> None:
    answer = stage.inside("relay_claims", short=SHORT, long=long)
    middle = {key: percentile(times, 0.5) for key, times in answer["times"].items()}
    for key, count in (("short", SHORT), ("long", long)):
        times = answer["times"][key]
        text = f"p50 {milliseconds(middle[key])} ms, "
        text += f"p95 {milliseconds(percentile(times, 0.95))} ms, PostgreSQL "
        text += f"{milliseconds(answer['backend'][key] / len(times))} ms"
        section.goals.append(Goal(f"claim of 100 among {count}", "", text))
    ratio = middle["long"] / middle["short"]
    section.allow("claim in the long queue to the short one", ratio, 1.2, "x")
