"""Commands that are killed and run again, and what their run folders must have in common: what such tests share."""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch
import yaml

HERE = Path(__file__).parent
TINY = HERE.parent / "recipes" / "tiny"


def adc(folder, jobs, *modules, timeout=300):
    """Run commands, by name, in a folder; what each said and how it ended."""
    environment = {**os.environ, "ADC_PLUGIN_PATH": str(HERE / "training" / "plugins"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(HERE / "forks.py"), json.dumps(list(jobs.values())), *modules]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return dict(zip(jobs, json.loads(done.stdout), strict=True))


def overlay(path, content):
    path.write_text(yaml.safe_dump(content))
    return ["-c", str(path)]


def killing(path, *callbacks):
    listed = [{"class_path": name, "init_args": arguments} for name, arguments in callbacks]
    return overlay(path, {"trainer": {"callbacks+": listed}})


def fit(name, folder, *options):
    return ["fit", "-c", str(TINY / name), *options, "--trainer.default_root_dir", folder]


def lengthened(path, updates, role="decoder", save=None, recipe="1_decoder.yaml"):
    """Options that make a tiny recipe so many updates long; it saves every so many of them if this is given."""
    listed = yaml.safe_load((TINY / recipe).read_text())["trainer"]["callbacks"]
    for callback in listed:
        if callback["class_path"] == "StopAfter":
            callback["init_args"]["updates"] = updates
        if callback["class_path"] == "SaveEvery" and save is not None:
            callback["init_args"]["updates"] = save
    schedule = f"--model.roles.{role}.scheduler.total_steps" if recipe == "1_decoder.yaml" else None
    return [*overlay(path, {"trainer": {"callbacks": listed}}), *([schedule, str(updates)] if schedule else [])]


def equal(one, other):
    """Whether two checkpoints say the same, bit by bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(equal(*pair) for pair in zip(one, other, strict=True))
    return one == other


def compare(whole, killed, data="DegradedClips", kept=2):
    """Two run folders hold the same checkpoints, so many, those of their data module too, and the same result."""
    names = [sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (whole, killed)]
    assert names[0] == names[1] and len(names[0]) == kept, names
    for name in names[0]:
        first, second = (torch.load(run / "checkpoints" / name, weights_only=True) for run in (whole, killed))
        for part in ("state_dict", "optimizer_states", "callbacks", "adc", data):
            assert equal(first[part], second[part]), part
    exported = [path.relative_to(whole) for path in whole.rglob("*.safetensors")]
    assert exported
    for path in exported:
        assert (whole / path).read_bytes() == (killed / path).read_bytes(), path
    updates = [json.loads((run / "finished.json").read_text())["updates"] for run in (whole, killed)]
    assert updates[0] == updates[1]
