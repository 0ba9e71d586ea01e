"""Being asked to stop: what is heard, what stays deaf, and whose signals they are afterwards."""

import os
import signal
import threading

import pytest

from moco.run.stop import signals_heard


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_and_its_old_handler_comes_back(signum):
    before = signal.signal(signum, signal.SIG_DFL)
    try:
        with signals_heard() as asked:
            os.kill(os.getpid(), signum)
            assert asked == [signum]
        assert signal.getsignal(signum) == signal.SIG_DFL
    finally:
        signal.signal(signum, before)


def test_a_second_ctrl_c_stops_at_once(hears_ctrl_c):
    with signals_heard() as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked == [signal.SIGINT]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_was_ignored_stays_ignored():
    """A run under nohup outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_heard() as asked:
            os.kill(os.getpid(), signal.SIGHUP)
            assert asked == []
    finally:
        signal.signal(signal.SIGHUP, before)


def test_outside_the_main_thread_signals_are_left_alone():
    found = []

    def elsewhere():
        with signals_heard() as asked:
            found.append((list(asked), signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [([], before)]
