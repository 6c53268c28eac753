"""The peer of goal 2: one process that calls `message_process` and commits."""

import pickle
import resource
import time
from pathlib import Path


def main(env, job: dict) -> dict:
    """Process the mails in the file `job["mails"]`; seconds and own CPU seconds."""
    # Written a moment ago by the process that started this one.
    mails = pickle.loads(Path(job["mails"]).read_bytes())  # noqa: S301
    gateway = env["mail.thread"]
    for mime in mails[:10]:
        gateway.message_process(False, mime)
        env.cr.commit()
    start, before = time.perf_counter(), own_cpu()
    backend = backend_cpu(env)
    for mime in mails[10:]:
        gateway.message_process(False, mime)
        env.cr.commit()
    return {
        "count": len(mails) - 10,
        "seconds": time.perf_counter() - start,
        "cpu": own_cpu() - before,
        "backend": backend_cpu(env) - backend,
    }


def own_cpu() -> float:
    """User and system time of this process, seconds."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def backend_cpu(env) -> float:
    """User and system time of this cursor's PostgreSQL process, seconds."""
    env.cr.execute("SELECT pg_backend_pid()")
    pid = env.cr.fetchone()[0]
    env.cr.commit()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
