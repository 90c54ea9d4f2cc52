"""A signal ends the demo at whatever moment it comes, and never twice."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

import pytest

from tailrace.service.demo.signals import Signals


@pytest.fixture(autouse=True)
def _nothing_is_ignored() -> Iterator[None]:
    """A shell starts what runs in its background with SIGINT ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.SIG_DFL) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


def send(number: int) -> None:
    """Handled when this returns."""
    os.kill(os.getpid(), number)


class _Finalised:
    def __del__(self) -> None:
        send(signal.SIGINT)


def test_what_is_raised_where_python_drops_it_is_raised_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dropped: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: dropped.append(found.exc_type))
    with Signals() as signals:
        _Finalised()
        assert dropped == [KeyboardInterrupt]
        with pytest.raises(KeyboardInterrupt):
            signals.check()


def test_the_first_raises_and_no_other() -> None:
    with Signals() as signals:
        with pytest.raises(SystemExit) as raised:
            send(signal.SIGTERM)
        assert raised.value.code == 128 + signal.SIGTERM
        send(signal.SIGTERM)
        send(signal.SIGINT)
        assert signals.asked


def test_while_deferred_it_is_kept() -> None:
    with Signals() as signals:
        with signals.deferred():
            assert not signals.was_interrupt()
            send(signal.SIGINT)
            assert signals.asked
            assert signals.was_interrupt()
            assert not signals.asked
        signals.check()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
        signals.ignore()
        send(signal.SIGTERM)


def test_what_was_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            send(signal.SIGHUP)
            assert not signals.asked
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
