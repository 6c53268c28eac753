#!/usr/bin/env python3
# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Hand a mail from standard input to Mail Bridge; for a mail server's pipe transport.

Postfix, master.cf (one recipient a call, the mail server repeats what fails):

    mailgate unix - n n - 10 pipe
      flags=Rq user=nobody argv=/usr/local/bin/mailgate_pipe.py ${sender} ${recipient}

The address and the secret come from the environment, or from /etc/mailgate.conf with
lines NAME=value: MAILGATE_URL (the account's address), MAILGATE_SECRET (whsec_…, may
be absent). Exit codes are those of sysexits.h: 0 delivered, 75 try again, 69 refused.
Python 3.10, standard library alone.
"""

import base64
import hashlib
import hmac
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

DELIVERED, REFUSED, TRY_AGAIN = 0, 69, 75
CONFIG = Path("/etc/mailgate.conf")
TIMEOUT_SECONDS = 60


def settings() -> dict[str, str]:
    """Return MAILGATE_URL and MAILGATE_SECRET."""
    lines = CONFIG.read_text().splitlines() if CONFIG.exists() else []
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return found | {k: v for k, v in os.environ.items() if k.startswith("MAILGATE_")}


def signature(secret: str, mail: bytes, envelope: str) -> dict[str, str]:
    """Return the headers of a Standard Webhooks signature.

    The id is made of mail and envelope, so that a repetition is known as one.
    """
    webhook_id = f"msg_{hashlib.sha256(envelope.encode() + mail).hexdigest()[:32]}"
    stamp = str(int(time.time()))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join([webhook_id.encode(), stamp.encode(), mail])
    digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{digest}",
    }


def post(mail: bytes, sender: str, recipients: list[str]) -> int:
    """Post one mail; return the exit code."""
    options = settings()
    headers = {
        "Content-Type": "message/rfc822",
        "X-Envelope-From": sender,
        "X-Envelope-To": ", ".join(recipients),
    }
    if secret := options.get("MAILGATE_SECRET"):
        headers |= signature(secret, mail, f"{sender} {recipients}")
    request = urllib.request.Request(options["MAILGATE_URL"], mail, headers)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS):
            return DELIVERED
    except urllib.error.HTTPError as error:
        print(f"mailgate: {error.code} {error.reason}", file=sys.stderr)
        return REFUSED if error.code in (403, 413) else TRY_AGAIN
    except OSError as error:
        print(f"mailgate: {error}", file=sys.stderr)
        return TRY_AGAIN


if __name__ == "__main__":
    sys.exit(post(sys.stdin.buffer.read(), sys.argv[1], sys.argv[2:]))
