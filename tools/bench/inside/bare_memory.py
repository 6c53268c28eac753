"""The floor of goal 4: core's gateway on a large mail, nothing of ours around it."""

import os
import secrets

from tools.bench.mails import make_mail
from tools.bench.measure import memory, reset_peak


def main(env, job: dict) -> dict:
    """Process one mail; bytes of the mail and of the peak beyond it."""
    gateway = env["mail.thread"]
    gateway.message_process(False, make_mail().mime())
    env.cr.commit()
    mime = make_mail().mime(secrets.token_bytes(job["attachment"]))
    idle = memory(os.getpid(), "VmRSS")
    reset_peak(os.getpid())
    gateway.message_process(False, mime)
    env.cr.commit()
    return {"mail": len(mime), "peak": memory(os.getpid(), "VmHWM") - idle}
