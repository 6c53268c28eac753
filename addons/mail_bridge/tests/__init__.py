# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
from . import test_account
from . import test_answer
from . import test_built_mail
from . import test_companies
from . import test_event
from . import test_everyday
from . import test_forgery
from . import test_intake
from . import test_key
from . import test_neutralize
from . import test_repair
from . import test_reply_signature
from . import test_routing
from . import test_secret
from . import test_views
