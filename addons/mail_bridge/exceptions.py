# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""Errors that cross the border between adapters and models.

The models decide between retry, dead letter and refusal from the class alone.
"""


class MailBridgeError(Exception):
    """Base of all errors an adapter raises on purpose."""


class SignatureError(MailBridgeError):
    """The request does not prove that it comes from the provider."""


class PayloadError(MailBridgeError):
    """The request is genuine, but its content cannot be understood."""


class TemporaryError(MailBridgeError):
    """The same request may succeed later.

    :param retry_after: seconds to wait at least, ``None`` for the queue's own backoff.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotSentError(TemporaryError):
    """Nothing of the request can have reached the peer: it may be made again."""


class NoAnswerError(TemporaryError):
    """The peer may have taken the request: to make it again may do it twice."""


class NotHereError(TemporaryError):
    """This host cannot do the work, another one may: the try does not count."""


class PermanentError(MailBridgeError):
    """Trying again cannot help."""
