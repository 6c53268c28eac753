# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_account
from . import test_enqueue
from . import test_event_match
from . import test_event_tell
from . import test_event_truth
from . import test_mail_server
from . import test_neutralize
from . import test_batch
from . import test_people
from . import test_people_data
from . import test_reconcile
from . import test_relay_api
from . import test_sending_check
from . import test_suppression
from . import test_suppression_sync
from . import test_demands
from . import test_template
from . import test_relayed_server
from . import test_sending_domain
