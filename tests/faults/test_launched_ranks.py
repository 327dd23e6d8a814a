"""Ranks that ``adc`` launches itself: none is left when one of them dies or stops."""

import re
import signal
import subprocess
import sys
import time

import pytest
from harmed import DIED, ENVIRONMENT, PRUNE, SILENT, SLACK, TIMEOUT, TWO, alive, family, lines, recipe, run_ranks


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    ("rank", "how", "status", "cause"),
    [(0, "kill", -signal.SIGKILL, f"rank 0: {DIED}"), (1, "stop", 1, f"rank 1: {SILENT}")],
)
def test_a_job_that_adc_launches_leaves_no_process(tmp_path, rank, how, status, cause):
    assert run_ranks(tmp_path, {"prune": (1, PRUNE)})["prune"][0]["status"] == 0
    argv = recipe(tmp_path, "run", ("Harm", {"rank": rank, "how": how}), ("Heartbeat", {"timeout": TIMEOUT}))
    with (tmp_path / "output").open("w") as output:
        command = [sys.executable, "-m", "adc", *argv, *TWO]
        job = subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=output, stderr=output)
        members = {job.pid}
        while job.poll() is None:
            members.update(family(job.pid))
            time.sleep(0.05)
        end = time.monotonic()
    while any(map(alive, members)) and time.monotonic() < end + 2:
        time.sleep(0.05)
    # a rank may have children of its own for a moment
    assert len(members) >= 2 and not [member for member in members if alive(member)]
    assert job.returncode == status
    assert end - float((tmp_path / "run" / "harm").read_text().split()[0]) < (0 if how == "kill" else TIMEOUT) + SLACK
    (line,) = lines((tmp_path / "output").read_text())
    assert re.fullmatch(f"adc: error: {cause}", line), line
