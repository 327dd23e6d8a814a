"""The rules of the house, read off the source: imports go down only, heavy libraries are lazy, files are small."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = (
    {"registry", "errors", "files", "memory", "progress", "renamed", "signals", "weights"},
    {"ops"},
    {"interfaces"},
    {"vgg16"},
    {"losses", "metrics", "degradation", "pruning", "media", "runs", "recipe_files", "components"},
    {"data", "training", "inference"},
    {"exporting", "teacher_cache", "testing"},
    {"evaluation", "stages"},
    {"projects"},
    {"cli"},
    {"__main__"},
)
FOR_PLUGINS = (
    FLOORS[1]
    | FLOORS[2]
    | FLOORS[3]
    | FLOORS[4] - {"media", "runs", "recipe_files", "components"}
    | {"testing", "weights", "errors"}
)
HEAVY = {
    "diffusers", "transformers", "peft", "lpips", "pyiqa", "torch_pruning", "spandrel", "torchvision", "skimage",
    "matplotlib", "av", "onnx", "onnxruntime", "onnxscript", "cv2", "scipy",
}  # fmt: skip
TRAINING = {"lightning", "pytorch_lightning", "jsonargparse"}
BETWEEN_PLUGINS = {("adc_video", "adc_sd21"), ("adc_wan", "adc_sd21")}
LONGEST = 400
NO_PART = {"", "__version__"}


@dataclass(frozen=True)
class Import:
    """An import statement: what, where, and whether it runs when the file is imported."""

    module: str
    line: int
    at_once: bool

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]

    @property
    def part(self) -> str:
        """The part of adc that it is from, for one ``ops``; empty for adc itself and for others."""
        return self.module.split(".")[1] if self.module.startswith("adc.") else ""


def imports_of(file: Path, package: str) -> list[Import]:
    return list(_walk(ast.parse(file.read_text()), package, at_once=True))


def _walk(node: ast.AST, package: str, at_once: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for name in child.names:
                yield Import(name.name, child.lineno, at_once)
        elif isinstance(child, ast.ImportFrom):
            home = package.split(".")[: len(package.split(".")) - child.level + 1] if child.level else []
            module = ".".join([*home, *([child.module] if child.module else [])])
            for name in child.names if module == "adc" else [None]:
                yield Import(module if name is None else f"adc.{name.name}", child.lineno, at_once)
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_for_types(child)
        yield from _walk(child, package, at_once and not later)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def floor_of(part: str) -> int:
    for number, parts in enumerate(FLOORS, start=1):
        if part in parts:
            return number
    raise ValueError(f"adc/{part} is on no floor; add it to FLOORS")


def part_of(file: Path, root: Path) -> str:
    return file.relative_to(root / "adc").parts[0].removesuffix(".py")


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.py"))


def package_of(file: Path, top: Path) -> str:
    return ".".join(file.parent.relative_to(top).parts)


def core(root: Path) -> Iterator[tuple[Path, str, list[Import]]]:
    for file in files(root / "adc"):
        if (part := part_of(file, root)) != "__init__":
            yield file, part, imports_of(file, package_of(file, root))


def plugins(root: Path) -> Iterator[tuple[Path, str, list[Import]]]:
    for file in files(root / "plugins"):
        name = file.relative_to(root / "plugins").parts[0].removesuffix(".py")
        yield file, name, imports_of(file, package_of(file, root / "plugins"))


def imports_go_down(root: Path) -> Iterator[str]:
    for file, part, found in core(root):
        for step in found:
            if step.part in NO_PART:
                continue
            if step.part != part and floor_of(step.part) >= floor_of(part):
                yield f"{file}:{step.line}: {part} (floor {floor_of(part)}) imports {step.module}"


def plugins_know_their_floors(root: Path) -> Iterator[str]:
    names = {name for _, name, _ in plugins(root)}
    for file, name, found in plugins(root):
        for step in found:
            if step.part not in FOR_PLUGINS | NO_PART:
                yield f"{file}:{step.line}: a plugin imports {step.module}"
            if step.top in names - {name} and (name, step.top) not in BETWEEN_PLUGINS:
                yield f"{file}:{step.line}: {name} imports {step.top}"


def core_knows_no_plugin(root: Path) -> Iterator[str]:
    names = {name for _, name, _ in plugins(root)}
    for file, _, found in core(root):
        for step in found:
            if step.top in names:
                yield f"{file}:{step.line}: adc imports {step.module}"


def heavy_libraries_are_lazy(root: Path) -> Iterator[str]:
    for file, _, found in (*core(root), *plugins(root)):
        for step in found:
            if step.at_once and step.top in HEAVY:
                yield f"{file}:{step.line}: {step.module} is imported when the file is"


def notebooks_need_no_lightning(root: Path) -> Iterator[str]:
    low = [item for item in core(root) if floor_of(item[1]) <= 5]
    for file, _, found in (*low, *plugins(root)):
        for step in found:
            if step.top in TRAINING:
                yield f"{file}:{step.line}: {step.module} below floor 6"


def low_floors_need_little(root: Path) -> Iterator[str]:
    for file, part, found in core(root):
        allowed = {"registry": set(), "interfaces": {"torch"}, "ops": {"torch"}}.get(part)
        for step in found:
            if allowed is not None and step.top not in allowed | {"adc"} and step.top not in sys.stdlib_module_names:
                yield f"{file}:{step.line}: {part} imports {step.module}"


def stages_are_apart(root: Path) -> Iterator[str]:
    stages = {
        f"adc.stages.{file.stem}"
        for file in files(root / "adc/stages")
        if re.search(r"^class \w+\([^)]*\b\w*Stage\b", file.read_text(), re.MULTILINE)
    }
    for file, part, found in core(root):
        for step in found:
            if part == "stages" and file.name != "__init__.py" and step.module in {*stages, "adc.stages"}:
                yield f"{file}:{step.line}: a stage imports {step.module}"


def nothing_below_imports_the_command_line(root: Path) -> Iterator[str]:
    for file, part, found in (*core(root), *plugins(root)):
        for step in found:
            if step.part == "cli" and part not in {"cli", "__main__"}:
                yield f"{file}:{step.line}: imports {step.module}"


def functions_at_the_top_hide_no_package(root: Path) -> Iterator[str]:
    top = root / "adc/__init__.py"
    names = re.findall(r'^    "(\w+)": "adc\.', top.read_text() if top.exists() else "", re.MULTILINE)
    for name in names:
        if (root / "adc" / name).is_dir() or (root / "adc" / f"{name}.py").exists():
            yield f"{top}: adc.{name} is a function and a module"


def modules_import_no_circle(root: Path) -> Iterator[str]:
    """Modules that wait for each other while they are imported; what a function imports later does not count."""
    modules: dict[str, Path] = {}
    for file in files(root / "adc"):
        parts = file.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    needs = {name: {*_needed_at_once(file, root, modules)} - {name} for name, file in modules.items()}
    while free := [name for name, needed in needs.items() if not needed & {*needs}]:
        for name in free:
            del needs[name]
    while circular := [name for name in needs if not any(name in needed for needed in needs.values())]:
        for name in circular:
            del needs[name]  # it only leads to a circle
    if needs:
        yield f"a circle of imports: {', '.join(sorted(needs))}"


def _needed_at_once(file: Path, root: Path, modules: dict[str, Path]) -> Iterator[str]:
    package = package_of(file, root)
    for node in _statements(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in modules)
            continue
        home = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        module = ".".join([*home, *([node.module] if node.module else [])])
        for name in node.names:
            inner = f"{module}.{name.name}"
            yield from [inner] if inner in modules else [module] if module in modules else []


def _statements(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports that run when a file is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not (isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_for_types(child)):
            yield from _statements(child)


def files_are_small(root: Path) -> Iterator[str]:
    for file in files(root / "adc"):
        lines = len(file.read_text().splitlines())
        if lines > LONGEST:
            yield f"{file}: {lines} lines, more than {LONGEST}"


RULES = (
    imports_go_down,
    plugins_know_their_floors,
    core_knows_no_plugin,
    heavy_libraries_are_lazy,
    notebooks_need_no_lightning,
    low_floors_need_little,
    stages_are_apart,
    nothing_below_imports_the_command_line,
    functions_at_the_top_hide_no_package,
    modules_import_no_circle,
    files_are_small,
)


@pytest.mark.parametrize("rule", RULES)
def test_the_house_keeps(rule):
    assert list(rule(ROOT)) == []


def test_the_house_is_read():
    assert len(list(core(ROOT))) > 30
    assert {"adc_tiny", "adc_spandrel"} <= {name for _, name, _ in plugins(ROOT)}
    assert sum(len(found) for _, _, found in core(ROOT)) > 200


BREACHES = [
    (imports_go_down, "adc/ops/a.py", "from adc.metrics import psnr_y"),
    (imports_go_down, "adc/ops/a.py", "def f():\n    from adc import losses"),
    (imports_go_down, "adc/losses/a.py", "import adc.metrics.fidelity"),
    (imports_go_down, "adc/training/a.py", "from ..data import clips"),
    (imports_go_down, "adc/interfaces/a.py", "import adc.cli"),
    (plugins_know_their_floors, "plugins/adc_a/x.py", "from adc.training import Stage"),
    (plugins_know_their_floors, "plugins/adc_a/x.py", "from adc import registry"),
    (plugins_know_their_floors, "plugins/adc_a/x.py", "import adc_b"),
    (core_knows_no_plugin, "adc/cli/a.py", "def f():\n    import adc_b.x"),
    (heavy_libraries_are_lazy, "adc/losses/a.py", "import lpips"),
    (heavy_libraries_are_lazy, "adc/losses/a.py", "try:\n    import torchvision.ops\nfinally:\n    pass"),
    (heavy_libraries_are_lazy, "plugins/adc_a/x.py", "class A:\n    import diffusers"),
    (notebooks_need_no_lightning, "adc/pruning/a.py", "def f():\n    import lightning.pytorch"),
    (notebooks_need_no_lightning, "plugins/adc_a/x.py", "import jsonargparse"),
    (low_floors_need_little, "adc/registry.py", "def f():\n    import torch"),
    (low_floors_need_little, "adc/ops/a.py", "import numpy"),
    (stages_are_apart, "adc/stages/a.py", "from adc.stages.b import B"),
    (files_are_small, "adc/ops/a.py", "x = 1\n" * 401),
    (nothing_below_imports_the_command_line, "adc/inference/a.py", "def f():\n    from adc.cli.parser import explain"),
    (nothing_below_imports_the_command_line, "plugins/adc_a/x.py", "from adc import cli"),
    (functions_at_the_top_hide_no_package, "adc/__init__.py", '_HOMES = {\n    "ops": "adc.ops.b",\n}'),
    (modules_import_no_circle, "adc/ops/b.py", "from adc.ops import b2"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "source"), BREACHES)
def test_a_breach_is_found(rule, name, source, tmp_path):
    for other in ("adc/ops/b.py", "adc/stages/views.py", "plugins/adc_b/x.py"):
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).write_text("import torch\n")
    (tmp_path / "adc/stages/b.py").write_text("class B(Stage):\n    pass\n")
    (tmp_path / "adc/ops/b2.py").write_text("from adc.ops.b import b\n")
    assert list(rule(tmp_path)) == []
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text(source)
    assert len(list(rule(tmp_path))) == 1


ALLOWED = [
    (imports_go_down, "adc/metrics/a.py", "import adc.metrics.b\nimport adc.ops.clip\nfrom adc import __version__"),
    (plugins_know_their_floors, "plugins/adc_video/x.py", "import adc_sd21\nfrom adc.testing import check_teacher"),
    (heavy_libraries_are_lazy, "adc/losses/a.py", "if TYPE_CHECKING:\n    import lpips\ndef f():\n    import lpips"),
    (stages_are_apart, "adc/stages/a.py", "from adc.stages.views import Views"),
    (modules_import_no_circle, "adc/ops/a.py", "def f():\n    from adc.ops import a\nimport adc.ops.a"),
    (stages_are_apart, "adc/stages/__init__.py", "from adc.stages.b import B"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "name", "source"), ALLOWED)
def test_what_is_allowed_is_not_found(rule, name, source, tmp_path):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).write_text(source)
    if rule is stages_are_apart:
        (tmp_path / "adc/stages/b.py").write_text("class B(Stage):\n    pass\n")
    assert list(rule(tmp_path)) == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["fitt"]])
def test_the_command_answers_without_torch(arguments):
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "adc", *arguments], capture_output=True, text=True, check=False
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.stderr.splitlines() if "|" in line}
    assert "adc" in imported
    assert not imported & {"torch", "lightning", "numpy", "jsonargparse", "rich", *HEAVY}
    assert "Traceback" not in told.stderr
