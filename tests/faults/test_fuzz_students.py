"""Student folders with bytes changed at random: one line that names the file, or the same student."""

import random

import pytest
import torch
from adc_tiny import TinyStudent

from adc.errors import describe
from adc.pruning import load_student, save_student

FILES = ("student.yaml", "structure.json", "model.safetensors")


def changed(content: bytes, chance: random.Random) -> bytes:
    """Bytes flipped, lost, doubled, zeroed or put in."""
    place, length = chance.randrange(len(content)), chance.choice((1, 1, 1, 4, 64))
    kind = chance.randrange(5)
    if kind == 0:
        return content[:place] + bytes([content[place] ^ (1 << chance.randrange(8))]) + content[place + 1 :]
    if kind == 1:
        return content[:place] + content[place + length :]
    if kind == 2:
        return content[:place] + content[place : place + length] + content[place:]
    if kind == 3:
        return content[:place] + bytes(len(content[place : place + length])) + content[place + length :]
    return content[:place] + bytes(chance.choices(range(256), k=length)) + content[place:]


def outcome(folder, whole):
    """The line of the error; empty if the student is the same, None if it is another one without a word."""
    try:
        found = load_student(str(folder))
    except Exception as error:
        return describe(error)
    same = type(found) is type(whole) and found.state_dict().keys() == whole.state_dict().keys()
    return (
        ""
        if same
        and all(
            torch.equal(a, b) for a, b in zip(found.state_dict().values(), whole.state_dict().values(), strict=True)
        )
        else None
    )


def test_changed_bytes(tmp_path, long):
    whole = TinyStudent(width=8)
    save_student(whole, tmp_path)
    contents = {name: (tmp_path / name).read_bytes() for name in FILES}
    for seed in range(2000 if long else 300):
        chance = random.Random(seed)
        name = chance.choice(FILES)
        (tmp_path / name).write_bytes(changed(contents[name], chance))
        says = outcome(tmp_path, whole)
        assert says is not None, f"{seed}: {name} is another student without a word"
        assert "ADC_DEBUG" not in says and "\n" not in says, f"{seed}: {name}: {says}"
        assert not says or any(file in says for file in FILES), f"{seed}: {name}: {says}"
        (tmp_path / name).write_bytes(contents[name])


@pytest.mark.parametrize("name", ["structure.json", "model.safetensors"])
def test_a_file_that_was_changed_on_purpose(tmp_path, name):
    save_student(TinyStudent(width=8), tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content + b"\n" if name.endswith("json") else content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(
        ValueError, match=rf"{name}: is damaged, .* delete crc32 in student\.yaml if the file was changed"
    ):
        load_student(str(tmp_path))
    lines = (tmp_path / "student.yaml").read_text().splitlines()
    (tmp_path / "student.yaml").write_text("\n".join(line for line in lines[: lines.index("crc32:")]))
    load_student(str(tmp_path))
