import os
import subprocess
import sys
import threading
import time

import pytest

from farm.shm.wake import Doorbell


@pytest.fixture
def bell():
    made = Doorbell.create()
    yield made
    made.close()


def test_a_ring_before_the_wait_is_not_lost(bell):
    bell.ring()
    assert bell.wait(0.0)


def test_many_rings_are_one_wake(bell):
    for _ in range(5):
        bell.ring()
    assert bell.wait(0.0)
    assert not bell.wait(0.0)


def test_a_wait_without_a_ring_ends_at_its_deadline(bell):
    started = time.monotonic()
    assert not bell.wait(0.05)
    assert time.monotonic() - started >= 0.05


def test_clear_says_whether_it_was_ringing(bell):
    bell.ring()
    assert bell.clear()
    assert not bell.clear()


def test_a_waiting_thread_is_woken_at_once(bell):
    woken = []
    thread = threading.Thread(target=lambda: woken.append(bell.wait(30.0)))
    thread.start()
    bell.ring()
    thread.join(10.0)
    assert woken == [True]


def test_a_saturated_bell_can_be_rung(bell):
    os.eventfd_write(bell.fileno(), 2**64 - 2)
    bell.ring()
    assert bell.wait(0.0)


def test_another_process_rings_by_the_inherited_descriptor(bell):
    code = "import sys; from farm.shm.wake import Doorbell; Doorbell(int(sys.argv[1])).ring()"
    command = [sys.executable, "-c", code, str(bell.fileno())]
    subprocess.run(command, pass_fds=[bell.fileno()], check=True, timeout=60)
    assert bell.wait(0.0)


def test_a_bell_is_closed_at_exec_unless_it_is_passed(bell):
    code = "import os, sys; os.eventfd_write(int(sys.argv[1]), 1)"
    command = [sys.executable, "-c", code, str(bell.fileno())]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60, close_fds=False)
    assert b"Bad file descriptor" in done.stderr


def test_closing_twice_is_fine(bell):
    bell.close()
    bell.close()
