import os
import subprocess
import sys

from aiops_assets.tracking.processes import ran_at, started, started_then


def test_this_process_runs_since_it_started() -> None:
    now = started(os.getpid())
    assert now is not None
    assert started_then(os.getpid(), now)
    assert ran_at(os.getpid(), now + 60)


def test_a_number_given_again_is_another_process() -> None:
    now = started(os.getpid())
    assert now is not None
    assert not started_then(os.getpid(), now - 60)
    assert not ran_at(os.getpid(), now - 60)


def test_what_ended_does_not_run_even_as_a_zombie() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    assert child.stdout
    child.stdout.read()
    # Its exit code is not fetched yet: it is a zombie, or about to become one.
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert started(child.pid) is None
    child.communicate()
    assert started(child.pid) is None
