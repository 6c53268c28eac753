"""What we ship to configure servers: odoo.conf, and the proxies in front."""

import re
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


def _proxy(name):
    text = (ROOT / "docker" / name).read_text()
    return "\n".join(line.partition("#")[0] for line in text.splitlines())


def test_odoos_own_pages_are_open_to_nobody_unasked():
    """Where Docker hides the client, strangers come from a private network."""
    caddy = _proxy("Caddyfile")
    assert re.findall(r"remote_ip (.*)", caddy) == ["{$INSIDE:127.0.0.1/32}"]
    places = re.findall(
        r"location ([^{]+)\{(.*?)\}", _proxy("nginx.conf.example"), re.S
    )
    is_open = [
        place.strip() for place, body in places if "private-networks" not in body
    ]
    assert is_open == ["/mailgate/", "/mail_relay/unsubscribe/"]


@pytest.mark.parametrize("name", ["Caddyfile", "nginx.conf.example"])
def test_neither_proxy_forwards_what_is_for_operators(name):
    operators = {"health", "metrics"}
    assert operators == operators & set(re.findall(r"\w+", _proxy(name)))


def test_a_slow_post_holds_no_worker():
    assert "request_buffers" in _proxy("Caddyfile")
    assert "proxy_request_buffering on" in _proxy("nginx.conf.example")
