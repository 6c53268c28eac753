# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Mail Bridge: Mailgun",
    "summary": "Mailgun posts mail into the chatter, sends it, and tells its fate",
    "version": "1.0.0",
    "category": "Discuss",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["mail_bridge"],
    "data": ["views/mail_bridge_account_views.xml"],
    "demo": ["demo/mail_bridge_account_demo.xml"],
    "post_init_hook": "post_init_hook",
    "uninstall_hook": "uninstall_hook",
}
