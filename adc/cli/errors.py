"""One-line explanations of wrong recipes and command lines: where, what, and the way out."""

from __future__ import annotations

import difflib
import inspect
import re
import typing
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml

from adc import registry, renamed
from adc.components import imported_kinds

LIST_HINT = "`adc list` shows them all."


def root_cause(error: BaseException) -> BaseException:
    """The error of a constructor, without those that jsonargparse raises around it."""
    while error.__cause__ is not None and str(error).startswith("Does not validate against any of the Union"):
        error = error.__cause__
    return error


def explain(
    message: str,
    error: BaseException | None,
    recipes: Sequence[str],
    options: Sequence[str] = (),
    command: str = "the command",
) -> str:
    """One-line explanation of what is wrong with recipes (later ones win) or a command line.

    jsonargparse's message is explained by the causes of its error, which name keys and classes from the outside in.
    """
    keys, path, leaf = _context(message, error)
    text, token = _sentence(leaf, keys, path, recipes, options)
    if text is not None and not recipes:
        text = text.replace("the recipe needs", f"{command} needs", 1)
    if text is None and "<unicode string>" in leaf:
        return f"{' or '.join(recipes)} is no YAML: {' '.join(leaf.split())}"
    if text is None:
        return " ".join(leaf.split())
    lost = "; ".join(f"{plugin} did not load: {plugin.error}" for plugin in registry.broken()) if token else ""
    return f"{place(recipes, keys, token)}{text}{f' (plugin {lost})' if lost else ''}"


def place(recipes: Sequence[str], keys: Sequence[str], token: str | None) -> str:
    """``file:line: key: `` of a token below some keys, or just the keys, or nothing."""
    for recipe, path, line, value in _places(recipes):
        if value == token and _follows(keys, path):
            return f"{recipe}:{line}: {'.'.join(path)}: "
    if (held := _holding(recipes, keys, token)) is not None:
        recipe, path, line = held
        return f"{recipe}:{line}: {'.'.join(path)}: "
    return f"{'.'.join(keys)}: " if keys else ""


def place_of_value(recipes: Sequence[str], message: str) -> str:
    """Place in a recipe of the first file that a message names; empty if there is none, or the message has it."""
    found: list[tuple[int, int, str]] = []
    for recipe, path, line, value in _places(recipes):
        if message.startswith(f"{recipe}:"):
            return ""
        named = f"'{value}'" if path[-1] == "class_path" else value
        if ("/" in value or "." in value) and not re.fullmatch(r"[-+.\deE]+", value) and named in message:
            found.append((message.index(named), -len(named), f"{recipe}:{line}: {'.'.join(path)}: "))
    return min(found, key=lambda one: one[:2])[2] if found else ""


def place_of_constructor(recipes: Sequence[str], error: BaseException) -> str:
    """Place in a recipe of the component whose constructor raised an error, the outermost; empty if there is none."""
    step = error.__traceback__
    while step is not None:
        frame, step = step.tb_frame, step.tb_next
        cls = type(frame.f_locals.get("self"))
        for recipe, path, line, value in _places(recipes) if frame.f_code.co_name == "__init__" else ():
            if value in (cls.__name__, f"{cls.__module__}.{cls.__name__}"):
                keys = path[:-1] if path[-1] == "class_path" else path
                return f"{recipe}:{line}: {'.'.join(keys)}: {cls.__name__}"
    return ""


def _context(message: str, error: BaseException | None) -> tuple[list[str], str, str]:
    """The keys from the outside in, the innermost class path, and the innermost message."""
    keys: list[str] = []
    path = ""
    leaf = message
    while error is not None:
        leaf = str(error) or leaf
        if (key := re.match(r'Parser key "([^"]+)"', leaf)) and key[1] not in keys[-1:]:
            keys += key[1].split(".")
        if problem := re.match(r"Problem with given class_path '([^']+)'", leaf):
            path = problem[1]
        error = error.__cause__
    leaf = re.sub(r'^Parser key "[^"]+":\s*', "", leaf)
    leaf = re.sub(r"^Type .* expects a function or a callable class: ", "", leaf)
    return keys, path, leaf


def _sentence(
    leaf: str, keys: list[str], path: str, recipes: Sequence[str], options: Sequence[str]
) -> tuple[str | None, str | None]:
    """What is wrong, and the word of the recipe at fault."""
    cls = _import(path)
    if found := re.search(r"(?:Expected a dot import path string:|Unexpected import path format:) ?(\S*)", leaf):
        return _unknown_component(found[1], keys, cls), found[1]
    if found := re.search(r"Import path (\S+) does not correspond to a subclass of (\w+)", leaf):
        if new := renamed.component(found[1]):
            return renamed.sentence(_written(found[1], recipes), new), _written(found[1], recipes)
        return f"{found[1]} is no {found[2]}. {LIST_HINT}", found[1]
    if found := re.search(r"Multiple subclasses with name (\w+)\..*ambiguity: (.*?)\.?$", leaf):
        return f"more than one component is called {found[1]!r}; give its full path: {found[2]}.", found[1]
    if found := re.search(r"Expected an instantiatable class, but (\S+) is abstract", leaf):
        return f"{found[1]} is abstract; name one of its subclasses. {LIST_HINT}", found[1]
    if found := re.search(r"No module named '([^']+)'", leaf):
        if new := _moved(path):
            return renamed.sentence(path, new), path
        hint = f"install its package, or put its folder on {registry.PATH_VARIABLE}."
        return f"there is no module {found[1]!r}; {hint}", path
    if found := re.search(r"module '([^']+)' has no attribute '([^']+)'", leaf):
        if new := _moved(f"{found[1]}.{found[2]}"):
            return renamed.sentence(f"{found[1]}.{found[2]}", new), f"{found[1]}.{found[2]}"
        held = vars(import_module(found[1])).items()
        names = [name for name, value in held if inspect.isclass(value) or inspect.isfunction(value)]
        return f"module {found[1]!r} has no {found[2]!r}{_meant(found[2], names)}", f"{found[1]}.{found[2]}"
    if found := re.search(r"(?:Group '([^']+)' does not accept option|Option) '([^']+)'", leaf):
        steps = found[2].split(".")
        word = next((step for step in steps[:-1] if step in renamed.KEYS), steps[-1])
        return _unknown_key(found[1], word, _owner(recipes, keys, word) or cls, options), word
    if found := re.search(r"the following arguments are required: (.+)", leaf):
        cls = _needy(recipes, keys, found[1]) or cls
        owner = f"{cls.__name__} needs" if cls is not None else "the recipe needs"
        are = "are" if "," in found[1] else "is"
        return f"{owner} {found[1]}, which {are} not given.{_explain_hint(cls)}", None
    if found := re.search(r"Expected an? (.+)\. Got value: (.*)", leaf, re.DOTALL):
        if (new := renamed.VALUES.get(found[2])) and repr(new) in found[1]:
            return renamed.sentence(found[2], new), found[2]
        kind = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", found[1])
        kind = re.sub(r"typing\.Literal\[(.*)\]", r"one of \1", kind).replace("typing.", "")
        got = "null" if found[2] == "None" else repr(shorten(found[2]))
        return f"expected {kind}, got {got}.", found[2]
    if found := re.search(r"Not a valid subclass of (\w+)\. Got value: (.*)", leaf):
        hint = f"write {{class_path: NAME, init_args: {{...}}}} of a{'n' * (found[1][0] in 'AEIOU')} {found[1]}"
        return f"{shorten(found[2])!r} is no component; {hint}. {LIST_HINT}", None
    if found := re.search(r"Expected an import path or a subclass spec, but got (.*)", leaf, re.DOTALL):
        return f"expected {{class_path: NAME, init_args: {{...}}}}, got {shorten(found[1])!r}. {LIST_HINT}", found[1]
    if found := re.search(r"Unable to load config ['\"](.*)['\"]", leaf):
        return f"expected settings by name, or a file of them, got {shorten(found[1])!r}.", found[1]
    if found := re.match(r"'(\w+)' object has no attribute 'keys'", leaf):
        return f"expected settings by name, {{NAME: VALUE, ...}}, got a value of type {found[1]}.", None
    if found := re.search(r"unrecognized arguments: (.+)|(--print_shtab) is no longer", leaf):
        word = (found[1] or found[2]).split()[0].partition("=")[0]
        if word.endswith((".yaml", ".yml")) and "config" in options:
            return f"unknown argument {found[1]!r}; a recipe comes after -c: -c {word}", None
        return f"unknown argument {found[1] or found[2]!r}{_meant(word.lstrip('-'), options, '--')}", None
    return None, None


def _unknown_component(name: str, keys: list[str], cls: type | None) -> str:
    if new := renamed.component(name):
        return renamed.sentence(name, new)
    slot = _slot(cls, keys[-1]) if cls is not None and keys else []
    fitting = {found.__name__ for base in slot for found in registry.subclasses(base)}
    known = {component.name: component for component in registry.components(imported_kinds())}
    kinds = " or ".join(base.__name__ for base in slot)
    if name in known:
        takes = f"this key takes a {kinds}: {_some(fitting)}" if kinds else "this key takes none"
        return f"{name} is a {known[name].kind}; {takes}. {LIST_HINT}"
    near = difflib.get_close_matches(name, fitting, 3, 0.5) or difflib.get_close_matches(name, known, 3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"this key takes {_some(fitting)}." if fitting else ""
    return f"there is no component {name!r}; {hint} {LIST_HINT}{registry.PLUGINS_HINT}".replace("  ", " ")


def _moved(class_path: str) -> str | None:
    """The present name of a class that its module no longer has."""
    package, name = class_path.partition(".")[0], class_path.rpartition(".")[2]
    cls = resolve(renamed.component(class_path) or name)
    return f"{cls.__module__}.{cls.__name__}" if cls is not None and cls.__module__.split(".")[0] == package else None


def _written(class_path: str, recipes: Sequence[str]) -> str:
    """A class path as a recipe writes it: whole, or by its short name."""
    short = class_path.rpartition(".")[2]
    return short if any(value == short for *_, value in _places(recipes)) else class_path


def _unknown_key(group: str | None, word: str, cls: Any, options: Sequence[str]) -> str:
    if cls is not None and not inspect.isclass(cls):
        return unknown_key(cls, word, [*inspect.signature(cls).parameters])
    if cls is not None:
        from adc.cli.list import arguments_of

        return unknown_key(cls, word, [argument["name"] for argument in arguments_of(cls)])
    if group is not None:
        below = [option[len(group) + 1 :] for option in options if option.startswith(f"{group}.")]
        accepted = [name for name in below if "." not in name]
        owner = group
    else:
        accepted, owner = [option for option in options if "." not in option], "a recipe"
    return has_no(owner, word, accepted)


def unknown_key(component: Any, word: str, accepted: Sequence[str]) -> str:
    """What is wrong with a key that a class or a function does not take, and what it takes."""
    return has_no(component.__name__, word, accepted) + _explain_hint(component)


def has_no(owner: str, word: str, accepted: Sequence[str]) -> str:
    """What is wrong with a key that something does not take: its new name, the nearest ones, or all."""
    if new := renamed.key(word, accepted):
        return renamed.sentence(word, new)
    near = difflib.get_close_matches(word, accepted, 2)
    hint = f"did you mean {' or '.join(near)}?" if near else f"it takes {_some(accepted)}."
    return f"{owner} has no {word!r}; {hint}"


def _owner(recipes: Sequence[str], keys: Sequence[str], word: str) -> type | None:
    """The class whose ``init_args`` a recipe writes a key into."""
    for recipe in reversed(recipes):
        leaves = list(_leaves(recipe))
        for path, _, value in leaves:
            if value == word and path[-2:] == ["init_args", word] and _follows(keys, path):
                named = [
                    name for other, _, name in leaves if other == [*path[:-2], "class_path"] and name != "class_path"
                ]
                return resolve(named[0]) if named else None
    return None


def _needy(recipes: Sequence[str], keys: Sequence[str], word: str) -> Any:
    """The component below some keys of a recipe that is written without an argument."""
    for recipe in reversed(recipes):
        for path, node in _nodes(recipe):
            if keys and path[-1] == keys[-1] and _follows(keys, path) and isinstance(node, yaml.MappingNode):
                entries = {str(key.value): value for key, value in node.value}
                given = entries.get("init_args")
                held = [str(key.value) for key, _ in given.value] if isinstance(given, yaml.MappingNode) else []
                if "class_path" in entries and word not in held:
                    return resolve(str(entries["class_path"].value))
    return None


def resolve(name: str) -> Any:
    """The imported class, or function, of a class path or a short name; None if there is none, or more than one."""
    if "." in name:
        return _import(name)
    found = {cls for kind in imported_kinds() for cls in registry.subclasses(kind) if cls.__name__ == name}
    torch_own = [cls for cls in found if cls.__module__.startswith("torch.")]
    return next(iter(torch_own or found)) if len(found) == 1 or torch_own else None


def _slot(cls: type, key: str) -> list[type]:
    """The abstract classes of adc in the annotation of an argument."""
    try:
        annotation = typing.get_type_hints(cls.__init__).get(key)
    except (NameError, TypeError):
        return []
    found: list[type] = []
    waiting: list[Any] = [annotation]
    while waiting:
        kind = waiting.pop()
        waiting += typing.get_args(kind)
        if inspect.isclass(kind) and kind.__module__.startswith(("adc", "lightning", "torch")):
            found.append(kind)
    return found


def _places(recipes: Sequence[str]) -> Iterator[tuple[str, list[str], int, str]]:
    """File, path, line and word of every key and every scalar of recipes, the last one first."""
    return ((recipe, *leaf) for recipe in reversed(recipes) for leaf in _leaves(recipe))


def _holding(recipes: Sequence[str], keys: Sequence[str], text: str | None) -> tuple[str, list[str], int] | None:
    """File, path and line of the value below some keys that Python prints so; else of the only one that there is."""
    found = [
        (recipe, path, node)
        for recipe in reversed(recipes)
        for path, node in _nodes(recipe)
        if keys and path[-1].partition("[")[0] == keys[-1] and _follows(keys, path)
    ]
    fitting = [one for one in found if text is not None and str(value_of(one[2])) == text]
    if not fitting and len({".".join(path).partition("[")[0] for _, path, _ in found}) == 1:
        fitting = found
    return (fitting[0][0], fitting[0][1], fitting[0][2].start_mark.line + 1) if fitting else None


def value_of(node: yaml.Node) -> Any:
    """The plain data of a node of YAML."""
    return yaml.constructor.SafeConstructor().construct_object(node, deep=True)


def _nodes(recipe: str) -> Iterator[tuple[list[str], yaml.Node]]:
    """Every value of a YAML file and its path, from the outside in."""
    root = yaml.compose(Path(recipe).read_text(encoding="utf-8"))
    waiting: list[tuple[list[str], yaml.Node]] = [] if root is None else [([], root)]
    while waiting:
        path, node = waiting.pop(0)
        if path:
            yield path, node
        if isinstance(node, yaml.MappingNode):
            waiting += [([*path, str(key.value)], value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode) and path:
            waiting += [([*path[:-1], f"{path[-1]}[{i}]"], item) for i, item in enumerate(node.value)]


def _leaves(recipe: str) -> Iterator[tuple[list[str], int, str]]:
    """Path, line and word of every key and every scalar of a YAML file."""
    try:
        root = yaml.compose(Path(recipe).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return
    waiting: list[tuple[list[str], yaml.Node | None]] = [([], root)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield [*path, key.value], key.start_mark.line + 1, key.value
                waiting.append(([*path, key.value], value))
        elif isinstance(node, yaml.SequenceNode):
            waiting += [([*path[:-1], f"{path[-1] if path else ''}[{i}]"], item) for i, item in enumerate(node.value)]
        elif isinstance(node, yaml.ScalarNode) and path:
            yield path, node.start_mark.line + 1, node.value


def _follows(keys: Sequence[str], path: Sequence[str]) -> bool:
    """Whether the keys occur in the path, in their order."""
    steps = iter(step.partition("[")[0] for step in path)
    return all(key in steps for key in keys)


def _import(class_path: str) -> Any:
    module, _, name = class_path.rpartition(".")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        return None


def _meant(word: str, names: Sequence[str], prefix: str = "") -> str:
    near = difflib.get_close_matches(word, names, 2)
    return f"; did you mean {' or '.join(prefix + name for name in near)}?" if near else "."


def _explain_hint(cls: Any) -> str:
    """Where to read on, of what `adc list` knows."""
    return f" `adc list {cls.__name__}` explains it." if inspect.isclass(cls) else ""


def _some(names: Any, limit: int = 12) -> str:
    names = sorted(names)
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "") if names else "nothing"


def shorten(text: str, limit: int = 80) -> str:
    """A text in one line, cut at its end where it is longer."""
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."
