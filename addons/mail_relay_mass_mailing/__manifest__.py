# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Mail Relay: Mass Mailing",
    "summary": "What became of each mail of a mailing, counted once",
    "version": "1.0.0",
    "category": "Marketing/Email Marketing",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["mail_relay", "mass_mailing"],
    "auto_install": True,
}
