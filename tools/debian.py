"""Debian packages without root: a private apt, its files unpacked in the project.

The source is the machine's own Debian source with only the suite replaced, so a
mirror or proxy the machine is set up for is used here too, and every index is
checked against the machine's Debian keyring.
"""

import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.console import Failure, say
from tools.paths import CACHE

ETC_APT = Path("/etc/apt")
OS_RELEASE = Path("/etc/os-release")

APT_SETTINGS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
APT::Get::AllowUnauthenticated "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Dir::State "{root}/state";
Dir::State::Lists "{root}/lists";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{root}/cache";
Dir::Log "{root}/log";
Dir::Etc::SourceList "{root}/source.sources";
Dir::Etc::SourceParts "-";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "-";
APT::Sandbox::User "root";
APT::Get::List-Cleanup "false";
APT::Install-Recommends "false";
Debug::NoLocking "true";
Acquire::Languages "none";
Acquire::Retries "3";
"""


@dataclass
class Source:
    """One `deb` entry: where it is and who may sign it."""

    uris: str
    suites: list[str]
    components: list[str]
    signed_by: str = ""


def os_release(path: Path = OS_RELEASE) -> dict[str, str]:
    """The fields of os-release, unquoted; empty where there is no such file."""
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {key: value.strip().strip("\"'") for key, _, value in pairs if key}


def parse_deb822(text: str) -> list[Source]:
    """Entries of a `.sources` file; disabled and non-binary ones are left out."""
    sources = []
    for paragraph in re.split(r"\n\s*\n", text):
        fields = _deb822_fields(paragraph)
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").lower() in ("no", "false", "0"):
            continue
        sources.append(
            Source(
                uris=fields.get("uris", ""),
                suites=fields.get("suites", "").split(),
                components=fields.get("components", "").split(),
                signed_by=fields.get("signed-by", ""),
            )
        )
    return sources


def _deb822_fields(paragraph: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in paragraph.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace() and name:
            # A key block keeps its line structure: apt needs it as it came.
            fields[name] += "\n" + line
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def parse_one_line(text: str) -> list[Source]:
    """Entries of a `sources.list` file; the option `trusted` is not taken over."""
    pattern = re.compile(r"^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$")
    sources = []
    for line in text.splitlines():
        match = pattern.match(line.split("#")[0])
        if not match:
            continue
        options = dict(
            option.split("=", 1) for option in (match[1] or "").split() if "=" in option
        )
        sources.append(
            Source(
                uris=match[2],
                suites=[match[3]],
                components=match[4].split(),
                signed_by=options.get("signed-by", ""),
            )
        )
    return sources


def machine_sources(etc: Path = ETC_APT) -> list[Source]:
    """Every `deb` entry the machine is set up with, in both notations."""
    sources = []
    for path in [etc / "sources.list", *sorted(etc.glob("sources.list.d/*.list"))]:
        if path.is_file() and os.access(path, os.R_OK):
            sources += parse_one_line(path.read_text())
    for path in sorted(etc.glob("sources.list.d/*.sources")):
        if os.access(path, os.R_OK):
            sources += parse_deb822(path.read_text())
    return sources


def debian_source(sources: list[Source], release: dict[str, str]) -> Source:
    """The entry that serves this machine's own Debian release from `main`."""
    names = {release.get("VERSION_CODENAME", ""), "stable", "testing"} - {""}
    for source in sources:
        wanted = [suite for suite in source.suites if suite in names]
        remote = not source.uris.startswith("cdrom:")
        if wanted and remote and "main" in source.components:
            return Source(source.uris, wanted[:1], ["main"], source.signed_by)
    raise Failure("no Debian source for 'main' of this release in /etc/apt")


class Apt:
    """A private apt for one suite; nothing of it stands outside the project."""

    def __init__(self, suite: str = "") -> None:
        release = os_release()
        if release.get("ID") != "debian":
            name = release.get("PRETTY_NAME", "this system")
            raise Failure(f"Debian packages can only be unpacked on Debian, not {name}")
        source = debian_source(machine_sources(), release)
        self.suite = suite or source.suites[0]
        self.root = CACHE / "apt" / self.suite
        self.source = source
        self._prepare()

    def _prepare(self) -> None:
        for folder in ("state", "lists/partial", "cache/archives/partial", "log"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        lines = [
            "Types: deb",
            f"URIs: {self.source.uris}",
            f"Suites: {self.suite}",
            "Components: main",
        ]
        if self.source.signed_by:
            lines.append(f"Signed-By: {self.source.signed_by}")
        (self.root / "source.sources").write_text("\n".join(lines) + "\n")
        self.settings = self.root / "apt.conf"
        self.settings.write_text(APT_SETTINGS.format(root=self.root))

    def run(self, *arguments: str, cwd: Path | None = None) -> str:
        """Run apt-get with the private settings; its output where it succeeds."""
        command = ["apt-get", "-q", "-c", str(self.settings), *arguments]
        environment = dict(os.environ, LC_ALL="C", DEBIAN_FRONTEND="noninteractive")
        result = subprocess.run(
            command,
            cwd=cwd or self.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        if result.returncode:
            lines = (result.stderr or result.stdout).strip().splitlines()
            raise Failure(f"apt-get {arguments[0]} ({self.suite}): {lines[-1:]}")
        return result.stdout

    def update(self) -> None:
        """Fetch the signed package index of the suite."""
        say(f"reading the package index of Debian {self.suite}")
        self.run("update", "--error-on=any")

    def download(self, packages: list[str], dependencies: bool = False) -> list[Path]:
        """Fetch packages (with what the machine lacks of their dependencies)."""
        archives = self.root / "cache" / "archives"
        if dependencies:
            self.run("install", "-y", "--download-only", "--reinstall", *packages)
        else:
            self.run("download", *packages, cwd=archives)
        return sorted(archives.glob("*.deb"))

    def forget_archives(self) -> None:
        """Drop the fetched packages: what was needed of them is unpacked."""
        for archive in (self.root / "cache" / "archives").glob("*.deb"):
            archive.unlink()


def unpack(archives: list[Path], target: Path) -> list[str]:
    """Unpack packages below `target`; one 'name version sha256' line for each."""
    record = []
    for archive in archives:
        subprocess.run(["dpkg-deb", "-x", str(archive), str(target)], check=True)
        query = ["dpkg-deb", "-f", str(archive), "Package", "Version"]
        shown = subprocess.run(query, check=True, capture_output=True, text=True).stdout
        fields = dict(line.split(": ", 1) for line in shown.splitlines())
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        record.append(f"{fields['Package']} {fields['Version']} {digest}")
    return record
