"""adc fit: the run folder, resuming, finishing, stopping."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml

import adc.cli.train  # noqa: F401 (its loggers must not hold the captured stream of one test)
from adc import __version__, registry, runs
from adc.training.checkpoint import AtomicCheckpointIO

TRAINER = Path(__file__).parents[2] / "recipes" / "trainer"


def weights(run):
    newest = sorted((run / "checkpoints").glob("[0-9]*.ckpt"))[-1]
    state = torch.load(newest, weights_only=True)["state_dict"]
    return {key: tensor for key, tensor in state.items() if key.startswith("network.")}


def test_a_run_leaves_its_folder(adc, recipe, run):
    status, printed, _ = adc("fit", "-c", recipe())
    assert status == 0
    assert "is finished after" in printed
    told = json.loads((run / "finished.json").read_text())
    assert told["updates"] == {"network": 6}
    assert told["batches"] == 6
    assert told["version"] == __version__
    assert told["seconds"] > 0
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["00000004.ckpt", "00000006.ckpt"]
    assert list((run / "logs").glob("events*"))
    assert not list(run.rglob("*.partial"))


def test_the_saved_recipe_is_complete_and_can_be_run(adc, recipe, run):
    adc("fit", "-c", recipe(), "--model.init_args.network.init_args.width", "5", "--restart")
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["model"]["init_args"]["network"] == {
        "class_path": "adc_tiny.TinyStudent",
        "init_args": {"width": 5, "channels": 8, "depth": 1},
    }
    assert saved["trainer"]["use_distributed_sampler"] is False
    assert saved["trainer"]["max_epochs"] == -1
    assert not {"resume", "restart", "config"} & set(saved)
    before = weights(run)
    assert adc("fit", "-c", run / "config.yaml", "--restart")[0] == 0
    assert yaml.safe_load((run / "config.yaml").read_text()) == saved
    assert all(torch.equal(before[key], tensor) for key, tensor in weights(run).items())


def test_finished_is_skipped_and_another_recipe_refused(adc, recipe, run):
    adc("fit", "-c", recipe())
    told = (run / "finished.json").read_text()
    status, printed, _ = adc("fit", "-c", recipe())
    assert status == 0
    assert "is finished (network 6); --restart trains it again" in printed
    assert (run / "finished.json").read_text() == told
    other = recipe(lambda c: c.update(seed_everything=7))
    status, _, complaint = adc("fit", "-c", other)
    assert status == 2
    assert "was finished with another recipe; --restart" in complaint
    assert adc("fit", "-c", other, "--restart")[0] == 0
    assert (run / "finished.json").read_text() != told


def test_comments_and_overlaid_trainers_are_no_other_recipe(recipe, tmp_path):
    one = Path(recipe())
    machine = tmp_path / "machine.yaml"
    machine.write_text("trainer: {devices: 2}\n")
    two = tmp_path / "two.yaml"
    two.write_text("# why\n" + one.read_text())
    assert runs.digest([one]) == runs.digest([two]) == runs.digest([one, machine])
    machine.write_text("seed_everything: 3\n")
    assert runs.digest([one]) != runs.digest([one, machine])


def test_resume_takes_the_newest_whole_checkpoint(adc, recipe, run):
    adc("fit", "-c", recipe())
    whole = weights(run)
    (run / "finished.json").unlink()
    newest = run / "checkpoints" / "00000006.ckpt"
    newest.write_bytes(newest.read_bytes()[:1000])
    status, printed, complaint = adc("fit", "-c", recipe())
    assert status == 0
    assert f"adc: warning: {newest} is cut short, or no checkpoint and is passed over" in complaint
    assert "resuming from" in printed
    assert "00000004.ckpt" in printed
    assert weights(run).keys() == whole.keys()
    assert json.loads((run / "finished.json").read_text())["updates"] == {"network": 6}


def test_checkpoints_are_written_atomically(adc, recipe, monkeypatch):
    written = []
    save = AtomicCheckpointIO.save_checkpoint
    monkeypatch.setattr(AtomicCheckpointIO, "save_checkpoint", lambda *a, **k: written.append(save(*a, **k)))
    assert adc("fit", "-c", recipe())[0] == 0
    assert len(written) >= 3


def test_never_resume(adc, recipe, run):
    adc("fit", "-c", recipe())
    (run / "finished.json").unlink()
    status, printed, _ = adc("fit", "-c", recipe(), "--resume", "never")
    assert status == 0
    assert "resuming" not in printed


def test_seconds_of_all_attempts_add_up(run):
    runs.write_json(run / "attempts.json", [10.0, 5.0])
    stopwatch = runs.Stopwatch(run)
    assert stopwatch.seconds == pytest.approx(15.0, abs=0.5)
    stopwatch.note()
    noted = json.loads((run / "attempts.json").read_text())
    assert noted[:2] == [10.0, 5.0]
    assert len(noted) == 3


def test_validate_measures_the_newest_checkpoint(adc, recipe):
    measured = recipe(lambda c: c["trainer"].update(limit_val_batches=1))
    status, _, complaint = adc("validate", "-c", measured)
    assert status == 2
    assert "holds no checkpoint; name one" in complaint
    assert adc("validate", "-c", measured, "--checkpoint", "none")[0] == 0
    adc("fit", "-c", measured)
    status, printed, _ = adc("validate", "-c", measured)
    assert status == 0
    assert "psnr_y" in printed


def test_print_config_trains_nothing(adc, recipe, run):
    status, printed, _ = adc("fit", "-c", recipe(), "--print_config")
    assert status == 0
    assert "class_path: adc_tiny.TinyStudent" in printed
    assert not run.exists()


@pytest.mark.parametrize("overlay", sorted(path.name for path in TRAINER.glob("*.yaml")))
def test_overlays_of_machines_are_accepted(adc, recipe, overlay):
    status, printed, complaint = adc("fit", "-c", recipe(), "-c", TRAINER / overlay, "--print_config")
    assert status == 0, complaint
    wanted = yaml.safe_load((TRAINER / overlay).read_text())
    assert set(wanted) == {"trainer"}
    trainer = yaml.safe_load(printed)["trainer"]
    for key, value in wanted["trainer"].items():
        assert trainer[key].items() >= value.items() if isinstance(value, dict) else trainer[key] == value


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_and_the_same_command_goes_on(recipe, run, adc, number, status):
    def slow(content):
        content["model"]["class_path"] = "SlowRegression"
        content["trainer"]["callbacks"][0]["init_args"]["updates"] = 100_000

    process = subprocess.Popen(
        [sys.executable, "-m", "adc", "fit", "-c", recipe(slow)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell's background jobs ignore interrupts
    )
    deadline = time.monotonic() + 300
    while (
        not list((run / "checkpoints").glob("[0-9]*.ckpt")) and process.poll() is None and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    process.send_signal(number)
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == status, complaint
    assert "adc: stopped by" in complaint
    assert "Traceback" not in complaint
    assert not (run / "finished.json").exists()
    assert registry.PATH_VARIABLE in os.environ
    last = int(sorted((run / "checkpoints").glob("[0-9]*.ckpt"))[-1].stem)
    done, printed, complaint = adc(
        "fit",
        "-c",
        recipe(slow),
        "--trainer.callbacks",
        f"[{{class_path: StopAfter, init_args: {{role: network, updates: {last + 1}}}}}]",
    )
    assert done == 0, complaint
    assert f"resuming from {run}/checkpoints/{last:08d}.ckpt" in printed
    assert json.loads((run / "finished.json").read_text())["updates"] == {"network": last + 1}
