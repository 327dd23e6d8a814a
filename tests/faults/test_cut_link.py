"""A job on two hosts whose link is cut ends on both, and goes on when the link is back."""

import os
import re
import shutil
import subprocess
import sys
import time

import pytest
from harmed import ENVIRONMENT, PRUNE, SILENT, TIMEOUT, TWO, alive, family, recipe, run_ranks


@pytest.fixture
def link():
    """Two network namespaces with a link between them; skips where they may not be made."""
    sides = [f"adc{os.getpid()}{side}" for side in "ab"]

    def ip(*words):
        done = subprocess.run(["ip", *words], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"ip {' '.join(words)}: {done.stderr.strip()}")

    if shutil.which("ip") is None or shutil.which("unshare") is None:
        pytest.skip("needs ip (iproute2) and unshare (util-linux)")
    try:
        for side in sides:
            ip("netns", "add", side)
        ip("link", "add", "link0", "netns", sides[0], "type", "veth", "peer", "name", "link0", "netns", sides[1])
        for number, side in enumerate(sides, start=1):
            ip("-n", side, "address", "add", f"10.77.0.{number}/24", "dev", "link0")
            ip("-n", side, "link", "set", "lo", "up")
            ip("-n", side, "link", "set", "link0", "up")
        yield sides, lambda state: ip("-n", sides[0], "link", "set", "link0", state)
    finally:
        for side in sides:
            subprocess.run(["ip", "netns", "delete", side], capture_output=True)


def on_two_hosts(sides, folder, argv):
    """A rank of a job in each namespace, as ``torchrun`` starts it; the processes and the files of their output."""
    started = []
    for number, side in enumerate(sides):
        where = ["--nnodes", "2", "--node-rank", str(number), "--master-addr", "10.77.0.1", "--master-port", "29577"]
        torchrun = [sys.executable, "-m", "torch.distributed.run", *where, "--nproc-per-node", "1", "-m", "adc", *argv]
        named = ["unshare", "--uts", "sh", "-c", f'hostname host{number}; exec "$@"', "sh", *torchrun]
        path = folder / f"output-{number}-{time.monotonic()}"
        with path.open("w") as output:
            environment = {**ENVIRONMENT, "GLOO_SOCKET_IFNAME": "link0", "TP_SOCKET_IFNAME": "link0"}
            command = ["ip", "netns", "exec", side, *named]
            process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
        started.append((process, path))
    return started


@pytest.mark.slow
def test_a_cut_link_ends_both_sides_and_the_job_goes_on_later(link, tmp_path):
    sides, set_link = link
    jobs = run_ranks(tmp_path, {"prune": (1, PRUNE), "whole": (2, recipe(tmp_path, "whole") + TWO)})
    assert [end["status"] for ends in jobs.values() for end in ends] == [0, 0, 0], jobs
    two = ["--trainer.devices", "1", "--trainer.num_nodes", "2", *TWO[2:]]
    harm = ("Harm", {"rank": 1, "how": "step", "batch": 14, "seconds": 1.0})
    started = on_two_hosts(sides, tmp_path, recipe(tmp_path, "run", harm, ("Heartbeat", {"timeout": TIMEOUT})) + two)
    marker = tmp_path / "run" / "harm"
    try:
        while not marker.exists():
            assert all(process.poll() is None for process, _ in started), [path.read_text() for _, path in started]
            time.sleep(0.05)
        ranks = [member for process, _ in started for member in family(process.pid)]
        set_link("down")
        cut = time.monotonic()
        while any(map(alive, ranks)) and time.monotonic() < cut + TIMEOUT + 2:
            time.sleep(0.05)
        assert not [member for member in ranks if alive(member)]
    finally:
        for process, _ in started:
            process.kill()
            process.wait()
        set_link("up")
    for other, (_, path) in enumerate(started):
        said = [line for line in path.read_text().splitlines() if line.startswith("adc: error: ")]
        assert len(said) == 1 and re.fullmatch(f"adc: error: rank {1 - other} on host{1 - other}: {SILENT}", said[0]), (
            said
        )

    started = on_two_hosts(sides, tmp_path, recipe(tmp_path, "run", ("Heartbeat", {"timeout": TIMEOUT})) + two)
    assert [process.wait(120) for process, _ in started] == [0, 0], [path.read_text() for _, path in started]
    assert "resuming from run/checkpoints/00000012.ckpt" in started[0][1].read_text()
    whole, resumed = (tmp_path / run / "model.safetensors" for run in ("whole", "run"))
    assert whole.read_bytes() == resumed.read_bytes()
