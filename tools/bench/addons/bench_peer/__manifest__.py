# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Benchmark peer",
    "summary": "The least an Odoo route can do with a post; for `make bench` alone",
    "version": "1.0.0",
    "category": "Hidden",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["base"],
}
