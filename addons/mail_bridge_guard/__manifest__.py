# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
{
    "name": "Mail Bridge Guard",
    "summary": "The door: raw bytes in, the right answer out, even without a database",
    "version": "1.0.0",
    "category": "Discuss",
    "author": "Mail Bridge contributors",
    "license": "LGPL-3",
    "depends": ["base"],
}
