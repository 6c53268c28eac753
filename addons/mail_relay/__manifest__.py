# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Mail Relay",
    "summary": "Sessions with SMTP servers that tell the truth about each recipient",
    "version": "1.0.0",
    "category": "Discuss",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["mail_bridge"],
    "data": [
        "security/ir.model.access.csv",
        "views/mail_bridge_account_views.xml",
        "wizards/mail_relay_test_wizard_views.xml",
    ],
    "post_init_hook": "post_init_hook",
    "uninstall_hook": "uninstall_hook",
}
