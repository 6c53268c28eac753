#!/usr/bin/env python3
# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Hand a mail from standard input to Mail Bridge; for a mail server's pipe transport.

Postfix, master.cf (one recipient a call, the mail server repeats what fails):

    mailgate unix - n n - 10 pipe
      flags=Rq user=nobody null_sender=
      argv=/usr/local/bin/mailgate_pipe.py ${sender} ${recipient}

The address and the secret come from the environment, or from /etc/mailgate.conf with
lines NAME=value: MAILGATE_URL (the account's address), MAILGATE_SECRET (whsec_…, may
be absent). The user above must be able to read that file.

Exit codes are those of sysexits.h: 0 stored, 69 too large (the mail goes back to its
sender), 75 for all else: the mail server keeps the mail and tries again, so a mistake
in the configuration loses nothing. Python 3.10, standard library alone.
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

DELIVERED, TOO_LARGE, TRY_AGAIN = 0, 69, 75
CONFIG = Path("/etc/mailgate.conf")
TIMEOUT_SECONDS = 60
#: What Postfix writes for the null sender where ``null_sender=`` is not set.
NULL_SENDER = "MAILER-DAEMON"


class Direct(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: what another page answers says nothing about the mail."""

    def redirect_request(self, *_details: object) -> None:
        """Let the redirect be an error."""


def settings() -> dict[str, str]:
    """Return MAILGATE_URL and MAILGATE_SECRET."""
    lines = CONFIG.read_text().splitlines() if CONFIG.exists() else []
    found = dict(line.split("=", 1) for line in lines if "=" in line)
    return found | {k: v for k, v in os.environ.items() if k.startswith("MAILGATE_")}


def signature(secret: str, mail: bytes, envelope: str) -> dict[str, str]:
    """Return the headers of a Standard Webhooks signature.

    The id is made of mail and envelope, so that a repetition is known as one.
    """
    named = os.fsencode(envelope) + mail
    webhook_id = f"msg_{hashlib.sha256(named).hexdigest()[:32]}"
    stamp = str(int(time.time()))
    key = base64.b64decode(secret.strip().removeprefix("whsec_"), validate=True)
    signed = b".".join([webhook_id.encode(), stamp.encode(), mail])
    digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{digest}",
    }


def as_header(text: str) -> str:
    """Return an argument whose bytes go out as they came in (UTF-8, mostly)."""
    return os.fsencode(text).decode("latin-1")


def post(mail: bytes, sender: str, recipients: list[str]) -> int:
    """Post one mail; return the exit code, or raise whatever went wrong."""
    options = settings()
    sender = "" if sender == NULL_SENDER else sender
    headers = {
        "Content-Type": "message/rfc822",
        "X-Envelope-From": as_header(sender),
        "X-Envelope-To": as_header(", ".join(recipients)),
    }
    if secret := options.get("MAILGATE_SECRET"):
        headers |= signature(secret, mail, f"{sender} {recipients}")
    request = urllib.request.Request(options["MAILGATE_URL"], mail, headers)
    opener = urllib.request.build_opener(Direct)
    with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
        # Any web page can say 200; Mail Bridge says OK as well.
        if answer.status == 200 and answer.read(100).strip() == b"OK":
            return DELIVERED
        raise ValueError(f"{answer.status}, but that is not Mail Bridge")


def main() -> int:
    """Return the exit code; nothing unforeseen may look like a refusal."""
    try:
        return post(sys.stdin.buffer.read(), sys.argv[1], sys.argv[2:])
    except urllib.error.HTTPError as error:
        print(f"mailgate: {error.code} {error.reason}", file=sys.stderr)
        return TOO_LARGE if error.code == 413 else TRY_AGAIN
    except Exception as error:  # noqa: BLE001 - the mail stays with the mail server
        print(f"mailgate: {type(error).__name__}: {error}", file=sys.stderr)
        return TRY_AGAIN


if __name__ == "__main__":
    sys.exit(main())
