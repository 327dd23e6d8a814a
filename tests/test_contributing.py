"""Executes the pages of CONTRIBUTING.md: writes their files, runs their commands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")


def pages():
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {title: text for title, text in zip(parts[1::2], parts[2::2], strict=True) if title.startswith("Add a")}


def test_there_is_a_page_for_each():
    assert list(pages()) == ["Add a teacher", "Add a discriminator", "Add a stage"]


@pytest.mark.slow
@pytest.mark.parametrize("title", pages())
def test_a_page_works(title, tmp_path):
    commands = []
    for language, text in BLOCK.findall(pages()[title]):
        name = FILE.match(text)
        if language == "console":
            commands += [line.removeprefix("$ ") for line in text.splitlines()]
        elif name:
            target = tmp_path / name[1]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        else:
            assert language == "yaml", f"a block of {language} names no file:\n{text}"
    assert len(commands) >= 3
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {key: value for key, value in os.environ.items() if key != "ADC_PLUGIN_PATH"} | {"PATH": path}
    told = subprocess.run(
        ["bash", "-euc", "\n".join(commands)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, f"{told.stdout[-4000:]}\n{told.stderr[-4000:]}"
    assert "Traceback" not in told.stderr


def test_the_code_is_as_tidy_as_ours(tmp_path):
    for page in pages().values():
        for language, text in BLOCK.findall(page):
            if language == "python":
                compile(text, FILE.match(text)[1], "exec")
                assert max(map(len, text.splitlines())) <= 120
