# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Mail Bridge: Simulator",
    "summary": "Mails of many kinds, and the fate of your own, without a provider",
    "version": "1.0.0",
    "category": "Discuss",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["mail_relay"],
    "data": [
        "security/ir.model.access.csv",
        "data/ir_cron_data.xml",
        "wizards/mail_bridge_simulate_wizard_views.xml",
        "wizards/mail_bridge_simulate_event_wizard_views.xml",
        "views/mail_bridge_account_views.xml",
        "views/mail_relay_message_views.xml",
        "views/mail_bridge_menus.xml",
    ],
    "demo": ["demo/mail_bridge_demo.xml"],
    "post_init_hook": "post_init_hook",
    "uninstall_hook": "uninstall_hook",
}
