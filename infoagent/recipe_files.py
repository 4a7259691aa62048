"""Recipe files: YAML read strictly, and what a recipe takes over from the file that it extends.

extends: shared/full.yaml          # relative to this file
negatives: {random: 19}            # mappings are merged, key by key
predictors: []                     # anything else takes the other's place
compressors: [lead 1, oracle 1]    # in a list, a text stands for the other list's item of that label (or name)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from infoagent.parsing import DEPTH
from infoagent.types import InputError

RECIPE_BYTES = 256 * 1024
"""Of a recipe file: PyYAML reads some 50 kB a second."""
NODES = 10_000
"""Keys and values of a recipe, what an alias names counted wherever it is named."""
LONGEST_PLAIN = 100
"""Characters of a number, a date or a true without quotes; whatever is longer is a string."""
CHAIN = 5
"""Recipe files of which each extends the next."""


class _Beyond(yaml.YAMLError):
    """A limit was passed; the message says which."""


class _StrictLoader(yaml.SafeLoader):
    """YAML 1.2 floats, and an error where a key stands twice, and where a limit is passed."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.composed = self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.composed += 1
        self.depth += 1
        if self.depth > DEPTH:
            raise _Beyond(f"nested deeper than {DEPTH} levels")
        if self.composed > NODES:
            raise _Beyond(f"holds more than {NODES} keys and values")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0] and len(value) > LONGEST_PLAIN:
            return "tag:yaml.org,2002:str"
        return str(super().resolve(kind, value, implicit))

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | type(None)):
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is no name", None)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice (line {line}); keep one", None)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


_FLOAT = re.compile(r"^[-+]?(\d[\d_]*(?:\.[\d_]*)?([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\.(inf|Inf|INF))$|^\.(nan|NaN|NAN)$")
# PyYAML follows YAML 1.1, in which 1e-5 is a string. Integers keep their own, earlier rule.
_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in rules if tag != "tag:yaml.org,2002:float"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def _read(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(RECIPE_BYTES + 1)
        if len(content) > RECIPE_BYTES:
            raise InputError(f"{file}: holds more than {RECIPE_BYTES // 1024} KiB, which no recipe does")
        return content.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 at byte {error.start}; save the file as UTF-8") from error


def parse_yaml(text: str, where: str) -> Any:
    try:
        loader = _StrictLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _nodes(node, where, {}) > NODES:
            raise InputError(f"{where}: holds more than {NODES} keys and values, once its aliases are written out")
        return loader.construct_document(node)
    except _Beyond as error:
        raise InputError(f"{where}: {error}") from error
    except yaml.YAMLError as error:
        detail = " ".join(str(error).split())
        raise InputError(f"{where}: not valid YAML: {shortened(detail)}") from error
    # a tag such as !!int or !!timestamp on what is none, a 13th month
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError) as error:
        if isinstance(error, InputError):
            raise
        detail = " ".join(str(error).split())
        raise InputError(f"{where}: holds a value that its tag does not fit: {shortened(detail)}") from error


def shortened(text: str, characters: int = 300) -> str:
    """`text` cut to what one line of an error holds."""
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _nodes(node: yaml.Node, where: str, known: dict[int, int]) -> int:
    """How many nodes `node` is, its aliases written out; `known` holds those counted, 0 while one is."""
    if id(node) in known:
        if not known[id(node)]:
            raise InputError(f"{where}: an alias names what it stands in; write the value out")
        return known[id(node)]
    known[id(node)] = 0
    inner = node.value if isinstance(node, yaml.CollectionNode) else []
    pairs = [part for held in inner for part in (held if isinstance(held, tuple) else (held,))]
    known[id(node)] = 1 + sum(_nodes(part, where, known) for part in pairs)
    return known[id(node)]


def _unshared(value: Any) -> Any:
    """A copy in which what YAML aliases name twice stands twice: an override then changes the place that it names."""
    if isinstance(value, dict):
        return {k: _unshared(v) for k, v in value.items()}
    return [_unshared(v) for v in value] if isinstance(value, list) else value


def recipe_content(path: str | Path) -> dict[str, Any]:
    """What a recipe file holds, its `extends` resolved. Raises InputError for a file that is missing or no mapping."""
    file = Path(path)
    if not _is_file(file):
        raise InputError(f"{file}: no such recipe file; give the path of a YAML file, see configs/")
    return _resolved(file, ())


def _is_file(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:  # a name beyond what the file system takes
        return False


def _resolved(file: Path, before: tuple[Path, ...]) -> dict[str, Any]:
    """The content of `file`, laid over that of the file it extends; `before` are those that led here."""
    content = _unshared(parse_yaml(_read(file), str(file)) or {})
    if not isinstance(content, dict):
        raise InputError(f"{file}: a recipe is a mapping of keys to values, this file holds a {type(content).__name__}")
    if "extends" not in content:
        return content
    named = content.pop("extends")
    where = f"{file}: extends = {shortened(repr(named), 80)}"
    if not isinstance(named, str) or not named:
        raise InputError(f"{where}: must be the path of a recipe, relative to this file")
    base, chain = file.parent / named, (*before, file.resolve())
    if not _is_file(base):
        raise InputError(f"{where}: no such recipe file; the path is relative to {file.parent}")
    if base.resolve() in chain:
        raise InputError(f"{where}: comes back to a file that it extends; take one of the keys out")
    if len(chain) == CHAIN:
        raise InputError(f"{where}: more than {CHAIN} files extend each other; put what they share into one")
    return dict(_over(content, _resolved(base, chain), (), (str(file), str(base))))


def laid_over(content: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """`content` over `base`, as a recipe lies over the one that it extends."""
    return dict(_over(content, base, (), ("the recipe", "the one it extends")))


def _over(content: Any, base: Any, at: tuple[str, ...], files: tuple[str, str]) -> Any:
    """`content` of the first file laid over `base` of the second, both at the keys `at`."""
    if isinstance(content, dict) and isinstance(base, dict):
        merged = {k: _over(v, base[k], (*at, str(k)), files) if k in base else v for k, v in content.items()}
        return {**base, **merged}
    if isinstance(content, list) and isinstance(base, list):
        labelled = {_label(item): item for item in base if _label(item) is not None}
        return _picked(content, labelled, at, files) if labelled else content
    return content


def _picked(content: list[Any], labelled: dict[Any, Any], at: tuple[str, ...], files: tuple[str, str]) -> list[Any]:
    """The items of `content`, a text replaced by the item of that label. Raises InputError for an unknown label, and for
    one that stands twice, every one at once."""
    texts = [item for item in content if isinstance(item, str)]
    where, known = f"{files[0]}: {'.'.join(at)}", ", ".join(map(str, labelled))
    mistakes = [
        f"{where}: {shortened(repr(text), 80)} is no label in {files[1]}; there are: {shortened(known, 1000)}"
        for text in texts
        if text not in labelled
    ]
    mistakes += [f"{where}: {text!r} stands twice; keep one" for text in dict.fromkeys(texts) if texts.count(text) > 1]
    if mistakes:
        raise InputError(mistakes)
    return [labelled[item] if isinstance(item, str) else item for item in content]


def _label(item: Any) -> Any:
    """What an item of a list is called."""
    called = item.get("label", item.get("name")) if isinstance(item, dict) else None
    return called if isinstance(called, str) else None
