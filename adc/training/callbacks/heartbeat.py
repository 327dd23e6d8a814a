"""The end of a job of several processes when one of them is lost."""

from __future__ import annotations

import atexit
import ctypes
import faulthandler
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any, NoReturn

import lightning.pytorch as pl
from torch import distributed

from adc.errors import debugging, describe, name_place
from adc.training.heartbeat import LINGER, Monitor

VERDICT = 5.0
"""Seconds that a rank whose collective failed waits to hear which other rank is the reason."""

LAUNCHER = "ADC_LAUNCHER"
"""The environment variable with the process that launched the other ranks of its host."""

COLLECTIVE = re.compile(r"gloo|nccl|c10d|ProcessGroup|process group|Connection (closed|reset)|Broken pipe", re.I)


class Heartbeat(pl.Callback):
    """Ends a job of several processes when one of them dies, is stopped, fails or cannot be reached.

    Every rank then writes one line that names the rank, its host and the cause, and ends with status 1; no process is
    left behind. ``adc`` adds this callback with its default wherever there is more than one process; a recipe's own
    takes its place. It never alarms at an orderly end, however far apart the ranks reach it.

    Each rank beats from a thread, so that steps may be longer than the timeout. It must be longer than anything that
    holds Python's interpreter lock without a break: such a rank looks stopped to the others.
    """

    def __init__(self, timeout: float = 60.0) -> None:
        """
        Args:
            timeout: Seconds without a sign of a rank after which the job ends; 0 switches the heartbeat off.

        Raises:
            ValueError: If the timeout is below 0.
        """
        if timeout < 0:
            raise ValueError(f"timeout: {timeout} s; a number of seconds, or 0 for no heartbeat.")
        self.timeout = timeout
        self._monitor: Monitor | None = None
        self._trainer: pl.Trainer | None = None
        self._grace = 10 * LINGER
        atexit.register(self._end_children)  # before the strategy registers what frees its process group

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Connect the ranks."""
        if self._monitor is not None or trainer.world_size < 2 or not self.timeout:
            return
        self._trainer = trainer
        monitor = Monitor(trainer.global_rank, trainer.world_size, self.timeout, self._end)
        address = monitor.listen(os.environ.get("MASTER_ADDR")) if monitor.rank == 0 else None
        address = trainer.strategy.broadcast(address)
        if address is not None and monitor.rank:
            monitor.connect(address)
        self._monitor = monitor
        trainer.strategy.barrier()
        _end_with_parent(0)  # from here on the heartbeat does it, and says why
        for thread in threading.enumerate():
            if thread.name == "child-process-observer":  # Lightning's would end rank 0 before it has said why
                thread._child_processes = []  # type: ignore[attr-defined]

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Let the other ranks know; an error of a collective waits for word of the rank that caused it."""
        monitor = self._monitor
        if isinstance(exception, (KeyboardInterrupt, SystemExit)):
            if monitor is not None:
                monitor.stop("stopped by a signal")
            return
        if monitor is not None:
            self._grace = 5 * LINGER
            if is_collective(exception):
                monitor.await_verdict(min(VERDICT, self.timeout))
            monitor.fail(describe(exception))
        if trainer.world_size > 1:
            name_place(exception, f"rank {trainer.global_rank} on {socket.gethostname()}")

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Say goodbye; rank 0 waits for the others."""
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.leave()

    def _end(self, line: str) -> NoReturn:
        """Write why and end this process, and those that it launched, from the monitor's thread."""
        start = "\n" if sys.stderr.isatty() else ""
        os.write(2, f"{start}adc: error: {line}\n".encode())
        if debugging():
            faulthandler.dump_traceback()
        saving = threading.Thread(target=self._save_logs, daemon=True)
        saving.start()
        self._grace = LINGER
        for worker in multiprocessing.active_children():  # of data loaders
            worker.kill()
        self._end_children()
        saving.join(LINGER)
        os._exit(1)

    def _save_logs(self) -> None:
        for logger in self._trainer.loggers if self._trainer is not None else ():
            logger.finalize("failed")

    def _end_children(self) -> None:
        """Wait for the processes that this one launched; kill those that stay."""
        launcher: Any = self._trainer.strategy.launcher if self._trainer is not None else None
        children: list[subprocess.Popen[bytes]] = getattr(launcher, "procs", [])
        limit = time.monotonic() + self._grace
        for child in children:
            try:
                child.wait(max(limit - time.monotonic(), 0.0))
            except subprocess.TimeoutExpired:
                child.kill()


def is_collective(error: BaseException) -> bool:
    """Whether an error came from communication with other ranks."""
    if isinstance(error, distributed.DistError):
        return True
    return isinstance(error, RuntimeError) and COLLECTIVE.search(str(error)) is not None


def add_heartbeat(trainer: pl.Trainer) -> pl.Trainer:
    """The trainer with a `Heartbeat` if it has several processes and none yet.

    A process that rank 0 of its host has launched ends with it from here on.
    """
    callbacks: list[pl.Callback] = getattr(trainer, "callbacks")  # noqa: B009
    if trainer.num_devices * trainer.num_nodes < 2:
        return trainer
    if not any(isinstance(callback, Heartbeat) for callback in callbacks):
        callbacks.insert(0, Heartbeat())
    launcher = os.environ.get(LAUNCHER)
    if launcher is None or os.environ.get("LOCAL_RANK", "0") == "0":
        os.environ[LAUNCHER] = str(os.getpid())
    elif _end_with_parent(signal.SIGKILL) and os.getppid() != int(launcher):
        raise ValueError(f"process {launcher}, which launched this one, has died.")
    return trainer


def _end_with_parent(number: int) -> bool:
    """Let the kernel send this process a signal when its parent dies; False where it cannot."""
    return sys.platform == "linux" and ctypes.CDLL(None).prctl(1, number) == 0
