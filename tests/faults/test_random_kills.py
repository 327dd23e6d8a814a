"""Kills at random moments, start-up and writing included: the run ends as one that nobody disturbed."""

import random
import re
from collections import Counter
from pathlib import Path

import pytest
from harmed import PRUNE, TINY, TWO, run_ranks
from killed import compare, lengthened, overlay
from safetensors.torch import load_file

DEMO = TINY.parent / "demo"
OFTEN = {"trainer": {"callbacks+": [{"class_path": "SaveEvery", "init_args": {"role": "student", "updates": 4}}]}}


def interrupted(folder, prepare, run, kills, shares=None, ranks=1, limit=60):
    """Run a command undisturbed, then elsewhere with kills until it ends by itself; what became of each attempt.

    Args:
        folder: Where.
        prepare: Commands that come before.
        run: The command, given the run folder.
        kills: How many.
        shares: Each comes after a share of the undisturbed run's time between these; by default so soon that the run
            cannot end before the last one.
        ranks: Processes of a job, one of which is killed.
        limit: Seconds that a job may take.
    """
    draw, shares = random.Random(0), shares or (0, 1.5 / kills)
    jobs = {"whole": (ranks, run("whole"))}
    for number in range(kills):
        jobs[f"kill {number}"] = (ranks, run("killed"), [draw.randrange(ranks), draw.uniform(*shares)])
    jobs["last"] = (ranks, run("killed"))
    before = run_ranks(folder, {name: (1, argv) for name, argv in prepare.items()}, limit)
    assert all(ends[0]["status"] == 0 for ends in before.values()), before
    done = run_ranks(folder, jobs, limit)
    whole, last = done.pop("whole"), done.pop("last")
    assert [end["status"] for end in (*whole, *last)] == [0] * 2 * ranks, (whole, last)
    attempts = list(done.values())
    killed = sum(any(end["status"] == -9 for end in ends) for ends in attempts)
    assert killed >= min(kills, max(1, kills // 2)), attempts  # a machine that becomes faster ends before some
    print(f"{killed} of {kills} kills came before the end")
    return [*attempts, last]


def told(attempts):
    """From where attempts went on, None from the beginning; that no checkpoint was passed over."""
    outputs = [ends[0]["output"] for ends in attempts]
    assert not [output for output in outputs if "passed over" in output or "Traceback" in output], outputs
    found = [re.search(r"resuming from \S+/(\d+)\.ckpt", output) for output in outputs]
    starts = [int(match[1]) for match in found if match]
    assert starts == sorted(starts)
    print(f"{len(attempts) - 1} kills; went on from {len(set(starts))} checkpoints: {Counter(starts)}")
    return starts


@pytest.mark.slow
def test_one_process(tmp_path, long):
    """A distillation: a tiny one, or the demo's with its 900 updates."""
    recipes, kills = (DEMO, 100) if long else (TINY, 4)
    options = overlay(tmp_path / "often.yaml", OFTEN)
    options = options if long else lengthened(tmp_path / "length.yaml", 120, save=4, recipe="2_distill.yaml")
    attempts = interrupted(
        tmp_path,
        {
            "prune": ["prune", "-c", str(recipes / "0_prune.yaml")],
            "decoder": ["fit", "-c", str(recipes / "1_decoder.yaml")],
        },
        lambda run: ["fit", "-c", str(recipes / "2_distill.yaml"), *options, "--trainer.default_root_dir", run],
        kills,
        limit=3600 if long else 60,
    )
    assert told(attempts) or not long  # the few of the short form may all come before the first checkpoint
    kept = len(list((tmp_path / "whole" / "checkpoints").iterdir()))
    compare(tmp_path / "whole", tmp_path / "killed", kept=kept)


@pytest.mark.slow
def test_two_processes(tmp_path, long):
    """One of both is killed, whichever; weights to 1e-6."""
    options = lengthened(tmp_path / "length.yaml", 400 if long else 120, save=4)
    attempts = interrupted(
        tmp_path,
        {"prune": PRUNE},
        lambda run: ["fit", "-c", str(TINY / "1_decoder.yaml"), *options, *TWO, "--trainer.default_root_dir", run],
        20 if long else 2,
        (0, 0.15) if long else (0.25, 0.42),
        ranks=2,
        limit=600,
    )
    assert told(attempts) or not long  # the few of the short form may all come before the first checkpoint
    whole, killed = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "killed"))
    assert whole.keys() == killed.keys() and len(whole) > 4
    difference = max(float((whole[key] - killed[key]).abs().max()) for key in whole)
    print(f"largest difference of a weight: {difference}")
    assert difference <= 1e-6


PAIRS = {
    "preferences": {"count": 12, "candidates": 2, "shard": 2},
    "scorer": "TinyScorer",
    "restorer": {
        "class_path": "OneStepVideo",
        "init_args": {
            "denoiser": {"class_path": "TinyDenoiser", "init_args": {"width": 8}},
            "conditioner": "TinyConditioner",
        },
    },
    "data": {
        "class_path": "DegradedClips",
        "init_args": {"frames": 1, "size": 64, "batch_size": 2, "workers": 0, "degradation": "BicubicDown"},
    },
}
LATENTS = {
    "latents": {"count": 12, "shard": 2},
    "conditioner": "TinyConditioner",
    "data": PAIRS["data"],
}


@pytest.mark.slow
@pytest.mark.parametrize(("command", "recipe"), [("cache-preferences", PAIRS), ("cache-latents", LATENTS)])
def test_a_cache(tmp_path, long, command, recipe):
    """Its files are those of an undisturbed one, byte for byte; nothing half-written is left."""

    def run(folder):
        return [command, *overlay(tmp_path / f"{folder}.yaml", {**recipe, "folder": folder})]

    interrupted(tmp_path, {}, run, 20 if long else 3)
    names = [sorted(path.name for path in (tmp_path / folder).iterdir()) for folder in ("whole", "killed")]
    assert names[0] == names[1] and len(names[0]) > 6, names
    for name in names[0]:
        if Path(name).suffix == ".safetensors":
            whole, killed = ((tmp_path / folder / name).read_bytes() for folder in ("whole", "killed"))
            assert whole == killed, name
