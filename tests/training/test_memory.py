import subprocess
import sys

import pytest

from adc.training import memory

PROGRAM = """
import sys, resource, numpy
from adc.training.memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
numpy.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    numpy.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(how):
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc is Linux's")
def test_memory_that_was_freed_is_not_mapped_again():
    """128 MiB, ten times: without the setting each comes from the kernel anew, page by page."""
    assert page_faults("kept") * 20 < page_faults("given back")


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    monkeypatch.setattr(memory.ctypes, "CDLL", None)
    memory.keep_freed_memory()
