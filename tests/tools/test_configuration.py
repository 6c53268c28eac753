"""The odoo.conf that we ship: what mail needs of it."""

from configparser import ConfigParser

import pytest

from tools.paths import ROOT

SHIPPED = ("odoo.conf.example", "docker/odoo.conf")


@pytest.fixture(params=SHIPPED)
def options(request):
    parser = ConfigParser(interpolation=None)
    parser.read_string((ROOT / request.param).read_text())
    return parser["options"]


def test_the_guard_is_loaded_before_any_database(options):
    modules = options["server_wide_modules"].split(",")
    assert modules[:2] == ["base", "web"]  # without them Odoo serves nothing
    assert "mail_bridge_guard" in modules


def test_crons_have_room_beside_the_drains(options):
    assert options.getint("max_cron_threads") >= 4


def test_mail_is_taken_in_by_real_processes(options):
    assert options.getint("workers") >= 2


def test_the_database_is_chosen_so_that_a_server_of_19_survives(options):
    """docs/decisions.md: `dbfilter` without `db_name`."""
    assert options["dbfilter"]
    assert "db_name" not in options
    assert not options.getboolean("list_db")
