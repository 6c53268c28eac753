"""Whose CPU time a drain spends: a sampling profile with the stack's owner.

A timer of the process's CPU time interrupts a drain; the stack then says for whom it
works, from the inmost frame outwards:

* a function in a file of our addons: ours;
* core's `message_process`, or a core function that one of our overrides of the same
  name called (its `super()`): core's;
* `commit` and the flush before it, called for the end of a mail's transaction: shared,
  for a loop of `message_process` and `commit` ends each mail just so.

So everything our code calls (its ORM calls, its SQL, parsing, hashing) is ours, inside
core's gateway too, until it hands back to core.
"""

import signal
from collections import Counter
from types import FrameType

from tools.bench.inside.loop import backend_cpu, own_cpu

TICK_SECONDS = 0.001
OUR_FILES = "/addons/mail_bridge"
END_OF_MAIL = ("flush_all", "commit")


def owner(frame: FrameType | None) -> tuple[str, str]:
    """Who the stack works for, and the function of ours that it stands in."""
    while frame is not None:
        code = frame.f_code
        if OUR_FILES in code.co_filename:
            return "ours", code.co_name
        above = frame.f_back
        if code.co_name == "message_process":
            return "core", ""
        if above is not None and OUR_FILES in above.f_code.co_filename:
            name = above.f_code.co_name
            if name == code.co_name:
                return "core", ""
            if name == "_try" and code.co_name in END_OF_MAIL:
                return "shared", ""
        frame = above
    return "outside", ""


def main(env, job: dict) -> dict:
    """Drain what waits; samples by owner, CPU seconds, number of mails."""
    samples: Counter = Counter()
    places: Counter = Counter()

    def sample(_number: int, frame: FrameType | None) -> None:
        whose, place = owner(frame)
        samples[whose] += 1
        if place:
            places[place] += 1

    queue = env["mail.bridge.intake"]
    count = _waiting(env)
    queue._drain(seconds=0.5, linger=0)
    count, backend = _waiting(env), backend_cpu(env)
    before = own_cpu()
    if job["profile"]:
        signal.signal(signal.SIGPROF, sample)
        signal.setitimer(signal.ITIMER_PROF, TICK_SECONDS, TICK_SECONDS)
    queue._drain(seconds=600, linger=0)
    signal.setitimer(signal.ITIMER_PROF, 0)
    return {
        "count": count - _waiting(env),
        "cpu": own_cpu() - before,
        "backend": backend_cpu(env) - backend,
        "samples": dict(samples),
        "places": places.most_common(12),
    }


def _waiting(env) -> int:
    env.cr.execute("SELECT count(*) FROM mail_bridge_intake WHERE state = 'pending'")
    count = env.cr.fetchone()[0]
    env.cr.commit()
    return count
