# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import mail_mail
from . import mail_relay_recipient
from . import mailing_mailing
from . import mailing_trace
