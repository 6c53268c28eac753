# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Mail Bridge: SMTP2GO",
    "summary": "SMTP2GO sends mail, and tells what became of it",
    "version": "1.0.0",
    "category": "Discuss",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["mail_bridge"],
    "data": [],
}
