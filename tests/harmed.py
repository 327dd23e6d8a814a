"""Jobs of several ranks, what harms them and what they say: shared by tests of the heartbeat."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).parent
TINY = HERE.parent / "recipes" / "tiny"
TIMEOUT = 3.0
SLACK = 3.0  # for a busy machine; on an idle one it takes tenths of a second
TWO = ["--trainer.devices", "2", "--trainer.strategy", "ddp_find_unused_parameters_true"]
DIED = r"its process \(\d+\) has died"
SILENT = r"not heard of for 3 s: its process \(\d+\) is stopped, or the link to it is cut"
ENVIRONMENT = {**os.environ, "ADC_PLUGIN_PATH": str(HERE / "training" / "plugins"), "OMP_NUM_THREADS": "1"}
PRUNE = ["prune", "-c", str(TINY / "0_prune.yaml")]


def recipe(folder, name, *callbacks, **data):
    """The command that trains the tiny decoder with some callbacks more."""
    listed = [{"class_path": kind, "init_args": arguments} for kind, arguments in callbacks]
    overlay = folder / f"{name}.yaml"
    overlay.write_text(yaml.safe_dump({"trainer": {"callbacks+": listed}, "data": {"init_args": data}}))
    return ["fit", "-c", str(TINY / "1_decoder.yaml"), "-c", str(overlay), "--trainer.default_root_dir", name]


def run_ranks(folder, jobs, limit=60):
    """Run commands as jobs of some ranks (`ranks.py`); what became of each rank, the time since it was harmed too.

    A third item of a job is whom to kill, and when.
    """
    planned = [
        {"ranks": ranks, "argv": argv, **({"kill": kill[0]} if kill else {})} for ranks, argv, *kill in jobs.values()
    ]
    command = [sys.executable, str(HERE / "ranks.py"), json.dumps(planned), str(limit)]
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = dict(zip(jobs, json.loads(done.stdout), strict=True))
    for name, ends in results.items():
        harm = folder / name / "harm"
        for end in ends:
            if end["end"] is not None and harm.exists():
                end["seconds"] = end["end"] - float(harm.read_text().split()[0])
    return results


def lines(output):
    """What `adc` said, the host left out; nothing else may look like an error."""
    assert "Traceback" not in output and "GLHF" not in output, output
    return [re.sub(r"(rank \d) on \S+?(?=:| was)", r"\1", line) for line in output.splitlines() if "adc: " in line]


def family(process):
    """The processes below one, from /proc."""
    below = Path(f"/proc/{process}/task/{process}/children")
    own = [int(child) for child in below.read_text().split()] if below.exists() else []
    return own + [member for child in own for member in family(child)]


def alive(process):
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
