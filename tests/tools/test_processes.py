"""Which processes are ours: numbers come again, after a reboot or soon after an end."""

import os
import subprocess
import sys

import pytest

from tools import processes


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def test_process_of_ours_is_known_until_it_ends(tmp_path, sleeper):
    path = tmp_path / "odoo.pid"
    assert processes.recorded(path) == 0
    processes.record(path, sleeper.pid)
    assert processes.recorded(path) == sleeper.pid
    sleeper.kill()
    assert processes.wait_gone([sleeper.pid], 10)
    assert processes.recorded(path) == 0


@pytest.mark.parametrize("stranger", [2, os.getppid()])
def test_stranger_with_the_same_number_is_not_ours(tmp_path, sleeper, stranger):
    path = tmp_path / "odoo.pid"
    processes.record(path, sleeper.pid)
    started = path.read_text().split()[1]
    path.write_text(f"{stranger} {started}")
    assert processes.recorded(path) == 0


@pytest.mark.parametrize("text", ["", "17", str(os.getpid())])
def test_pid_file_that_is_not_whole_names_nobody(tmp_path, text):
    path = tmp_path / "odoo.pid"
    path.write_text(text)
    assert processes.recorded(path) == 0


def test_postgres_of_another_folder_is_not_ours(tmp_path):
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n{tmp_path}\n")
    assert processes.postmaster(tmp_path) == 0
