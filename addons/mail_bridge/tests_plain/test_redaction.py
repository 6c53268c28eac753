# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""What reaches a log file, read from the handler's own stream."""

import io
import logging
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from odoo.addons.mail_bridge.providers import redaction

SECRET = "S3cr3t/with+odd=signs and space"
TOKEN = "Zk3V9xQ0m1b2n3v4c5x6z7l8"


@pytest.fixture
def log():
    """A root handler as Odoo makes one, and what it wrote."""
    root = logging.getLogger()
    werkzeug = logging.getLogger("werkzeug")
    before = (list(root.handlers), root.level, list(werkzeug.filters))
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    root.handlers, werkzeug.filters = [handler], []
    root.setLevel(logging.DEBUG)
    redaction.install()
    yield stream
    root.handlers, werkzeug.filters = before[0], before[2]
    root.setLevel(before[1])


class TestKnownSecrets:
    def test_in_message_and_arguments(self, log):
        redaction.register(SECRET)
        logger = logging.getLogger("any.module")
        logger.info("plain %s", SECRET)
        logger.info(f"inside {SECRET} the text")
        logger.info("in a dict %(a)s", {"a": {"x": SECRET}})
        assert "S3cr3t" not in log.getvalue()
        assert log.getvalue().count("***") == 3

    def test_in_a_url(self, log):
        redaction.register(SECRET)
        logging.getLogger("x").info(
            "GET https://p.example/?k=S3cr3t%2Fwith%2Bodd%3Dsigns%20and%20space"
        )
        assert "S3cr3t" not in log.getvalue()

    def test_in_a_traceback(self, log):
        redaction.register(SECRET)
        try:
            raise ValueError(f"bad key {SECRET}")
        except ValueError:
            logging.getLogger("x").exception("it failed")
        assert "it failed" in log.getvalue()
        assert "ValueError: bad key ***" in log.getvalue()
        assert "S3cr3t" not in log.getvalue()

    def test_in_stack_information(self, log):
        redaction.register("stack_info=True")
        logging.getLogger("x").info("where", stack_info=True)
        assert "stack_info=True" not in log.getvalue()

    def test_as_bytes(self, log):
        redaction.register(b"bytes-of-a-secret")
        logging.getLogger("x").info("key: bytes-of-a-secret")
        assert "bytes-of-a-secret" not in log.getvalue()

    @pytest.mark.parametrize("value", [None, "", b"", "short", "       a "])
    def test_what_is_too_short_masks_nothing(self, log, value):
        redaction.register(value)
        logging.getLogger("x").info("a short text")
        assert "a short text" in log.getvalue()

    def test_memory_is_bounded_and_the_newest_stay(self):
        for number in range(redaction.MAX_SECRETS + 200):
            redaction.register(f"canary-number-{number:06}")
        newest = f"canary-number-{redaction.MAX_SECRETS + 199:06}"
        assert redaction.redact(newest) == redaction.MASK
        assert redaction.redact("canary-number-000000") == "canary-number-000000"

    def test_a_secret_that_begins_another(self):
        redaction.register("prefix-secret")
        redaction.register("prefix-secret-longer")
        assert redaction.redact("prefix-secret-longer") == redaction.MASK

    def test_from_many_threads(self):
        def work(start):
            for number in range(200):
                redaction.register(f"thread-{start}-{number}")
                redaction.redact("some text with nothing in it")

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert redaction.redact("thread-3-199") == redaction.MASK


class TestShapes:
    @pytest.mark.parametrize(
        ("text", "hidden", "kept"),
        [
            (f"POST /mailgate/improvmx/{TOKEN} HTTP/1.1", TOKEN, "/mailgate/improvmx/"),
            (f"https://o.example/mailgate/raw/{TOKEN}?a=1", TOKEN, "?a=1"),
            ("Authorization: Basic YXBpOmtleQ==", "YXBpOmtleQ", "Authorization"),
            ("{'Authorization': 'Bearer abc.def'}", "abc.def", "'Authorization'"),
            ("('Authorization', 'Token 12345678')", "12345678", "Authorization"),
            ("sent Bearer eyJhbGciOi.x.y to it", "eyJhbGciOi", "sent Bearer"),
            ("signature=0a1b2c3d4e&timestamp=17", "0a1b2c3d4e", "timestamp=17"),
            ("token=5f6a7b8c9d0e&x=1", "5f6a7b8c9d0e", "x=1"),
            ("{'signature': '0a1b2c3d4e'}", "0a1b2c3d4e", "signature"),
            ('{"api_key": "key-123456"}', "key-123456", "api_key"),
            ("create([{'a_signing_key': 'whsec_abc'}])", "whsec_abc", "a_signing_key"),
            ("webhook_token = 'abcdefgh'", "abcdefgh", "webhook_token"),
            ("smtp://me:hunter22@mail.example", "hunter22", "@mail.example"),
            ("smtp password=correcthorse", "correcthorse", "smtp"),
        ],
    )
    def test_is_masked(self, log, text, hidden, kept):
        logging.getLogger("x").warning("%s", text)
        assert hidden not in log.getvalue()
        assert kept in log.getvalue()

    @pytest.mark.parametrize(
        "text",
        [
            "POST /mailgate/mailgun HTTP/1.1",
            "POST /mailgate/mailgun/mime HTTP/1.1",
            "GET /mailgate/health",
            "GET /web/login?redirect=%2Fodoo",
            "mail from a@b.example stored as intake 17",
            "the token was wrong",
            "signature ok",
            "https://api.provider.example:443/v3/x",
        ],
    )
    def test_is_left_alone(self, text):
        assert redaction.redact(text) == text

    def test_the_request_line_of_the_http_server(self, log):
        """As Odoo's own request handler logs: the path is an argument."""
        logging.getLogger("werkzeug").info(
            '%s - - [%s] "%s" %s', "1.2.3.4", "now", f"POST /mailgate/raw/{TOKEN}", 200
        )
        assert TOKEN not in log.getvalue()
        assert "1.2.3.4" in log.getvalue()


class TestInstallation:
    def test_twice_is_once(self, log):
        redaction.install()
        redaction.install()
        filters = logging.getLogger().handlers[0].filters
        assert sum(isinstance(f, redaction.SecretFilter) for f in filters) == 1
        filters = logging.getLogger("werkzeug").filters
        assert sum(isinstance(f, redaction.SecretFilter) for f in filters) == 1

    def test_a_logger_of_ours_masks_in_foreign_handlers(self):
        stream = io.StringIO()
        logger = redaction.get_logger("mail_bridge.test.own")
        logger.setLevel(logging.INFO)
        handler = logging.StreamHandler(stream)
        logger.addHandler(handler)
        try:
            logger.info("token=abcdefghij")
        finally:
            logger.removeHandler(handler)
        assert "abcdefghij" not in stream.getvalue()
        assert redaction.get_logger("mail_bridge.test.own") is logger
        assert len(logger.filters) == 1

    def test_a_broken_record_is_left_to_the_handler(self):
        record = logging.LogRecord("x", 20, "f", 1, "%d", ("no number",), None)
        assert redaction.SecretFilter().filter(record)
        assert (record.msg, record.args) == ("%d", ("no number",))

    def test_arguments_stay_where_nothing_is_secret(self):
        record = logging.LogRecord("x", 20, "f", 1, "%s", ("plain",), None)
        assert redaction.SecretFilter().filter(record)
        assert (record.msg, record.args) == ("%s", ("plain",))

    def test_an_exception_without_a_traceback(self, log):
        logging.getLogger("x").error("nothing raised", exc_info=sys.exc_info())
        assert "nothing raised" in log.getvalue()

    @given(st.text(max_size=300))
    def test_any_text_passes(self, text):
        assert isinstance(redaction.redact(text), str)
