"""Preflight, manifests, stages: the small promises of the commands."""

import socket
import subprocess
import sys

import pytest

from tools import environment, lint, odoo_source, preflight, suite
from tools.console import Failure
from tools.paths import ROOT
from tools.ports import free_port, kept_port


def test_everything_missing_stands_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 1))
    monkeypatch.setattr(preflight, "NEEDED_BYTES", 2**62)
    with socket.socket() as taken, pytest.raises(SystemExit):
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        preflight.check(str(tmp_path), str(taken.getsockname()[1]))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: missing: Python 3.10 to 3.13 (this is 3.8")
    assert "is in use (set PORT=)" in line
    assert line.endswith("3 GB of free disk")


def test_nothing_is_missing_here():
    assert preflight.missing(str(ROOT)) == []


@pytest.mark.parametrize("port", ["abc", "0", "99999", "-1"])
def test_port_that_is_none_is_named(tmp_path, port):
    assert f"(PORT={port})" in preflight.missing(str(tmp_path), port)[-1]


@pytest.mark.parametrize(
    ("bind", "is_possible"),
    [("127.0.0.2", True), ("0.0.0.0", True), ("192.0.2.1", False), ("no.such", False)],
)
def test_address_to_listen_at_is_tried(tmp_path, monkeypatch, bind, is_possible):
    monkeypatch.setenv("BIND", bind)
    monkeypatch.setattr(preflight, "NEEDED_BYTES", 0)
    problems = preflight.missing(str(tmp_path), str(free_port()))
    assert [bind in problem for problem in problems] == [True] * (not is_possible)


def test_port_is_kept_until_somebody_else_has_it(tmp_path):
    path = tmp_path / "port"
    port = kept_port(path)
    assert kept_port(path) == port
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        assert kept_port(path) != port
    assert kept_port(path) == int(path.read_text())


def test_half_made_virtual_environment_is_made_anew(tmp_path, monkeypatch):
    folder = tmp_path / ".venv"
    monkeypatch.setattr(environment, "VENV", folder)
    monkeypatch.setattr(environment, "MADE", folder / ".made")
    monkeypatch.setattr(environment, "venv_python", lambda: folder / "bin" / "python")
    asked = tmp_path / "requirements.txt"
    asked.write_text("")
    monkeypatch.setattr(environment, "RUNTIME", asked)
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(sys.executable)
    environment.ensure(asked)
    command = [str(folder / "bin" / "python"), "-m", "pip", "--version"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    assert (folder / ".made").exists()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"version": "18.0.1.0.0"}, "version is not x.y.z"),
        ({"license": "AGPL-3"}, "license is not LGPL-3"),
        ({"depends": []}, "depends is missing"),
        ({"data": ["views/gone.xml"]}, "views/gone.xml is not there"),
    ],
)
def test_manifest_rules(tmp_path, values, problem):
    good = {
        "name": "X",
        "summary": "Y",
        "version": "1.0.0",
        "author": "Z",
        "license": "LGPL-3",
        "depends": ["mail"],
    }
    (tmp_path / "__manifest__.py").write_text(repr(good))
    assert lint.manifest_problems(tmp_path) == []
    (tmp_path / "__manifest__.py").write_text(repr({**good, **values}))
    assert problem in lint.manifest_problems(tmp_path)[0]


def test_view_that_no_manifest_lists_is_found(tmp_path):
    manifest = {"name": "X", "summary": "Y", "version": "1.0.0", "author": "Z"}
    manifest |= {"license": "LGPL-3", "depends": ["mail"]}
    (tmp_path / "__manifest__.py").write_text(repr(manifest))
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "x.xml").write_text("<odoo/>")
    assert lint.manifest_problems(tmp_path) == ["views/x.xml is not listed"]


def _release(folder, version):
    (folder / "odoo").mkdir(parents=True)
    text = f"version_info = ({version}, 0, 0, 'final', 0, '')"
    (folder / "odoo" / "release.py").write_text(text)


def test_odoo_source_is_looked_at_first(tmp_path, monkeypatch):
    _release(tmp_path / "given", 18)
    monkeypatch.setenv("ODOO_SOURCE", str(tmp_path / "given"))
    assert odoo_source.installed().root == tmp_path / "given"
    monkeypatch.setattr(odoo_source, "ODOO_HOME", tmp_path / "home")
    assert odoo_source.installed("19.0") is None


def test_cached_18_comes_before_cached_19(tmp_path, monkeypatch):
    monkeypatch.delenv("ODOO_SOURCE", raising=False)
    monkeypatch.setattr(odoo_source, "ODOO_HOME", tmp_path)
    _release(tmp_path / "19.0" / odoo_source.PACKAGED, 19)
    assert odoo_source.installed().version == "19.0"
    _release(tmp_path / "18.0", 18)
    assert odoo_source.installed().version == "18.0"


def test_source_without_odoo_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("ODOO_SOURCE", str(tmp_path))
    with pytest.raises(Failure, match=r"holds no odoo/release\.py"):
        odoo_source.installed()


def test_18_is_fetched_from_its_repository(tmp_path, monkeypatch):
    upstream = tmp_path / "upstream"
    _release(upstream, 18)
    git = ["git", "-C", str(upstream), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-qb", "18.0"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.delenv("ODOO_SOURCE", raising=False)
    monkeypatch.setattr(odoo_source, "ODOO_HOME", tmp_path / "home")
    monkeypatch.setattr(odoo_source, "REPOSITORY", upstream.as_uri())
    assert odoo_source.find_odoo("18.0").label.startswith("GitHub, commit ")
    assert odoo_source.find_odoo().label == "cached in .odoo/18.0"


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine without Odoo whose GitHub is an empty folder; the folder."""
    monkeypatch.delenv("ODOO_SOURCE", raising=False)
    monkeypatch.setattr(odoo_source, "ODOO_HOME", tmp_path / "home")
    monkeypatch.setattr(odoo_source, "REPOSITORY", (tmp_path / "none").as_uri())
    return tmp_path


def test_missing_git_is_not_called_a_missing_github(bare, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(bare))
    ubuntu = {"ID": "ubuntu", "PRETTY_NAME": "Ubuntu 24.04"}
    monkeypatch.setattr(odoo_source.debian, "os_release", lambda: ubuntu)
    with pytest.raises(Failure, match="or install git"):
        odoo_source.find_odoo()
    told = capsys.readouterr().out
    assert "git is not installed" in told
    assert "GitHub" not in told


def test_fetch_that_breaks_is_no_end(bare, monkeypatch, capsys):
    """`ls-remote` answers, the commit does not come: the next way is tried."""
    git = ["git", "-C", str(bare), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for words in (["init", "-qb", "18.0"], ["commit", "-qm", "x", "--allow-empty"]):
        subprocess.run([*git, *words], check=True)
    monkeypatch.setattr(odoo_source, "REPOSITORY", bare.as_uri())
    monkeypatch.setattr(odoo_source, "pinned_commit", lambda: "0" * 40)
    with pytest.raises(Failure, match=r"Odoo 18\.0 is neither here nor reachable"):
        odoo_source.find_odoo("18.0")
    told = capsys.readouterr().out
    assert "did not come from GitHub" in told
    assert "19.0" not in told


def test_without_any_way_to_odoo_one_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.delenv("ODOO_SOURCE", raising=False)
    monkeypatch.setattr(odoo_source, "ODOO_HOME", tmp_path)
    monkeypatch.setattr(odoo_source, "REPOSITORY", (tmp_path / "none").as_uri())
    ubuntu = {"ID": "ubuntu", "PRETTY_NAME": "Ubuntu 24.04"}
    monkeypatch.setattr(odoo_source.debian, "os_release", lambda: ubuntu)
    with pytest.raises(Failure) as caught:
        odoo_source.find_odoo()
    assert str(caught.value).startswith("no Odoo: set ODOO_SOURCE to a checkout")
    assert "Ubuntu 24.04" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_demo_data_is_asked_for_as_the_version_wants(tmp_path):
    old = odoo_source.Odoo("18.0", tmp_path, "")
    new = odoo_source.Odoo("19.0", tmp_path, "")
    assert (old.demo_option(True), old.demo_option(False)) == (
        [],
        ["--without-demo=all"],
    )
    assert (new.demo_option(True), new.demo_option(False)) == (["--with-demo"], [])


@pytest.mark.parametrize(
    ("only", "stage"),
    [
        ("adapters", "adapters"),
        ("addons", "addons on 19.0"),
        ("server", "server on 19.0"),
        ("/mail_bridge:TestX", "addons /mail_bridge:TestX"),
        ("tests/tools", "tests/tools"),
        ("forged", "-k forged"),
    ],
)
def test_only_chooses_a_stage(tmp_path, only, stage):
    odoo = odoo_source.Odoo("19.0", tmp_path, "")
    assert [name for name, _run in suite._stages(odoo, only)] == [stage]


def test_a_failure_in_the_teardown_fails_its_test(tmp_path):
    report = tmp_path / "report.xml"
    report.write_text(
        "<testsuites><testsuite><testcase classname='a' name='t'/>"
        "<testcase classname='a' name='t'><error/></testcase>"
        "<testcase classname='a' name='u'/><testcase classname='a' name='s'><skipped/>"
        "</testcase></testsuite></testsuites>"
    )
    assert suite._read_report(report) == (1, 1, 1)
