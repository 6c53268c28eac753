# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import base
from . import mail_bridge_secret
from . import mail_bridge_wake
from . import mail_bridge_queue
from . import mail_bridge_body
from . import mail_bridge_account
from . import mail_bridge_account_abilities
from . import mail_bridge_account_door
from . import mail_bridge_account_setup
from . import mail_bridge_token
from . import mail_bridge_key
from . import mail_bridge_notice
from . import mail_bridge_intake
from . import mail_bridge_intake_network
from . import mail_bridge_event
from . import mail_bridge_event_apply
from . import mail_bridge_served
from . import mail_bridge_message
from . import mail_bridge_message_answer
from . import mail_bridge_message_content
from . import mail_mail
from . import mail_message
from . import mail_message_store
from . import mail_thread
from . import res_config_settings
from . import res_groups
