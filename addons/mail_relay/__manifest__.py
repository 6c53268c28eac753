# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Mail Relay",
    "summary": "Outgoing mail in a durable queue, its fate in the chatter",
    "version": "1.0.0",
    "category": "Discuss",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["mail_bridge"],
    "data": [
        "security/ir.model.access.csv",
        "security/mail_relay_rules.xml",
        "data/ir_cron_data.xml",
        "data/ir_cron_client_data.xml",
        "views/ir_mail_server_views.xml",
        "views/mail_bridge_account_views.xml",
        "views/mail_bridge_event_views.xml",
        "views/mail_relay_suppression_views.xml",
        "views/res_config_settings_views.xml",
        "views/mail_relay_client_views.xml",
        "wizards/mail_relay_test_wizard_views.xml",
    ],
    "post_init_hook": "post_init_hook",
    "uninstall_hook": "uninstall_hook",
}
