"""A null where nothing takes one is refused in one line; where one is taken it stays null."""

from dataclasses import dataclass
from typing import Any, Literal, Optional, TypeVar

import pytest
import yaml
from jsonargparse import ActionConfigFile

from adc.cli.nulls import admits_null
from adc.cli.parser import PARSER_OPTIONS, OneLineErrors

T = TypeVar("T")


class PartWithNulls:
    """What the options name."""


@dataclass
class Plain:
    """Fields of an option."""

    word: str = "a"
    other: str | None = None


class TakerOfNulls(PartWithNulls):
    """Takes one argument of each kind."""

    def __init__(
        self,
        text: str = "a",
        other: str | None = "a",
        either: int | str = 3,
        choice: Literal["a", "b"] = "a",
        late: int = None,  # noqa: RUF013
        names: dict[str, str] | None = None,
        parts: list[PartWithNulls] | None = None,
        plain: Plain = Plain(),  # noqa: B008
        anything: Any = 1,
    ) -> None:
        pass


@pytest.fixture
def parse(tmp_path, capsys):
    """Reads a recipe's part, or options; the arguments, or the complaint."""

    def run(given=None, *options):
        parser = OneLineErrors(prog="adc prune", **PARSER_OPTIONS)
        parser.add_argument("-c", "--config", action=ActionConfigFile)
        parser.add_argument("--title", type=str, default="x")
        parser.add_argument("--part", type=PartWithNulls)
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(given or {}))
        try:
            return parser.parse_args(["-c", str(path), *options])
        except SystemExit:
            complaint = capsys.readouterr().err
            assert complaint.count("\n") == 1 and complaint.startswith("adc: error: ")
            return complaint.removeprefix("adc: error: ").strip().replace(str(path), "recipe.yaml")

    return run


def part(**arguments):
    return {"part": {"class_path": "TakerOfNulls", "init_args": arguments}}


@pytest.mark.parametrize(
    ("arguments", "keys", "kind"),
    [
        ({"text": None}, "text", "str"),
        ({"either": None}, "either", "int or str"),
        ({"choice": None}, "choice", "one of 'a', 'b'"),
        ({"plain": {"word": None}}, "plain.word", "str"),
        ({"parts": [{"class_path": "TakerOfNulls", "init_args": {"text": None}}]}, "parts[0].init_args.text", "str"),
    ],
)
def test_a_null_that_is_refused(parse, arguments, keys, kind):
    complaint = parse(part(**arguments))
    assert complaint.startswith("recipe.yaml:") and complaint.endswith(
        f"part.init_args.{keys}: expected {kind}, got null."
    )


def test_nulls_of_options(parse):
    given = part(text="b")
    assert parse(given, "--part.text", "null").endswith("part.init_args.text: expected str, got null.")
    assert parse(None, "--part=TakerOfNulls", "--part.text=null") == "part.init_args.text: expected str, got null."
    assert parse({"title": None}) == "recipe.yaml:1: title: expected str, got null."
    complaint = parse(part(names={"a": None}))
    assert "names" in complaint and complaint.endswith("expected str, got null.")


def test_a_null_that_is_taken(parse):
    found = parse(part(other=None, late=None, names=None, parts=None, anything=None, plain={"other": None}))
    taken = found.part.init_args
    assert [taken[key] for key in ("other", "late", "names", "parts", "anything")] == [None] * 5
    assert taken.plain.other is None and parse().part is None


@pytest.mark.parametrize(
    ("kind", "admits"),
    [
        (str, False), (int | None, True), (Optional[str], True), (int | str, False), (Any, True), (T, True),  # noqa: UP045
        (Literal["a"], False), (Literal["a", None], True), (list[int | None], False), (None, True), (object, True),
    ],
)  # fmt: skip
def test_kinds_that_admit_null(kind, admits):
    assert admits_null(kind) is admits


def test_an_option_of_a_component_leaves_its_other_defaults_alone(adc, recipe, run):
    status, _, said = adc("fit", "-c", recipe(), "--model.init_args.network.init_args.width", "5", "--print_config")
    assert status == 0, said
    status, _, said = adc("fit", "-c", recipe(), "--model.init_args.accumulate", "null")
    assert status == 2 and "accumulate: expected int, got null" in said
