# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import mail_bridge_account
from . import mail_bridge_account_smtp
from . import mail_bridge_account_sending
from . import mail_relay_route
from . import mail_relay_suppression
from . import mail_relay_message
from . import mail_relay_enqueue
from . import mail_relay_dispatch
from . import mail_relay_doubt
from . import mail_relay_recipient
from . import mail_relay_attempt
from . import mail_relay_limit
from . import ir_mail_server
from . import res_config_settings
