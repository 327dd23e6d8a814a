"""Runs commands of `adc` one after the other, each as the ranks of a job, all forked from this process.

``python ranks.py JOBS [LIMIT]``: JOBS is a JSON list of ``{"ranks": ..., "argv": [...], "kill": [RANK, SHARE]}``.
The last is optional: that rank is killed after that share of the time that the first job took, and 20 s later the
others are, as launchers do. Prints a JSON list with
a list of ``{"status": ..., "output": ..., "end": ...}`` for each job, one for each rank: a status below 0 is the signal
that ended it, "alive" one that had not ended after LIMIT seconds, 60 by default; "end" is its time on the monotonic
clock. A rank that is stopped is continued once the others have ended. Every process imports everything once.
"""

import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback


def become(rank, ranks, port, argv, output):
    """What a forked rank does."""
    os.setpgid(0, 0)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    status = 70
    try:
        if ranks > 1:
            where = {"LOCAL_RANK": rank, "NODE_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
            os.environ.update({name: str(value) for name, value in where.items()})
        from adc.cli import main

        main(argv)
    except SystemExit as leave:
        status = leave.code or 0
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def run(ranks, argv, limit, kill=None):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outputs = [tempfile.TemporaryFile() for _ in range(ranks)]  # noqa: SIM115
    running = {}
    for rank, output in enumerate(outputs):
        child = os.fork()
        if child == 0:
            become(rank, ranks, port, argv, output)
        running[child] = rank
    ends = {rank: {"status": "alive", "end": None} for rank in range(ranks)}
    stopped = set()
    start = time.monotonic()
    while running and time.monotonic() < start + limit:
        if kill is not None and time.monotonic() > start + kill[1]:
            os.kill(next(child for child, rank in running.items() if rank == kill[0]), signal.SIGKILL)
            kill, limit = None, kill[1] + 20.0
        child, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED)
        if child and os.WIFSTOPPED(status):
            stopped.add(child)
        elif child:
            ends[running.pop(child)] = {"status": os.waitstatus_to_exitcode(status), "end": time.monotonic()}
        elif set(running) == stopped and stopped:
            for waiting in stopped:
                os.kill(waiting, signal.SIGCONT)
            stopped.clear()
        time.sleep(0.02)
    for child in running:
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for rank, output in enumerate(outputs):
        output.seek(0)
        ends[rank]["output"] = output.read().decode()
    return [ends[rank] for rank in range(ranks)]


if __name__ == "__main__":
    from adc.cli import train

    train.load_components(training=True)
    limit = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    done, whole = [], 0.0
    for job in json.loads(sys.argv[1]):
        rank, share = job.pop("kill", (None, None))
        begin = time.monotonic()
        done.append(run(**job, limit=limit, kill=None if share is None else (rank, share * whole)))
        whole = whole or time.monotonic() - begin
    print(json.dumps(done))
