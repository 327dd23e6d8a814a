import errno
import os
import stat

import pytest

from adc.files import replacing


def test_a_file_is_replaced_whole(tmp_path):
    target = tmp_path / "new" / "a.json"
    with replacing(target) as scratch:
        assert scratch.parent == target.parent and scratch.suffix == ".json"
        scratch.write_text("1")
        assert not target.exists()
    assert target.read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["a.json"]


def test_an_error_leaves_the_old_content_and_nothing_else(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(RuntimeError), replacing(target) as scratch:
        scratch.write_text("half")
        raise RuntimeError
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_others_may_read_it_as_far_as_the_umask_allows(tmp_path):
    before = os.umask(0o022)
    try:
        with replacing(tmp_path / "a") as scratch:
            scratch.write_bytes(b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        RuntimeError("[enforce fail at inline_container.cc:671] . unexpected pos 768 vs 662"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_named_by_the_file(tmp_path, error):
    with pytest.raises(OSError, match="No space left on device") as raised, replacing(tmp_path / "a.ckpt"):
        raise error
    assert raised.value.filename == str(tmp_path / "a.ckpt") and raised.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone", "b.png"), OSError(errno.ECONNRESET, "reset")])
def test_other_errors_stay_as_they_are(tmp_path, error):
    with pytest.raises(OSError, match=r"gone|reset") as raised, replacing(tmp_path / "a.ckpt"):
        raise error
    assert raised.value is error
