import os
import select
import signal

from farm.supervisor.signals import SignalQueue


def test_a_signal_is_queued_and_wakes_a_selector():
    with SignalQueue() as queue:
        os.kill(os.getpid(), signal.SIGTERM)
        assert select.select([queue], [], [], 10)[0] == [queue]
        assert queue.try_take() == [signal.SIGTERM]
        assert queue.try_take() == []


def test_signals_are_taken_in_the_order_they_came():
    with SignalQueue() as queue:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
            select.select([queue], [], [], 10)
        taken = [queue.try_take()]
    assert taken == [[signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTERM]]


def test_handlers_are_put_back_afterwards():
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with SignalQueue():
        assert signal.getsignal(signal.SIGTERM) not in before
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_hangup_is_taken_also_where_nohup_ignored_it_as_it_is_no_stop_but_a_reload():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with SignalQueue() as queue:
            os.kill(os.getpid(), signal.SIGHUP)
            assert queue.try_take() == [signal.SIGHUP]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_more_signals_than_the_pipe_holds_do_no_harm():
    with SignalQueue() as queue:
        for _ in range(70_000):
            signal.raise_signal(signal.SIGHUP)
        assert set(queue.try_take()) == {signal.SIGHUP}
