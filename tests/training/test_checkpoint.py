import errno
from functools import partial

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import Checkpoint
from training import Adam, AfterBatch, decoding, distillation, regression, same, train, weights

from adc import files
from adc.media import retry
from adc.training import Role, checkpoint
from adc.training.callbacks import SaveEvery, StudentEMA
from adc.training.checkpoint import AtomicCheckpointIO, checkpoint_path, checkpoints, newest_checkpoint

SCHEDULES = torch.optim.lr_scheduler
SCHEDULED = {
    "student": Role(Adam, partial(SCHEDULES.OneCycleLR, max_lr=1e-2, total_steps=20), clip=1.0),
    "discriminators": Role(Adam, partial(SCHEDULES.MultiStepLR, milestones=[3, 5], gamma=0.5)),
}


def read(path):
    return torch.load(path, weights_only=True)


def saved(stage, folder, updates=4, role="discriminators", **options):
    """The path of a checkpoint that a stage wrote."""
    train(stage, updates, role, folder, [SaveEvery(role, 1), StudentEMA()], **options)
    return checkpoints(folder)[-1]


def test_frozen_parts_stay_out(tmp_path):
    content = read(saved(distillation(), tmp_path))
    assert {key.split(".")[0] for key in content["state_dict"]} == {"student", "discriminators"}
    train(decoding(), 1, "decoder", tmp_path / "d", [SaveEvery("decoder", 1)])
    content = read(checkpoints(tmp_path / "d")[-1])
    assert all(key.startswith(("student.decoder.", "discriminator.")) for key in content["state_dict"])
    train(regression(frozen=["decoder"]), 1, "network", tmp_path / "r", [SaveEvery("network", 1)])
    content = read(checkpoints(tmp_path / "r")[-1])
    assert all(key.startswith(("network.body", "network.guess")) for key in content["state_dict"])


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_resumed_run_ends_as_one_that_was_never_stopped(tmp_path, accumulate, precision):
    """With schedules, an average, clipping and a long cycle, from a checkpoint in the middle of it."""

    def run(updates, name, seed, resume=None, callbacks=()):
        stage, average = distillation(seed, cycle=cycle, roles=SCHEDULED, accumulate=accumulate), StudentEMA()
        train(
            stage,
            updates,
            "student",
            tmp_path / name,
            [SaveEvery("discriminators", 1, 9), average, *callbacks],
            resume=resume,
            precision=precision,
        )
        return stage, average

    cycle = [["discriminators"], ["discriminators"], ["student"]]
    whole, average = run(4, "whole", seed=1)
    run(2, "part", seed=1)
    middle = checkpoint_path(tmp_path / "part", 4 * accumulate)
    resumed, continued = run(4, "part", seed=2, resume=middle)
    assert same(weights(whole), weights(resumed))
    assert all(torch.equal(*pair) for pair in zip(average.average, continued.average, strict=True))
    assert whole.updates == resumed.updates and whole.batches_seen == resumed.batches_seen
    ends = [read(checkpoints(tmp_path / name)[-1]) for name in ("whole", "part")]
    assert ends[0]["adc"] == ends[1]["adc"]
    for one, other in zip(*(end["optimizer_states"] for end in ends), strict=True):
        assert one["param_groups"] == other["param_groups"]
        for state, twin in zip(one["state"].values(), other["state"].values(), strict=True):
            assert same(state, twin)


class Foreign(Checkpoint):
    """Saves where another callback might: between two halves of an update."""

    def __init__(self, path, batches):
        self.path, self.batches = path, batches

    def on_train_batch_end(self, trainer, pl_module, *rest):
        if pl_module.batches_seen == self.batches:
            trainer.save_checkpoint(self.path)


def test_half_accumulated_gradients_are_kept(tmp_path):
    whole, resumed, path = distillation(1, accumulate=3), distillation(2, accumulate=3), tmp_path / "half.ckpt"
    train(whole, 3, folder=tmp_path, callbacks=[Foreign(path, 4)], enable_checkpointing=True)
    assert read(path)["adc"]["gradients"]
    train(resumed, 3, folder=tmp_path, resume=path)
    assert same(weights(whole), weights(resumed))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["state_dict"].pop("student.guess.bias"), "tensor student.guess.bias is missing"),
        (lambda c: c["state_dict"].update({"student.more": torch.ones(1)}), "tensor student.more has no place here"),
        (lambda c: c["state_dict"].update({"student.guess.bias": torch.ones(3)}), r"bias is \[3\], here \[12\]"),
        (lambda c: c.pop("adc"), "no stage of adc wrote it"),
        (lambda c: c["adc"].update(updates={"student": 1}), "its roles are student, here student, discriminators"),
        (lambda c: c["adc"].update(schedulers={}), "its schedules are none, here student, discriminators"),
    ],
)
def test_a_checkpoint_of_another_recipe_is_refused_in_one_line(tmp_path, change, message):
    path = saved(distillation(roles=SCHEDULED), tmp_path)
    content = read(path)
    change(content)
    torch.save(content, path)
    with pytest.raises(ValueError, match=message) as caught:
        train(distillation(roles=SCHEDULED), 5, folder=tmp_path, resume=path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value) and "--restart" in str(caught.value)


def test_an_average_of_another_role_is_refused(tmp_path):
    path = saved(distillation(), tmp_path)
    with pytest.raises(ValueError, match="StudentEMA: the checkpoint averages another network"):
        train(distillation(), 9, folder=tmp_path, resume=path, callbacks=[StudentEMA("discriminators")])


CONTENT = {"state_dict": {"weight": torch.rand(1000)}, "adc": {}}


def three(folder):
    """Three whole checkpoints, oldest first."""
    paths = [checkpoint_path(folder, count) for count in (9, 10, 100)]
    paths[0].parent.mkdir()
    for path in paths:
        torch.save(CONTENT, path)
    return paths


def flipped(whole):
    """The file with one bit of a tensor changed, which still unpickles."""
    place = whole.index(CONTENT["state_dict"]["weight"].numpy().tobytes()) + 1234
    return whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (lambda whole: b"", "is empty"),
        (lambda whole: whole[:10], "is cut short, or no checkpoint"),
        (lambda whole: whole[: len(whole) // 2], "is cut short, or no checkpoint"),
        (lambda whole: whole[:-1], "is cut short, or no checkpoint"),
        (lambda whole: b"no checkpoint", "is cut short, or no checkpoint"),
        (flipped, "is damaged: the checksum of"),
    ],
)
def test_the_newest_checkpoint_that_is_whole(tmp_path, harm, reason):
    assert newest_checkpoint(tmp_path) == (None, {})
    first, second, third = three(tmp_path)
    torch.save({}, first.with_name("best.ckpt"))
    assert newest_checkpoint(tmp_path) == (third, {})
    whole = third.read_bytes()
    third.write_bytes(harm(whole))
    found, damaged = newest_checkpoint(tmp_path)
    assert found == second and list(damaged) == [third] and damaged[third].startswith(reason)
    torch.save([1, 2], second)
    found, damaged = newest_checkpoint(tmp_path)
    assert found == first and damaged[second] == "is no checkpoint of a stage"
    first.unlink()
    with pytest.raises(
        ValueError, match=f"no checkpoint there can be used: 00000100.ckpt {reason}.*; 00000010"
    ) as caught:
        newest_checkpoint(tmp_path)
    assert "--restart" in str(caught.value) and "\n" not in str(caught.value)


def test_a_disk_that_refuses_is_asked_again_and_says_nothing_about_the_file(tmp_path, monkeypatch):
    *_, third = three(tmp_path)
    failures, load = [2], checkpoint._load

    def hiccup(path):
        if path == third and failures[0]:
            failures[0] -= 1
            raise OSError(errno.EIO, "Input/output error", str(path))
        return load(path)

    monkeypatch.setattr(checkpoint, "_load", hiccup)
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.0)
    assert newest_checkpoint(tmp_path) == (third, {})
    failures[0] = 5
    with pytest.raises(OSError, match="Input/output error"):
        newest_checkpoint(tmp_path)


class Odd(Callback):
    """A state that the rules of reading refuse."""

    def state_dict(self):
        return {"best": np.float64(1.0)}


def test_a_state_that_cannot_be_read_back_is_refused_when_it_is_saved(tmp_path):
    with pytest.raises(ValueError, match="the state of callback Odd cannot be read back as data") as caught:
        train(distillation(), 2, folder=tmp_path, callbacks=[SaveEvery("student", 1), Odd()])
    assert "\n" not in str(caught.value) and "weights_only" not in str(caught.value)
    assert not list((tmp_path / "checkpoints").iterdir())


def test_a_full_disk_is_seen_before_anything_is_written(tmp_path, monkeypatch):
    *_, third = three(tmp_path)
    usage = files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    path = checkpoint_path(tmp_path, 200)
    with pytest.raises(OSError, match=r"00000200\.ckpt: needs 5 MiB and 1 MiB are free there; nothing was written"):
        AtomicCheckpointIO().save_checkpoint({"a": torch.ones(2**20)}, path)
    assert not path.exists() and third.exists()


def test_what_torch_says_of_a_full_disk_names_the_file(tmp_path, monkeypatch):
    def fail(content, file):
        raise RuntimeError("[enforce fail at inline_container.cc:783] . unexpected pos 155648 vs 155536")

    monkeypatch.setattr(checkpoint.torch, "save", fail)
    with pytest.raises(OSError, match=r"No space left on device: .*00000001\.ckpt"):
        AtomicCheckpointIO().save_checkpoint({"a": torch.ones(1)}, checkpoint_path(tmp_path, 1))


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = checkpoint_path(tmp_path, 1)
    AtomicCheckpointIO().save_checkpoint({"a": torch.ones(1)}, path)

    def fail(content, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", fail)
    with pytest.raises(OSError, match="No space"):
        AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(1)}, path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert read(path)["a"] == 1


def test_what_a_killed_write_left_is_swept_by_the_next(tmp_path):
    path = checkpoint_path(tmp_path, 2)
    path.parent.mkdir()
    leftover = path.with_name(".00000001.ckpt.abc.partial")
    leftover.write_bytes(b"half")
    assert newest_checkpoint(tmp_path) == (None, {})
    AtomicCheckpointIO().save_checkpoint({"a": 1}, path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_position_and_counters_are_plain_data(tmp_path):
    content = read(saved(distillation(roles=SCHEDULED), tmp_path))
    assert content["adc"]["updates"] == {"student": 4, "discriminators": 4}
    assert content["adc"]["batches"] == 4
    assert set(content["adc"]["schedulers"]) == {"student", "discriminators"}
    assert content["adc"]["schedulers"]["student"]["last_epoch"] == 4


def test_saving_between_updates_changes_nothing(tmp_path):
    quiet, saving = distillation(), distillation()
    train(quiet, 4)
    noise = AfterBatch(lambda trainer, stage: torch.rand(3))
    train(saving, 4, folder=tmp_path, callbacks=[SaveEvery("student", 1), noise])
    assert same(weights(quiet), weights(saving))
