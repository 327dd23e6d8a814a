"""docs/clusters.md and tools/slurm.sbatch: what they say runs, on stand-ins where it needs a cluster."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from adc import signals

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sections():
    parts = re.split(r"^## (.+)$", PAGE, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def desk(folder):
    """A folder with the recipes and the files that the page shows, and the programs of this environment."""
    (folder / "recipes").symlink_to(ROOT / "recipes")
    for language, text in BLOCK.findall(PAGE):
        if language == "yaml":
            name, _, content = text.partition("\n")
            (folder / name.removeprefix("# ")).write_text(content)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_the_commands_of_the_page_run(tmp_path):
    environment = desk(tmp_path)
    commands = [
        line.removeprefix("$ ").removeprefix("  ")
        for text in sections().values()
        for language, block in BLOCK.findall(text)
        if language == "console"
        for line in block.splitlines()
    ]
    assert len([command for command in commands if "adc fit" in command]) == 4
    ended = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, f"{ended.stdout[-3000:]}\n{ended.stderr[-4000:]}"
    assert "Traceback" not in ended.stderr
    for run in ("runs/tiny/1_decoder", "runs/nodes"):
        assert (tmp_path / run / "finished.json").exists(), run


def test_the_table_has_the_statuses():
    table = dict(re.findall(r"^\| (.+?) \|.*\| (\d+) \|$", sections()["How it stops"], re.MULTILINE))
    assert table["SIGTERM"] == str(signals.STATUS[signal.SIGTERM])
    assert table["Ctrl-C (SIGINT)"] == str(signals.STATUS[signal.SIGINT])
    (requeued,) = (status for what, status in table.items() if "SIGUSR1" in what)
    assert requeued == str(signals.STOPPED) == str(signals.STATUS[signal.SIGUSR1])


def test_files_that_the_page_names_exist():
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links
    for link in links:
        assert (ROOT / "docs" / link).exists(), link


TASK = """
trap 'echo USR1 >> got; sleep 0.3; exit 75' USR1
trap 'echo TERM >> got; sleep 0.3; exit 143' TERM
touch ready
for _ in $(seq 1000); do sleep 0.02; done
"""


@pytest.fixture
def job(tmp_path):
    """Starts tools/slurm.sbatch with stand-ins for SLURM's commands."""
    programs = {
        "srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"',
        "scontrol": 'echo "$@" >> asked',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "4242"}

    def run(task, number=None):
        process = subprocess.Popen(
            ["bash", str(ROOT / "tools" / "slurm.sbatch"), "bash", "-c", task], cwd=tmp_path, env=environment
        )
        if number:
            deadline = time.monotonic() + 30
            while not (tmp_path / "ready").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(number)
        process.wait(timeout=60)
        asked = tmp_path / "asked"
        return process.returncode, asked.read_text() if asked.exists() else ""

    return run


def test_a_job_that_is_stopped_before_its_limit_is_requeued(job, tmp_path):
    assert job(TASK, signal.SIGUSR1) == (75, "requeue 4242\n")
    assert (tmp_path / "got").read_text() == "USR1\n"


def test_a_job_that_is_preempted_saves_and_is_not_requeued_twice(job, tmp_path):
    assert job(TASK, signal.SIGTERM) == (143, "")
    assert (tmp_path / "got").read_text() == "TERM\n"


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_job_that_ends_by_itself_is_not_requeued(job, status):
    assert job(f"sleep 0.1; exit {status}") == (status, "")


def test_a_stage_that_stops_by_itself_is_requeued(job):
    assert job("exit 75") == (75, "requeue 4242\n")
