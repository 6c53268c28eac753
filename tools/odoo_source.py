"""Which Odoo is used: found, fetched or unpacked, and the choice printed."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools import debian
from tools.console import Failure, say
from tools.paths import (
    ADDONS,
    ODOO_HOME,
    ROOT,
    contained_environment,
    suite_addons,
    venv_python,
)

REPOSITORY = "https://github.com/odoo/odoo.git"
COMMIT_FILE = ROOT / "tools" / "odoo-18.0.commit"
GITHUB_SECONDS = 10
# For the 300 MB of a shallow clone.
FETCH_SECONDS = 1800

DEBIAN_SUITE = "sid"
DEBIAN_SID = [
    "odoo-19",
    "libjs-jquery",
    "libjs-jquery-form",
    "libjs-underscore",
    "fonts-roboto-unhinted",
    "fonts-montserrat",
    "fonts-ocr-b",
]
# Odoo's links fit the layout these two have in stable, not the one in sid.
DEBIAN_STABLE = ["fonts-font-awesome", "fonts-inconsolata"]
PACKAGED = Path("usr/lib/python3/dist-packages")
# Named in an asset bundle, but left out of Debian's package.
LEFT_OUT = "addons/mail/static/lib/selfie_segmentation/selfie_segmentation.js"


@dataclass(frozen=True)
class Odoo:
    """One Odoo on disk; `root` is the folder that holds the `odoo` package."""

    version: str
    root: Path
    label: str

    def addons_path(self) -> list[Path]:
        """Odoo's own addon folders, then ours."""
        base = self.root / "odoo" / "addons"
        # A packaged tree holds all addons in one folder, a checkout in two.
        rest = [] if (base / "web").exists() else [self.root / "addons"]
        return [base, *rest, *_our_addons()]

    def environment(self, **extra: str) -> dict[str, str]:
        """The environment in which this Odoo can be imported."""
        return contained_environment(PYTHONPATH=f"{self.root}:{ROOT}", **extra)

    def command(self, *arguments: str) -> list[str]:
        """The command line that starts this Odoo."""
        return [
            str(venv_python()),
            str(ROOT / "tools" / "bin" / "odoo-bin"),
            *arguments,
        ]

    @property
    def installs_demo_by_default(self) -> bool:
        """Whether demo data comes unasked (18.0) or on request (19.0)."""
        return int(self.version.partition(".")[0]) < 19

    def demo_option(self, wanted: bool) -> list[str]:
        """The option that yields `wanted` demo data on this version."""
        if self.installs_demo_by_default:
            return [] if wanted else ["--without-demo=all"]
        return ["--with-demo"] if wanted else []


def _our_addons() -> list[Path]:
    return [ADDONS] if suite_addons() else []


def version_of(root: Path) -> str:
    """The series of the Odoo below `root`, as '18.0'; '' where there is none."""
    release = root / "odoo" / "release.py"
    if not release.is_file():
        return ""
    match = re.search(r"version_info\s*=\s*\((\d+),\s*(\d+)", release.read_text())
    return f"{match[1]}.{match[2]}" if match else ""


def find_odoo(version: str = "") -> Odoo:
    """The Odoo to use, in the documented order; fetched where none is there."""
    odoo = installed(version)
    if odoo is None and version in ("", "18.0"):
        odoo = _clone()
    if odoo is None and version in ("", "19.0"):
        odoo = _unpack_debian()
    if odoo is None:
        raise Failure(f"Odoo {version} is neither here nor reachable; set ODOO_SOURCE")
    say(f"Odoo {odoo.version}: {odoo.label}")
    return odoo


def installed(version: str = "") -> Odoo | None:
    """The Odoo that is already on disk; None where it has to be fetched."""
    source = os.environ.get("ODOO_SOURCE")
    if source:
        odoo = _from_source(Path(source).expanduser().resolve())
        if version in ("", odoo.version):
            return odoo
    # A cached 19.0 stands here because GitHub was out of reach before: staying with
    # it keeps a second start fast, and its database fits no other version.
    for series, folder in (("18.0", ""), ("19.0", PACKAGED)):
        root = ODOO_HOME / series / folder
        if version in ("", series) and version_of(root) == series:
            return Odoo(series, root, f"cached in .odoo/{series}")
    return None


def _from_source(root: Path) -> Odoo:
    found = version_of(root)
    if not found:
        raise Failure(f"ODOO_SOURCE={root} holds no odoo/release.py")
    return Odoo(found, root, f"ODOO_SOURCE={root}")


def pinned_commit(path: Path = COMMIT_FILE) -> str:
    """What is fetched from GitHub: the one line of its file that is no comment."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    return next(line for line in lines if line and not line.startswith("#"))


def _clone() -> Odoo | None:
    if not shutil.which("git"):
        say("git is not installed: Odoo 18.0 can't be fetched")
        return None
    if not _github_answers():
        say("GitHub can't be reached")
        return None
    try:
        return _fetch_from_github()
    except (Failure, subprocess.TimeoutExpired) as error:
        say(f"Odoo 18.0 did not come from GitHub ({error})")
        return None


def _fetch_from_github() -> Odoo:
    target = ODOO_HOME / "18.0"
    partial = ODOO_HOME / "18.0.partial"
    shutil.rmtree(partial, ignore_errors=True)
    commit = pinned_commit()
    is_pinned = re.fullmatch("[0-9a-f]{40}", commit)
    what = f"commit {commit}" if is_pinned else f"today's end of branch {commit}"
    say(f"fetching Odoo 18.0 ({what}) from GitHub, about 300 MB")
    _git("init", "-q", str(partial))
    _git("-C", str(partial), "fetch", "-q", "--depth", "1", REPOSITORY, commit)
    _git("-C", str(partial), "checkout", "-q", "FETCH_HEAD")
    came = _git("-C", str(partial), "rev-parse", "HEAD").strip()
    target.with_name("18.0.commit").write_text(f"{came}\n")
    partial.rename(target)
    return Odoo("18.0", target, f"GitHub, commit {came}")


def _github_answers() -> bool:
    command = ["git", "ls-remote", "--exit-code", REPOSITORY, "refs/heads/18.0"]
    environment = contained_environment(GIT_TERMINAL_PROMPT="0")
    try:
        result = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=GITHUB_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def _git(*arguments: str) -> str:
    environment = contained_environment(GIT_TERMINAL_PROMPT="0")
    result = subprocess.run(
        ["git", *arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_SECONDS,
    )
    if result.returncode:
        raise Failure(f"git: {result.stderr.strip().splitlines()[-1:]}")
    return result.stdout


def _unpack_debian() -> Odoo:
    say("taking Debian's Odoo 19.0")
    try:
        return _unpack()
    except Failure as error:
        ways = "set ODOO_SOURCE to a checkout of odoo/odoo"
        if not shutil.which("git"):
            ways += ", or install git"
        raise Failure(f"no Odoo: {ways} ({error})") from error


def _unpack() -> Odoo:
    target = ODOO_HOME / "19.0"
    partial = ODOO_HOME / "19.0.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    record: list[str] = []
    for suite, packages in ((DEBIAN_SUITE, DEBIAN_SID), ("", DEBIAN_STABLE)):
        apt = debian.Apt(suite)
        apt.update()
        say(f"fetching {', '.join(packages)}")
        record += debian.unpack(apt.download(packages), partial)
        apt.forget_archives()
    (partial / PACKAGED / "odoo" / LEFT_OUT).parent.mkdir(parents=True, exist_ok=True)
    (partial / PACKAGED / "odoo" / LEFT_OUT).touch()
    (partial / "PACKAGES").write_text("\n".join(sorted(record)) + "\n")
    _refuse_broken_links(partial)
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    return Odoo("19.0", target / PACKAGED, "Debian's odoo-19, unpacked in .odoo/19.0")


def _refuse_broken_links(root: Path) -> None:
    static = root / PACKAGED / "odoo" / "addons"
    links = (path for path in static.glob("*/static/**/*") if path.is_symlink())
    broken = [str(path.relative_to(static)) for path in links if not path.exists()]
    if broken:
        raise Failure(f"Debian's odoo-19 misses the targets of: {', '.join(broken)}")
