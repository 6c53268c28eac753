import os
import subprocess

import pytest

from tools import debian
from tools.console import Failure

DEB822 = """\
Types: deb deb-src
URIs: http://mirror.example/debian
Suites: trixie trixie-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

# another one
Types: deb
URIs: http://mirror.example/debian-security
Suites: trixie-security
Components: main
"""
ONE_LINE = """\
# deb http://old.example.org/debian bookworm main
deb [arch=amd64 trusted=yes signed-by=/k.gpg] http://mirror.example/debian trixie main
deb-src http://mirror.example/debian trixie main
deb http://packages.example.com/apt cloud main
"""
TRIXIE = {"ID": "debian", "VERSION_CODENAME": "trixie"}


@pytest.mark.parametrize(
    ("parse", "text"),
    [(debian.parse_deb822, DEB822), (debian.parse_one_line, ONE_LINE)],
)
def test_the_release_of_the_machine_is_found_in_both_notations(parse, text):
    source = debian.debian_source(parse(text), TRIXIE)
    assert source.uris == "http://mirror.example/debian"
    assert source.suites == ["trixie"]
    assert source.components == ["main"]
    assert source.signed_by.endswith(".gpg")


def test_disabled_entry_is_left_out():
    assert debian.parse_deb822(f"Enabled: no\n{DEB822.split(chr(10) * 2)[0]}") == []


def test_key_block_keeps_its_lines():
    text = DEB822.split("\n\n")[0].replace(
        "/usr/share/keyrings/debian-archive-keyring.gpg",
        "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc",
    )
    (source,) = debian.parse_deb822(text)
    assert source.signed_by.splitlines()[1:] == [
        " -----BEGIN PGP PUBLIC KEY BLOCK-----",
        " .",
        " abc",
    ]


def test_machine_without_a_debian_source_gets_one_clear_line():
    with pytest.raises(Failure, match="no Debian source"):
        debian.debian_source([], TRIXIE)


CHECKS = (
    "APT::Get::AllowUnauthenticated",
    "Acquire::AllowInsecureRepositories",
    "Acquire::AllowWeakRepositories",
    "Acquire::AllowDowngradeToInsecureRepositories",
)


def test_signatures_are_never_switched_off(tmp_path, monkeypatch):
    monkeypatch.setattr(debian, "CACHE", tmp_path)
    monkeypatch.setattr(debian, "os_release", lambda: TRIXIE)
    sources = debian.parse_one_line(ONE_LINE)
    monkeypatch.setattr(debian, "machine_sources", lambda: sources)
    apt = debian.Apt("sid")
    written = (apt.root / "source.sources").read_text() + apt.settings.read_text()
    assert "Suites: sid" in written
    assert "Signed-By: /k.gpg" in written
    assert "rusted" not in written
    careless = tmp_path / "careless.conf"
    careless.write_text("".join(f'{name} "true";\n' for name in CHECKS))
    dump = subprocess.run(
        ["apt-config", "-c", str(apt.settings), "dump", *CHECKS],
        env={**os.environ, "APT_CONFIG": str(careless)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert sorted(dump.split()) == sorted(
        word for name in CHECKS for word in (name, '"false";')
    )


def test_other_systems_are_told_so(monkeypatch):
    ubuntu = {"ID": "ubuntu", "PRETTY_NAME": "Ubuntu 24.04"}
    monkeypatch.setattr(debian, "os_release", lambda: ubuntu)
    with pytest.raises(Failure, match=r"not Ubuntu 24\.04"):
        debian.Apt("sid")
