# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The dispatcher: plain SQL over a cursor of its own, threads for the network."""
