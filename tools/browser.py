"""Chromium for Odoo's browser tests and ours: from PATH, else Debian's, unpacked."""

import shutil
import subprocess
from pathlib import Path

from tools import debian
from tools.console import Failure, say
from tools.paths import CACHE

FOLDER = CACHE / "chromium"
LIBRARIES = (
    "usr/lib/*-linux-gnu*",
    "usr/lib/*-linux-gnu*/pulseaudio",
    "lib/*-linux-gnu*",
    "usr/lib/chromium",
)
# Without fonts every page is blank boxes, and every layout different.
PACKAGES = ["chromium", "fonts-dejavu-core"]

WRAPPER = """\
#!/bin/sh
# Debian's chromium, unpacked: its libraries are looked for here first.
export LD_LIBRARY_PATH="{libraries}"
export FONTCONFIG_FILE="{root}/fonts.conf"
exec "{root}/usr/lib/chromium/chromium" "$@"
"""

FONTS = """\
<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>{root}/usr/share/fonts</dir>
  <dir>/usr/share/fonts</dir>
  <cachedir>{root}/fontcache</cachedir>
</fontconfig>
"""


def on_path() -> Path | None:
    """The folder to put in front of PATH; None where chromium is in it already."""
    if shutil.which("chromium"):
        return None
    return find().parent


def find() -> Path:
    """The browser to use; unpacked from Debian where the machine has none."""
    given = shutil.which("chromium")
    if given:
        return Path(given)
    wrapper = FOLDER / "bin" / "chromium"
    if not wrapper.exists():
        _unpack(wrapper)
    return wrapper


def _unpack(wrapper: Path) -> None:
    try:
        apt = debian.Apt()
        apt.update()
        say("fetching Debian's chromium for the browser tests")
        archives = apt.download(PACKAGES, dependencies=True)
    except Failure as error:
        raise Failure(f"install `chromium` for the browser tests ({error})") from error
    partial = FOLDER.with_name("chromium.partial")
    shutil.rmtree(partial, ignore_errors=True)
    record = debian.unpack(archives, partial)
    (partial / "PACKAGES").write_text("\n".join(sorted(record)) + "\n")
    apt.forget_archives()
    shutil.rmtree(FOLDER, ignore_errors=True)
    partial.rename(FOLDER)
    _write_wrapper(wrapper)
    _check(wrapper)


def _write_wrapper(wrapper: Path) -> None:
    folders = [path for pattern in LIBRARIES for path in FOLDER.glob(pattern)]
    text = WRAPPER.format(root=FOLDER, libraries=":".join(map(str, folders)))
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(text)
    wrapper.chmod(0o755)
    (FOLDER / "fonts.conf").write_text(FONTS.format(root=FOLDER))


def _check(wrapper: Path) -> None:
    result = subprocess.run(
        [str(wrapper), "--version"], capture_output=True, text=True, timeout=60
    )
    if result.returncode:
        wrapper.unlink()
        reason = result.stderr.strip().splitlines()[-1:]
        raise Failure(f"install `chromium`: the unpacked one does not start {reason}")
