# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Mail Bridge",
    "summary": "Mail that a provider posts stands in the chatter, exactly once",
    "version": "1.0.0",
    "category": "Discuss",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["mail", "mail_bridge_guard"],
    "external_dependencies": {
        "python": ["cryptography", "dnspython", "requests", "publicsuffixlist"],
    },
    "data": [
        "security/mail_bridge_groups.xml",
        "security/ir.model.access.csv",
        "security/mail_bridge_rules.xml",
        "data/ir_cron_data.xml",
        "data/mail_bridge_account_data.xml",
        "views/mail_bridge_notice_views.xml",
        "views/mail_bridge_intake_views.xml",
        "views/mail_bridge_event_views.xml",
        "views/mail_bridge_message_views.xml",
        "views/mail_bridge_account_views.xml",
        "wizards/mail_bridge_key_wizard_views.xml",
        "views/mail_bridge_key_views.xml",
        "views/res_config_settings_views.xml",
        "views/mail_bridge_menus.xml",
        "wizards/mail_bridge_route_wizard_views.xml",
        "wizards/mail_bridge_test_wizard_views.xml",
    ],
    "assets": {
        "web.assets_backend": ["mail_bridge/static/src/**/*"],
    },
    "application": True,
}
