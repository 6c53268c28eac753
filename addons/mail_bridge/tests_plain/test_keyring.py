# Copyright Mail Bridge contributors
# License LGPL-3.0 or later (https://www.gnu.org/licenses/lgpl).
"""The key file: complete or not there, one for all processes, its owner's alone."""

import multiprocessing
import resource
import stat

import pytest

from odoo.addons.mail_bridge.keyring import (
    KeyRing,
    KeyRingError,
    create_key_file,
    read_key_file,
)

processes = multiprocessing.get_context("fork")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data" / "mail_bridge.key"


def create_on_a_full_disk(path):
    """Try it in a process that may not write a single byte."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with pytest.raises(KeyRingError):
        create_key_file(path)


def create_and_tell(path, go, told):
    go.wait()
    told.put(create_key_file(path))


def test_a_key_that_works_for_its_owner_alone(path):
    keys = create_key_file(path)
    assert read_key_file(path) == keys
    ring = KeyRing(keys)
    assert ring.decrypt(ring.encrypt("value", "place"), "place") == "value"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path], "and nothing else is left"


def test_a_full_disk_leaves_no_file_behind(path):
    worker = processes.Process(target=create_on_a_full_disk, args=[path])
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert list(path.parent.iterdir()) == []
    assert read_key_file(path) == []
    assert len(create_key_file(path)) == 1, "later it works"


def test_many_processes_make_one_key(path):
    go, told = processes.Event(), processes.Queue()
    workers = [
        processes.Process(target=create_and_tell, args=[path, go, told])
        for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    go.set()
    keys = [told.get(timeout=30) for _ in workers]
    for worker in workers:
        worker.join()
    assert all(one == keys[0] for one in keys)
    assert read_key_file(path) == keys[0]


@pytest.mark.parametrize("content", ["", " \n", ","])
def test_an_empty_file_is_told_as_such(path, content):
    path.parent.mkdir()
    path.write_text(content)
    path.chmod(0o600)
    for use in (read_key_file, create_key_file):
        with pytest.raises(KeyRingError, match="empty"):
            use(path)


def test_what_is_no_text_is_told_too(path):
    path.parent.mkdir()
    path.write_bytes(b"\xff\xfe")
    path.chmod(0o600)
    with pytest.raises(KeyRingError, match="cannot be read"):
        read_key_file(path)
