import signal

import pytest

from farm.supervisor.companion import Companion

S = 1_000_000_000


class FakeProcess:
    pid = 4711
    returncode = None

    def __init__(self):
        self.sent = []

    def fileno(self):
        return -1

    def send(self, number):
        self.sent.append(number)

    def try_reap(self):
        return self.returncode

    def close(self):
        pass


@pytest.fixture
def process():
    return FakeProcess()


@pytest.fixture
def companion(process):
    return Companion(process, abort_ns=2 * S, now_ns=10 * S)


def test_it_is_asked_once_as_ctrl_c_would(companion, process):
    for at_s in (12, 13, 14):
        companion.dismiss(at_s * S, at_once=False)
    assert process.sent == [signal.SIGINT]


def test_a_young_one_has_nothing_to_sum_up(companion, process):
    companion.dismiss(10 * S + S // 2, at_once=False)
    assert process.sent == [signal.SIGTERM]


def test_one_that_stays_is_killed(companion, process):
    companion.dismiss(12 * S, at_once=False)
    companion.dismiss(14 * S + 1, at_once=False)
    assert process.sent == [signal.SIGINT, signal.SIGKILL]


def test_in_a_hurry_it_is_killed_at_once(companion, process):
    companion.dismiss(12 * S, at_once=True)
    assert process.sent == [signal.SIGKILL]


@pytest.mark.parametrize(
    ("returncode", "exit_code"),
    [(None, None), (0, 0), (69, 69), (-2, 0), (-15, 0), (130, 0), (143, 0), (-9, 70), (-11, 70)],
)
def test_the_farm_ends_with_its_exit_code_or_with_0_if_it_was_asked_to_end(
    companion, process, returncode, exit_code
):
    process.returncode = returncode
    assert companion.try_reap() == exit_code
