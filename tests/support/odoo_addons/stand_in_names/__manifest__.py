# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Stand-in Names",
    "summary": "For tests: some names of the internet lead to this machine",
    "version": "1.0.0",
    "category": "Hidden",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["base"],
    "installable": False,
}
