# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""A provider's HTTPS server on this machine, for mail that a post only points to."""

from __future__ import annotations

import ssl
import threading
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

SILENCE = 0


class Origin:
    """Answers GET with what `pages` holds: {path: [(status, body), …]}.

    Each request takes the next answer of its path, the last one again and again; one
    with the status `SILENCE` says nothing until `held` is set. `seen` are (host, path,
    headers) of all requests.
    """

    def __init__(self, names: list[str], folder: Path) -> None:
        self.names = names
        self.pages: dict[str, list[tuple[int, bytes]]] = {}
        self.held = threading.Event()
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        folder.mkdir(parents=True, exist_ok=True)
        self.certificate = folder / "certificate.pem"
        key = folder / "key.pem"
        write_certificate(names, self.certificate, key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return self.server.server_address[1]

    def close(self) -> None:
        """Stop answering."""
        self.held.set()
        self.server.shutdown()
        self.server.server_close()

    def environment(self) -> dict[str, str]:
        """What Odoo's processes need to find it, and to trust it."""
        return {
            "STAND_IN_NAMES": ",".join(self.names),
            "STAND_IN_PORT": str(self.port),
            "REQUESTS_CA_BUNDLE": str(self.certificate),
            "MAIL_BRIDGE_ALLOW_LOOPBACK_FETCH": "1",
        }

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                host = self.headers.get("Host", "")
                origin.seen.append((host, self.path, dict(self.headers)))
                answers = origin.pages.get(self.path, [(404, b"")])
                status, body = answers.pop(0) if len(answers) > 1 else answers[0]
                if status == SILENCE:
                    origin.held.wait()
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                """Say nothing."""

        return Handler


def write_certificate(names: list[str], certificate: Path, key_file: Path) -> None:
    """Write a certificate of its own authority for these host names."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Mail Bridge tests")])
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
