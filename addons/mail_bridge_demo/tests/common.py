# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from odoo.tests import TransactionCase

from odoo.addons.mail_bridge.providers.base import SamplePost, utcnow


class SimulatorMixin:
    """An enabled simulator, and mails that come in through its adapter."""

    @classmethod
    def make_simulator(cls, **values):
        """Return an account of its own, not the catalogue's."""
        account = cls.env["mail.bridge.account"].create(
            {"name": "Test Simulator", "code": "demo", **values}
        )
        account.state = "enabled"
        return account

    @classmethod
    def receive(cls, account, sample: SamplePost):
        """Store and process a post as door and drain do; return its message."""
        intake = account._demo_store(sample, utcnow())
        intake._deliver(intake._mails())
        return intake.message_ids

    @classmethod
    def simulate(cls, account, kind):
        """Let one mail of a kind come in; return its message."""
        return cls.receive(account, account._simulate(kind))

    @classmethod
    def receive_mime(cls, account, mime):
        """Let any mail come in, to an address that leads nowhere."""
        sample = account._adapter().compose_post(
            mime, "a@b.example", "nobody@nowhere.example", account._facts()
        )
        return cls.receive(account, sample)


class SimulatorCase(SimulatorMixin, TransactionCase):
    """A simulator whose first mail stands in a record."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.account = cls.make_simulator()
        cls.first = cls.simulate(cls.account, "plain")
