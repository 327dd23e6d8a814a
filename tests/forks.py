"""Runs commands of `adc` one after the other, each in a process of its own that has everything imported.

``python forks.py JOBS MODULE...``: JOBS is a JSON list of command lines; modules are imported before all of them.
Prints a JSON list of ``{"status": ..., "output": ...}``; a status below 0 is the signal that ended the process.
"""

import json
import os
import sys
import tempfile
import traceback
from importlib import import_module


def run(argv):
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            status = 70
            try:
                from adc.cli import main

                main(argv)
            except SystemExit as leave:
                status = leave.code or 0
            except BaseException:
                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return {"status": status, "output": output.read().decode()}


if __name__ == "__main__":
    from adc.cli import train

    train.load_components(training=True)
    for module in sys.argv[2:]:
        import_module(module)
    print(json.dumps([run(argv) for argv in json.loads(sys.argv[1])]))
