import ctypes

from adc.training import memory


def test_freed_memory_is_kept_where_there_is_glibc(monkeypatch):
    calls = []

    class Library:
        mallopt = staticmethod(lambda *arguments: calls.append(arguments))

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library)
    monkeypatch.setattr(memory.sys, "platform", "linux")
    memory.keep_freed_memory()
    assert {option for option, _ in calls} == {memory.MMAP_MAX, memory.TRIM_THRESHOLD, memory.TOP_PAD}


def test_elsewhere_nothing_happens(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    memory.keep_freed_memory()
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: 1 / 0)
    memory.keep_freed_memory()
