# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
import functools
import io
import json
import logging
import os
import weakref
from unittest.mock import patch

from werkzeug.exceptions import ClientDisconnected

from odoo.http import root
from odoo.tests import TransactionCase, tagged

from ..answers import TRY_AGAIN_STATUS, try_again_status
from ..door import ENVIRON_KEY, BodyTooLarge, Exchange, _guarded
from ..memory import give_back, resident_bytes
from ..redaction import TokenMask, mask_path
from ..relay_door import MOUNTS_VARIABLE, inner_path, mounts

TOKEN = "A" * 32


@tagged("post_install", "-at_install")
class TestWsgi(TransactionCase):
    """The wrapped WSGI application, without a server."""

    def call(self, path, app=root, method="POST"):
        answered = []
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "HTTP_HOST": "no-database.example",
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "REMOTE_ADDR": "127.0.0.1",
        }
        body = app(
            environ, lambda status, headers, *rest: answered.extend((status, headers))
        )
        return answered[0], dict(answered[1]), b"".join(body)

    def test_application_is_wrapped_once(self):
        self.assertTrue(type(root).__call__._mailgate_guarded)
        wrapped = type(root).__call__.__wrapped__
        self.assertFalse(getattr(wrapped, "_mailgate_guarded", False))

    def test_path_that_nobody_serves_is_tried_again(self):
        for provider in (*TRY_AGAIN_STATUS, "other"):
            status, headers, body = self.call(f"/mailgate/{provider}/x/y/z")
            self.assertEqual(
                int(status[:3]), try_again_status(f"/mailgate/{provider}/")
            )
            self.assertIn("Retry-After", headers)
            self.assertNotIn(b"<", body)

    def test_below_relay_everything_is_json(self):
        for path in ("/relay", "/relay/status", "//relay//commands/add-messages/"):
            for method in ("GET", "POST", "DELETE"):
                status, headers, body = self.call(path, method=method)
                # 503 where mail_relay is not installed
                self.assertIn(status[:3], ("401", "404", "405", "503"))
                self.assertEqual(headers["Content-Type"], "application/json")
                self.assertEqual("Retry-After" in headers, status[:3] == "503")
                self.assertIn("detail", json.loads(body))

    def test_where_the_interface_is_mounted(self):
        with patch.dict(os.environ, {MOUNTS_VARIABLE: "/mailproxy/v1, x/ ,/"}):
            self.assertEqual(mounts(), ("/mailproxy/v1", "/x"))
            for path, inner in {
                "/mailproxy/v1/status": "/relay/status",
                "/mailproxy/health": "/relay/health",
                "/mailproxy/status": None,
                "/x": "/relay",
                "/xy": None,
                "/relayed": None,
            }.items():
                self.assertEqual(inner_path(path), inner, path)

    def test_more_slashes_make_no_other_path(self):
        for path in ("//mailgate/mailgun/x/y/z", "/mailgate//x/y/z/v", "/mailgate/"):
            status, headers, body = self.call(path)
            self.assertEqual(int(status[:3]), try_again_status(path))
            self.assertIn("Retry-After", headers)
            self.assertNotIn(b"<", body)

    def test_page_that_odoo_makes_is_tried_again(self):
        """An application that answers before our code is reached."""
        for line in ("500 INTERNAL SERVER ERROR", "303 SEE OTHER", "404 NOT FOUND"):
            with self.subTest(line):
                self.check_page_is_turned(line)

    def check_page_is_turned(self, line):
        closed = []

        class Page(list):
            def close(self):
                closed.append(True)

        def answering(_self, environ, start_response):
            start_response(line, [("Content-Type", "text/html")])
            return Page([b"<html>"])

        guarded = functools.partial(_guarded(answering), None)
        status, headers, body = self.call("/mailgate/mailgun", guarded)
        self.assertEqual(int(status[:3]), TRY_AGAIN_STATUS["mailgun"])
        self.assertIn("Retry-After", headers)
        self.assertNotIn(b"<", body)
        self.assertEqual(closed, [True])
        status, _headers, body = self.call("/web", guarded)
        self.assertEqual((status, body), (line, b"<html>"))

    def test_other_paths_keep_their_404(self):
        status, _headers, _body = self.call("/nothing/here", method="GET")
        self.assertEqual(status[:3], "404")


@tagged("post_install", "-at_install")
class TestExchange(TransactionCase):
    def exchange(self, body, length=None):
        environ = {"wsgi.input": io.BytesIO(body)}
        environ["CONTENT_LENGTH"] = str(len(body) if length is None else length)
        return Exchange(environ)

    def test_small_body_is_read_whole(self):
        body = self.exchange(b"x" * 100).read_body(100, 400)
        self.assertEqual(
            (body.data, body.size, body.oversized), (b"x" * 100, 100, False)
        )

    def test_route_that_runs_again_sees_the_same_body(self):
        chunked = self.exchange(b"abc")
        chunked.environ.pop("CONTENT_LENGTH")
        chunked.environ["wsgi.input_terminated"] = True
        self.assertEqual(chunked.read_body(100, 400).data, b"abc")
        self.assertEqual(chunked.read_body(100, 400).data, b"abc")

    def test_oversized_body_is_mapped(self):
        body = self.exchange(b"y" * 250_000).read_body(100, 400_000)
        self.assertTrue(body.oversized)
        self.assertEqual((body.size, bytes(body.data)), (250_000, b"y" * 250_000))

    def test_announced_beyond_the_ceiling_is_not_read(self):
        exchange = self.exchange(b"", length=401)
        with self.assertRaises(BodyTooLarge):
            exchange.read_body(100, 400)

    def test_sent_beyond_the_ceiling_stops(self):
        exchange = self.exchange(b"z" * 500)
        exchange.environ.pop("CONTENT_LENGTH")
        exchange.environ["wsgi.input_terminated"] = True
        with self.assertRaises(BodyTooLarge):
            exchange.read_body(100, 400)

    def test_empty_body(self):
        self.assertEqual(self.exchange(b"").read_body(100, 400).data, b"")

    def test_body_that_ends_before_its_announced_length_is_none(self):
        with self.assertRaises(ClientDisconnected):
            self.exchange(b"abc", length=10).read_body(100, 400)


@tagged("post_install", "-at_install")
class TestRedaction(TransactionCase):
    def test_token_is_masked_in_a_path(self):
        self.assertEqual(
            mask_path(f"POST /mailgate/raw/{TOKEN}/mime HTTP/1.1"),
            "POST /mailgate/raw/***/mime HTTP/1.1",
        )
        self.assertEqual(mask_path("/mailgate/mailgun/mime"), "/mailgate/mailgun/mime")
        self.assertEqual(mask_path("POST /mailgate/raw"), "POST /mailgate/raw")

    def test_token_is_masked_however_the_path_is_written(self):
        for path in ("/mailgate/raw//{}", "/mailgate//raw/{}", "/mailgate/raw/{}?a=b"):
            for token in (TOKEN, f"{TOKEN}%3D", f"abc.{TOKEN}"):
                masked = mask_path(f'"POST {path.format(token)} HTTP/1.1" 200')
                self.assertNotIn(TOKEN, masked)
                self.assertIn("***", masked)

    def test_request_line_in_the_log_is_masked(self):
        record = logging.LogRecord(
            "werkzeug",
            logging.INFO,
            "",
            0,
            "%s %s",
            ("POST", f"/mailgate/raw/{TOKEN}"),
            None,
        )
        self.assertTrue(TokenMask().filter(record))
        self.assertNotIn(TOKEN, record.getMessage())


@tagged("post_install", "-at_install")
class TestMemory(TransactionCase):
    def test_body_goes_with_its_request(self):
        kept = []

        def application(_self, environ, start_response):
            kept.append(environ[ENVIRON_KEY])  # as Odoo's own request does
            kept.append(weakref.ref(kept[0].read_body(100, 100)))
            kept[0].reached = True
            start_response("200 OK", [])
            return []

        environ = {
            "PATH_INFO": "/mailgate/raw",
            "CONTENT_LENGTH": "4",
            "wsgi.input": io.BytesIO(b"post"),
        }
        _guarded(application)(None, environ, lambda *_arguments: None)
        self.assertEqual(kept[0].size, 4)
        self.assertIsNone(kept[1]())

    def test_freed_memory_goes_back_to_the_system(self):
        give_back()
        before = resident_bytes()
        blocks = [bytes(100_000) for _block in range(500)]
        keeper = bytes(100)  # keeps the end of the heap in use
        self.assertGreater(resident_bytes(), before + 30_000_000)
        blocks.clear()
        give_back()
        self.assertLess(resident_bytes(), before + 10_000_000)
        self.assertEqual(len(keeper), 100)
