"""Where a heartbeat is added, and which errors it takes for another rank's."""

import os

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from adc.errors import describe
from adc.training.callbacks import Heartbeat
from adc.training.callbacks.heartbeat import LAUNCHER, add_heartbeat, is_collective

QUIET = {"logger": False, "enable_progress_bar": False, "enable_checkpointing": False, "accelerator": "cpu"}


@pytest.fixture(autouse=True)
def launcher(monkeypatch):
    monkeypatch.setenv(LAUNCHER, "1")  # so that it is put back
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def beats(trainer):
    return [callback.timeout for callback in trainer.callbacks if isinstance(callback, Heartbeat)]


def test_one_process_needs_no_heartbeat():
    assert beats(add_heartbeat(Trainer(devices=1, **QUIET))) == []


def test_several_processes_have_one_and_it_comes_first():
    trainer = add_heartbeat(Trainer(devices=2, callbacks=[Callback()], **QUIET))
    assert beats(trainer) == [60.0] and isinstance(trainer.callbacks[0], Heartbeat)
    assert os.environ[LAUNCHER] == str(os.getpid())


def test_the_recipes_own_takes_its_place():
    assert beats(add_heartbeat(Trainer(devices=2, callbacks=[Heartbeat(5.0)], **QUIET))) == [5.0]


def test_a_rank_whose_launcher_has_died_ends(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv(LAUNCHER, "999999999")
    monkeypatch.setattr("adc.training.callbacks.heartbeat._end_with_parent", lambda number: True)
    with pytest.raises(ValueError, match="process 999999999, which launched this one, has died"):
        add_heartbeat(Trainer(devices=2, **QUIET))


@pytest.mark.parametrize(
    ("error", "collective"),
    [
        (RuntimeError("[/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:50405."), True),
        (torch.distributed.DistBackendError("NCCL error: remote process exited"), True),
        (torch.distributed.DistNetworkError("timed out"), True),
        (RuntimeError("size mismatch"), False),
        (ValueError("the process group of this plugin"), False),
    ],
)
def test_errors_of_collectives_are_known(error, collective):
    assert is_collective(error) == collective


def test_an_error_before_the_ranks_are_connected_names_its_rank():
    trainer, error = Trainer(devices=2, **QUIET), ValueError("train_dir: no image")
    Heartbeat().on_exception(trainer, trainer.lightning_module, error)
    assert describe(error).startswith("rank 0 on ") and ": train_dir: no image" in describe(error)


def test_a_timeout_is_not_negative():
    with pytest.raises(ValueError, match="timeout: -1 s"):
        Heartbeat(-1)
