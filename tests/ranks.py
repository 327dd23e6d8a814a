"""Runs commands of `adc` one after the other, each as the ranks of a job, all forked from this process.

``python ranks.py JOBS``: JOBS is a JSON list of ``{"ranks": ..., "argv": [...]}``. Prints a JSON list with a list of
``{"status": ..., "output": ..., "end": ...}`` for each job, one for each rank: a status below 0 is the signal that
ended it, "alive" one that had not ended after a minute; "end" is its time on the monotonic clock. A rank that is
stopped is continued once the others have ended. Every process imports everything once.
"""

import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback

LIMIT = 60.0


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


def run(ranks, argv):
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
    limit = time.monotonic() + LIMIT
    while running and time.monotonic() < limit:
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
    print(json.dumps([run(**job) for job in json.loads(sys.argv[1])]))
