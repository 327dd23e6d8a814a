"""adc fit tells what was done: what is finished, resumed, changed, refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from adc import runs

ROOT = Path(__file__).parents[2]


def newest(run):
    path = sorted((run / "checkpoints").glob("[0-9]*.ckpt"))[-1]
    return torch.load(path, weights_only=True)


def same(first, second):
    return all(torch.equal(first["state_dict"][key], second["state_dict"][key]) for key in first["state_dict"])


@pytest.fixture
def recipe(recipe):
    """Recipes whose data go on where a run goes on."""

    def write(change=lambda content: None, name="recipe.yaml"):
        def positions(content):
            content["data"]["class_path"] = "ToyPositions"
            change(content)

        return recipe(positions, name)

    return write


@pytest.fixture
def whole(adc, recipe, tmp_path):
    """The last checkpoint of an undisturbed run."""
    path = recipe(lambda c: c["trainer"].update(default_root_dir=str(tmp_path / "whole")), "whole.yaml")
    assert adc("fit", "-c", path)[0] == 0
    return newest(tmp_path / "whole")


@pytest.mark.parametrize(
    "options",
    [["--trainer.max_steps", "3"], ["--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3"]],
)
def test_a_run_that_was_cut_short_is_not_finished(adc, recipe, run, whole, options):
    status, printed, complaint = adc("fit", "-c", recipe(), *options)
    assert status == 75, complaint
    assert f"adc: {run}: stopped at network 3 of 6; the same command resumes from" in complaint
    assert "is finished" not in printed and not (run / "finished.json").exists()
    status, _, complaint = adc("fit", "-c", recipe())
    assert status == 0, complaint
    assert same(newest(run), whole)


def test_time_that_is_up_is_no_end_either(adc, recipe, run):
    def endless(content):
        content["trainer"]["callbacks"][0]["init_args"]["updates"] = 1_000_000
        content["trainer"]["callbacks"].append({"class_path": "Export"})

    status, _, complaint = adc("fit", "-c", recipe(endless), "--trainer.max_time", "00:00:00:01")
    assert status == 75 and "of 1000000; the same command resumes from" in complaint
    assert not (run / "finished.json").exists() and not (run / "student.yaml").exists()


def test_a_trial_run_touches_nothing(adc, recipe, run):
    status, printed, complaint = adc("fit", "-c", recipe(), "--trainer.fast_dev_run", "2")
    assert status == 0, complaint
    assert "fast_dev_run: network 2 of 6; nothing was kept." in printed
    assert not run.exists()


def test_few_batches_an_epoch_are_other_batches_each_epoch(adc, recipe, run, whole):
    status, _, complaint = adc("fit", "-c", recipe(), "--trainer.limit_train_batches", "2")
    assert status == 0, complaint
    assert same(newest(run), whole)


def interrupted(adc, recipe, *options):
    """A run that ended at 4 of 6."""
    assert adc("fit", "-c", recipe(), "--trainer.max_steps", "4", *options)[0] == 75


def test_when_no_checkpoint_can_be_used_nothing_begins_and_nothing_goes(adc, recipe, run):
    interrupted(adc, recipe)
    files = sorted((run / "checkpoints").iterdir())
    for path in files:
        path.write_bytes(b"")
    status, _, complaint = adc("fit", "-c", recipe())
    assert status == 1
    assert "no checkpoint there can be used: 00000004.ckpt is empty; 00000002.ckpt is empty" in complaint
    assert sorted((run / "checkpoints").iterdir()) == files
    assert adc("fit", "-c", recipe(), "--restart")[0] == 0


def test_a_flipped_bit_is_named_and_the_good_checkpoint_used(adc, recipe, run, whole):
    interrupted(adc, recipe)
    path = run / "checkpoints" / "00000004.ckpt"
    content, harmed = torch.load(path, weights_only=True), bytearray(path.read_bytes())
    tensor = max(content["state_dict"].values(), key=torch.Tensor.numel)
    harmed[harmed.index(bytes(tensor.untyped_storage())) + 1] ^= 8
    path.write_bytes(harmed)
    status, printed, complaint = adc("fit", "-c", recipe())
    assert status == 0
    assert f"adc: warning: {path} is damaged: the checksum of" in complaint and "00000002.ckpt" in printed
    assert same(newest(run), whole)


def test_what_is_no_checkpoint_is_one_line(adc, recipe, tmp_path):
    torch.save([1], tmp_path / "other.ckpt")
    for command, option in (("fit", "--resume"), ("validate", "--checkpoint")):
        status, _, complaint = adc(command, "-c", recipe(), option, tmp_path / "other.ckpt")
        assert status == 2 and "Traceback" not in complaint
        assert f"{option}: {tmp_path / 'other.ckpt'} is no checkpoint of a stage." in complaint


def role(content):
    return content["model"]["init_args"]["roles"]["network"]


def test_a_new_rate_is_applied_said_and_noted(adc, recipe, run):
    interrupted(adc, recipe)
    key = "model.init_args.roles.network.optimizer.init_args.lr"
    status, _, complaint = adc("fit", "-c", recipe(lambda c: role(c)["optimizer"]["init_args"].update(lr=1e-5)))
    assert status == 0, complaint
    assert f"adc: changed from here on: {key}: 0.001 -> 1e-05" in complaint
    (group,) = newest(run)["optimizer_states"][0]["param_groups"]
    assert group["lr"] == 1e-5
    assert json.loads((run / "recipe.json").read_text())["changes"] == {"00000004": [f"{key}: 0.001 -> 1e-05"]}


def test_options_of_the_command_line_count_too(adc, recipe, run):
    interrupted(adc, recipe)
    option = "--model.init_args.roles.network.optimizer.init_args.weight_decay"
    status, _, complaint = adc("fit", "-c", recipe(), option, "0.1")
    assert status == 0 and "weight_decay: 0.0 -> 0.1" in complaint
    assert newest(run)["optimizer_states"][0]["param_groups"][0]["weight_decay"] == 0.1
    status, _, complaint = adc("fit", "-c", recipe(), option, "0.2")
    assert status == 2 and "was finished with other settings" in complaint and "0.1 -> 0.2" in complaint


def test_a_new_rate_scales_its_schedule(adc, recipe, run):
    def scheduled(content):
        role(content)["scheduler"] = {"class_path": "StepLR", "init_args": {"step_size": 3, "gamma": 0.1}}

    def slower(content):
        scheduled(content)
        role(content)["optimizer"]["init_args"]["lr"] = 1e-4

    assert adc("fit", "-c", recipe(scheduled), "--trainer.max_steps", "4")[0] == 75
    assert newest(run)["optimizer_states"][0]["param_groups"][0]["lr"] == pytest.approx(1e-4)
    assert adc("fit", "-c", recipe(slower))[0] == 0
    (group,) = newest(run)["optimizer_states"][0]["param_groups"]
    assert group["initial_lr"] == 1e-4 and group["lr"] == pytest.approx(1e-6)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: role(c).update(optimizer={"class_path": "SGD", "init_args": {"lr": 0.1}}), "optimizer.class_path"),
        (lambda c: role(c).update(scheduler={"class_path": "StepLR", "init_args": {"step_size": 3}}), "scheduler"),
        (lambda c: c["trainer"]["callbacks"].append({"class_path": "StudentEMA", "init_args": {"role": "network"}}),
         "trainer.callbacks.StudentEMA"),
        (lambda c: c.update(seed_everything=7), "seed_everything"),
    ],
)  # fmt: skip
def test_what_a_resumed_run_cannot_change_is_refused_by_its_key(adc, recipe, run, change, key):
    interrupted(adc, recipe)
    before = (run / "config.yaml").read_text()
    status, _, complaint = adc("fit", "-c", recipe(change))
    assert status == 2 and "Traceback" not in complaint, complaint
    assert key in complaint and "--restart" in complaint
    assert (run / "config.yaml").read_text() == before


def test_more_updates_are_simply_done(adc, recipe, run):
    interrupted(adc, recipe)
    status, _, complaint = adc(
        "fit", "-c", recipe(lambda c: c["trainer"]["callbacks"][0]["init_args"].update(updates=9))
    )
    assert status == 0 and "StopAfter.0.init_args.updates: 6 -> 9" in complaint
    assert json.loads((run / "finished.json").read_text())["updates"] == {"network": 9}


@pytest.mark.parametrize("key", ["optimizer", "scheduler"])
@pytest.mark.parametrize("value", ["os.system", "subprocess.getoutput"])
def test_a_recipe_calls_optimizers_and_schedules_only(adc, recipe, tmp_path, key, value):
    mark = tmp_path / "mark"
    argument = {"os.system": "command", "subprocess.getoutput": "cmd"}[value]
    hostile = {"class_path": value, "init_args": {argument: f"touch {mark}"}}
    status, _, complaint = adc("fit", "-c", recipe(lambda c: role(c).update({key: hostile})))
    assert status == 2 and "Traceback" not in complaint, complaint
    assert f"roles.network.{key}" in complaint
    assert not mark.exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c["trainer"]["callbacks"].pop(0), "trainer.callbacks: nothing ends this stage; add {class_path: St"),
        (lambda c: c["trainer"].update(min_steps=5), "trainer.min_steps: a stage ends after updates of a role"),
        (lambda c: c["trainer"].update(min_epochs=5), "trainer.min_epochs: a stage ends after updates of a role"),
    ],
)
def test_a_stage_that_cannot_end_is_refused_before_it_begins(adc, recipe, change, says):
    status, _, complaint = adc("fit", "-c", recipe(change))
    assert status == 2 and says in complaint and "Traceback" not in complaint


@pytest.mark.slow
def test_one_writer_at_a_time(adc, recipe, run):
    code = (
        f"import time; from adc import runs\nwith runs.writing({str(run)!r}): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        status, _, complaint = adc("fit", "-c", recipe())
        assert status == 1 and f"{run}: process {other.pid} on " in complaint and "writes there; wait" in complaint
        other.kill()
        other.wait()
    assert adc("fit", "-c", recipe())[0] == 0
    with runs.writing(run):
        pass


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_checkpoint_runs_nothing(adc, recipe, run, tmp_path, zipped):
    mark, path = tmp_path / "mark", run / "checkpoints" / "00000008.ckpt"
    interrupted(adc, recipe)
    torch.save({"state_dict": {}, "adc": Bomb(mark)}, path, _use_new_zipfile_serialization=zipped)
    for command, option in (("fit", "--resume"), ("validate", "--checkpoint")):
        status, _, complaint = adc(command, "-c", recipe(), option, path)
        assert status == 2 and f"{option}: {path} " in complaint and "Traceback" not in complaint
    status, printed, complaint = adc("fit", "-c", recipe())
    assert status == 0 and f"adc: warning: {path} " in complaint and "resuming from" in printed
    assert not mark.exists()
    torch.load(path.parent / "set_aside" / path.name, weights_only=False)
    assert mark.exists()


def test_downloaded_weights_are_read_as_data_everywhere():
    loads = [line for place in ("adc", "plugins", "tools") for line in _loads(ROOT / place)]
    assert loads and all("weights_only=True" in line or "allow_pickle=False" in line for line in loads), loads


def _loads(folder):
    files = (path for path in folder.rglob("*.py") if "testing" not in path.parts)
    lines = (line for path in files for line in path.read_text().splitlines())
    return [line for line in lines if "torch.load(" in line or "pickle.load" in line or "allow_pickle" in line]
