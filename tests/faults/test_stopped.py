"""A stage that signals stop, wherever they arrive, ends as one that nobody disturbed: weights and curves."""

import json
from pathlib import Path

import pytest
import torch
from killed import TINY, adc, equal, fit, killing, overlay
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

SHORT = {
    "model": {"init_args": {"accumulate": 2, "adversarial_start": 4}},
    "data": {"init_args": {"workers": 1, "validation_limit": 3}},
    "trainer": {"val_check_interval": 5, "log_every_n_steps": 5},
}
STOP = {"class_path": "StopAfter", "init_args": {"role": "decoder", "updates": 9}}
SIGNALS = {
    "when a validation is due": (4, "SIGUSR1", "step", 75),
    "in the middle of accumulation": (6, "SIGTERM", "step", 143),
    "one interrupt": (11, "SIGINT", "step", 130),
    "in a validation": (15, "SIGTERM", "validation", 143),
    "in the last batch": (17, "SIGUSR1", "step", 75),
    "in the last validation": (18, "SIGINT", "validation", 130),
}
SLURM = {
    "SLURM_NTASKS": "1",
    "SLURM_NTASKS_PER_NODE": "1",
    "SLURM_JOB_NAME": "adc",
    "SLURM_JOB_ID": "4242",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
    "SLURM_NNODES": "1",
}


def signals(path, *calls, **more):
    return killing(
        path, *[("Signal", {"batch": batch, "name": name, "place": place, **more}) for batch, name, place in calls]
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same stage undisturbed; stopped by each signal and begun again; interrupted twice; without checkpoints."""
    folder = tmp_path_factory.mktemp("runs")
    short = [*overlay(folder / "short.yaml", SHORT), "--trainer.callbacks+", json.dumps(STOP)]
    often = signals(folder / "often.yaml", *[signal[:3] for signal in SIGNALS.values()])
    twice = signals(folder / "twice.yaml", (3, "SIGINT", "step"), times=2)
    unsaved = {"trainer": {"callbacks": [STOP, {"class_path": "Signal", "init_args": {"batch": 3}}]}}
    jobs = {
        "prune": ["prune", "-c", str(TINY / "0_prune.yaml")],
        "whole": fit("1_decoder.yaml", "whole", *short),
        "twice": fit("1_decoder.yaml", "twice", *short, *twice),
        "unsaved": fit("1_decoder.yaml", "unsaved", *short, *overlay(folder / "unsaved.yaml", unsaved)),
    }
    for attempt in [*SIGNALS, "finished"]:
        jobs[attempt] = fit("1_decoder.yaml", "stopped", *short, *often)
    ended = adc(folder, jobs)
    usr1 = signals(folder / "usr1.yaml", (7, "SIGUSR1", "step"))
    clustered = {
        "before": fit("1_decoder.yaml", "slurm", *short, *usr1),
        "after": fit("1_decoder.yaml", "slurm", *short, *usr1),
        "restarted": fit("1_decoder.yaml", "restarted", *short, "--restart"),
    }
    (folder / "restarted").mkdir()
    (folder / "restarted" / "hpc_ckpt_1.ckpt").write_text("what Lightning's requeue left in an older run")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SLURM.items():
            patch.setenv(name, value)
        return folder, ended | adc(folder, clustered)


def told(run):
    assert run["status"] >= 0, run["output"]
    return run["status"], [line for line in run["output"].splitlines() if line.startswith("adc:")]


def curves(run):
    """Every value of the log at its step, those of the clock left out."""
    events = EventAccumulator(str(run / "logs"))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if tag != "epoch"
    }


@pytest.mark.slow
@pytest.mark.parametrize("when", SIGNALS)
def test_a_signal_stops_it_with_a_status_and_one_line(runs, when):
    batch, name, place, status = SIGNALS[when]
    batches = batch + (place == "step")
    line = f"adc: stopped by {name} at decoder {batches // 2} of 9, saved in stopped/checkpoints/{batches:08d}.ckpt"
    assert told(runs[1][when]) == (status, [f"{line}; the same command goes on."])


@pytest.mark.slow
def test_the_same_command_ends_as_an_undisturbed_run(runs):
    folder, jobs = runs
    assert [jobs[name]["status"] for name in ("prune", "whole", "finished")] == [0, 0, 0], jobs
    newest = "checkpoints/00000018.ckpt"
    first, second = (torch.load(folder / name / newest, weights_only=True) for name in ("whole", "stopped"))
    for part in ("state_dict", "optimizer_states", "adc", "DegradedClips"):
        assert equal(first[part], second[part]), part
    assert equal(first["callbacks"]["StudentEMA"], second["callbacks"]["StudentEMA"])
    assert (folder / "whole/model.safetensors").read_bytes() == (folder / "stopped/model.safetensors").read_bytes()
    assert curves(folder / "stopped") == curves(folder / "whole")
    assert len(curves(folder / "whole")["validation/psnr_y"]) == 4


@pytest.mark.slow
def test_inside_slurm_it_is_the_same(runs):
    folder, jobs = runs
    line = "adc: stopped by SIGUSR1 at decoder 4 of 9, saved in slurm/checkpoints/00000008.ckpt"
    assert told(jobs["before"]) == (75, [f"{line}; the same command goes on."])
    assert jobs["after"]["status"] == 0, jobs["after"]
    assert not list((folder / "slurm").rglob("hpc*"))
    assert (folder / "whole/model.safetensors").read_bytes() == (folder / "slurm/model.safetensors").read_bytes()


@pytest.mark.slow
def test_inside_slurm_no_checkpoint_of_a_requeue_is_loaded(runs):
    folder, jobs = runs
    assert jobs["restarted"]["status"] == 0, jobs["restarted"]
    assert (folder / "whole/model.safetensors").read_bytes() == (folder / "restarted/model.safetensors").read_bytes()


@pytest.mark.slow
def test_a_second_interrupt_ends_it_at_once(runs):
    status, lines = told(runs[1]["twice"])
    assert (status, len(lines)) == (130, 1)
    assert "adc: stopped; the same command starts over" in lines[0]
    assert not Path(runs[0], "twice", "checkpoints").exists()


@pytest.mark.slow
def test_without_checkpoints_it_says_that_nothing_was_saved(runs):
    status, lines = told(runs[1]["unsaved"])
    assert status == 143
    assert lines == [
        "adc: stopped by SIGTERM at decoder 2 of 9; nothing was saved, since the recipe has no SaveEvery, and the same "
        "command starts over."
    ]
