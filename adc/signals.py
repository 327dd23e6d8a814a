"""Signals that ask a run to stop, and the exit statuses that they lead to."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import subprocess

STOPPED = 75
"""Stopped before the goal, and the same command goes on: EX_TEMPFAIL of sysexits.h, "try again"."""
_BY_NAME = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": STOPPED}
STATUS: dict[int, int] = {int(getattr(signal, name)): code for name, code in _BY_NAME.items() if hasattr(signal, name)}
"""The exit status of a run that a signal stopped, by the signal's number."""
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
Handler = Callable[[int, FrameType | None], Any]


def name_of(number: int) -> str:
    """A signal's name, such as ``SIGTERM``."""
    return signal.Signals(number).name


def install(handlers: dict[int, Any]) -> dict[int, Any]:
    """Install handlers, which only the main thread can; those that they replace, to put them back.

    Args:
        handlers: For each signal a function, or what `signal.getsignal` gave.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    replaced = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
    return replaced


@contextmanager
def handled(handler: Handler, numbers: Iterable[int] = tuple(STATUS)) -> Iterator[None]:
    """Signals handled by a function inside a ``with`` block; a hangup that is ignored, as by ``nohup``, stays so.

    Args:
        handler: Called with the signal's number and the frame.
        numbers: The signals.
    """
    hangup = getattr(signal, "SIGHUP", None)
    ignored = hangup is not None and signal.getsignal(hangup) == signal.SIG_IGN
    replaced = install({number: handler for number in numbers if not (ignored and number == hangup)})
    try:
        yield
    finally:
        install(replaced)


def is_first_process() -> bool:
    """Whether this is the first process of a job, as far as its environment says."""
    return all(os.environ.get(name, "0") == "0" for name in RANKS)


def end_at_once(number: int, frame: FrameType | None = None) -> None:
    """End this process with the signal's status and one line of the first process: nothing is there to be saved."""
    if is_first_process():
        os.write(2, f"adc: stopped by {name_of(number)} outside training; the same command goes on.\n".encode())
    os._exit(STATUS[number])


def end_in_order(number: int, frame: FrameType | None = None) -> None:
    """End this process with the signal's status, after what is half written has been removed."""
    sys.stderr.write(f"adc: stopped by {name_of(number)}\n")
    raise SystemExit(STATUS.get(number, 128 + number))


def ending_in_order() -> Any:
    """A ``with`` block that SIGTERM and SIGHUP leave as an error would; an interrupt stays what it is."""
    return handled(end_in_order, [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)])


def ending_at_once() -> Any:
    """A ``with`` block in which SIGTERM and SIGUSR1 end the process at once; an interrupt stays what it is."""
    return handled(end_at_once, [number for number in STATUS if number != signal.SIGINT])


class Relay:
    """Passes the signals that stop a run on to the step that runs, and waits for its end.

    A step is in a process group of its own, so that a terminal sends Ctrl-C to this process alone and the step gets
    it once.

    Attributes:
        received: The signals so far.
    """

    FORCED = 128 + signal.SIGKILL
    PATIENCE_SECONDS = 10.0

    def __init__(self) -> None:
        self.received: list[int] = []
        self._step: subprocess.Popen[bytes] | None = None

    def wait(self, step: subprocess.Popen[bytes]) -> int:
        """The return code of a step."""
        self._step = step
        for number in self.received:
            step.send_signal(number)
        try:
            return step.wait()
        finally:
            self._step = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on; the second interrupt gives the step ten seconds, the third none."""
        self.received.append(number)
        if self._step is None:
            return
        self._step.send_signal(number)
        interrupts = self.received.count(signal.SIGINT)
        if number == signal.SIGINT and interrupts > 1:
            timer = threading.Timer(self.PATIENCE_SECONDS if interrupts == 2 else 0.0, self._kill, [self._step])
            timer.daemon = True
            timer.start()

    def suspend(self, number: int, frame: FrameType | None) -> None:
        """Pause the step and this process (Ctrl-Z); both go on together."""
        if self._step is not None:
            os.killpg(self._step.pid, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        if self._step is not None:
            os.killpg(self._step.pid, signal.SIGCONT)

    @staticmethod
    def _kill(step: subprocess.Popen[bytes]) -> None:
        if step.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(step.pid, signal.SIGKILL)

    def check(self, name: str) -> None:
        """Stop before a step begins, if a signal came after the last one had ended."""
        if self.received:
            sys.stderr.write(f"adc: stopped before {name}; the same command goes on from there.\n")
            sys.exit(STATUS[self.received[0]])
