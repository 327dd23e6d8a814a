"""Loaders of clips: their workers and signals."""

import os
import signal
import time

import pytest
import torch
from torch.utils.data import Dataset

from adc.data.loader import clip_loader


class Numbers(Dataset):
    def __len__(self):
        return 100

    def __getitem__(self, index):
        return {"number": torch.tensor(index), "worker": os.getpid()}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1", "SIGINT"])
def test_workers_outlive_a_signal_to_all_processes(name):
    batches = iter(clip_loader(Numbers(), batch_size=2, workers=1))
    worker = int(next(batches)["worker"][0])
    sender = os.fork()
    if sender == 0:  # not the loader's own process, from which a worker takes the signal to end
        os.kill(worker, getattr(signal, name))
        os._exit(0)
    os.waitpid(sender, 0)
    time.sleep(0.2)
    rest = list(batches)
    assert [batch["number"].tolist() for batch in rest] == [[n, n + 1] for n in range(2, 100, 2)]
    assert {int(batch["worker"][0]) for batch in rest} == {worker}


def test_workers_end_for_their_main_process():
    batches = iter(clip_loader(Numbers(), batch_size=2, workers=1))
    worker = int(next(batches)["worker"][0])
    os.kill(worker, signal.SIGTERM)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            if os.waitpid(worker, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return
        time.sleep(0.02)
    raise AssertionError("the worker goes on")
