"""The house rules that a program can see: who may import whom, what stays light, what the wheel holds."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

PACKAGE = ROOT / "infoagent"
FLOORS = (
    "types logs address phases",
    "parsing",
    "files",
    "arguments store recipe_files shipped",
    "config progress mirror information rate_distortion costs grading structured",
    "pricing",
    "data",
    "baselines",
    "proposals",
    "recipes audit tracking records",
    "lm",
    "reward reporting integrations",
    "evaluation",
    "measurement training",
    "analysis",
    "applications",
    "cli",
)
"""Each floor's rooms import from the floors above it in this list, and from themselves."""
FLOOR_OF = {room: number for number, rooms in enumerate(FLOORS) for room in rooms.split()}
PURE = (
    "types",
    "address",
    "parsing",
    "information",
    "rate_distortion",
    "costs",
    "grading",
    "pricing",
    "audit",
    "config",
    "recipes",
    "records",
    "data",
    "files",
    "arguments",
    "recipe_files",
    "shipped",
    "store",
    "baselines",
    "proposals",
    "logs",
    "progress",
    "structured",
)


def room_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("infoagent."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.ImportFrom) and node.module == "infoagent":
            for alias in node.names:
                if alias.name != "__version__":
                    yield alias.name
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("infoagent."):
                    yield alias.name.split(".")[1]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_rooms_import_only_what_they_may(path):
    room = room_of(path)
    if room == "__init__":
        return
    wrong = {other for other in imports_of(path) if other != room and FLOOR_OF[other] >= FLOOR_OF[room]}
    assert not wrong, f"{room} imports {wrong}"


def modules_of(directory):
    """Dotted name → file, of every module of the package."""
    names = {p: ".".join(p.relative_to(directory.parent).with_suffix("").parts) for p in directory.rglob("*.py")}
    return {name.removesuffix(".__init__"): path for path, name in names.items()}


def imported_modules(path, modules):
    """What a file imports of the package, wherever the import stands: at the top, in a function, under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def circles_of(directory):
    """The files that import each other by some way: those that neither lead into a circle nor out of one go, until only
    circles are left."""
    modules = modules_of(directory)
    needs = {name: set(imported_modules(path, modules)) & set(modules) - {name} for name, path in modules.items()}
    while True:
        needs = {name: needed & set(needs) for name, needed in needs.items()}
        needed_by_some = set().union(*needs.values())
        circular = {name: needed for name, needed in needs.items() if needed and name in needed_by_some}
        if len(circular) == len(needs):
            return needs
        needs = circular


def test_no_two_files_import_each_other():
    """Not by any detour either. A deferred import that hides a circle is one all the same."""
    assert not circles_of(PACKAGE)


def test_a_hidden_circle_is_seen(tmp_path):
    package = tmp_path / "circular"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from circular import two\n")
    (package / "two.py").write_text("def late():\n    from circular.three import x\n")
    (package / "three.py").write_text("import circular.one\nx = 1\n")
    (package / "four.py").write_text("import circular.one\n")
    assert circles_of(package) == {
        "circular.one": {"circular.two"},
        "circular.two": {"circular.three"},
        "circular.three": {"circular.one"},
    }


def test_an_application_imports_no_other():
    for path in (PACKAGE / "applications").rglob("*/**/*.py"):
        own = path.relative_to(PACKAGE / "applications").parts[0]
        text = path.read_text()
        others = set(re.findall(r"infoagent\.applications\.(\w+)", text)) - {own}
        assert not others, f"{path} imports {others}"


IMPORTS = """
import importlib, pkgutil, sys
for room in sys.argv[1:]:
    module = importlib.import_module(f"infoagent.{room}")
    for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{module.__name__}."):
        importlib.import_module(found.name)
    heavy = {"torch", "transformers", "trl", "vllm", "wandb", "matplotlib"} & set(sys.modules)
    assert not heavy, f"{room} imports {sorted(heavy)}"
"""


def test_light_rooms_leave_torch_alone():
    """One process for all: what none of them has imported at the end, none of them imports by itself."""
    result = subprocess.run([sys.executable, "-c", IMPORTS, *PURE], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_texts_become_ids_in_one_place_only():
    """Where a tokenizer is called on its own, a document's control tokens are real ones."""
    # the last one cuts a document where its tokens end and keeps none of the ids
    allowed = {"control_tokens.py", "chat_template.py", "detokenization.py"}
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "train").rglob("*.py"), *(ROOT / "eval").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or path.name in allowed:
                continue
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            owner = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            encodes = called in ("tokenizer", "processing_class") and called != owner and not _is_pool(node)
            encodes |= called in ("encode", "encode_plus", "tokenize", "__call__") and "tokenizer" in owner
            encodes |= called in ("apply_chat_template", "batch_encode_plus")
            assert not encodes, f"{path}: line {node.lineno} calls a tokenizer; take text_ids or chat_ids"


def _is_pool(call):
    """`pool.tokenizer(section)` finds a tokenizer."""
    if not isinstance(call.func, ast.Attribute):
        return False
    owner = ast.unparse(call.func.value).split(".")[-1]
    return owner == "pool" or (owner == "self" and ast.unparse(call.args[0]) == "section")


def names_imported(source):
    """The top packages that a source imports, wherever the import stands; `from .train` is a module of the package's own."""
    nodes = list(ast.walk(ast.parse(source)))
    modules = [n.module or "" for n in nodes if isinstance(n, ast.ImportFrom) and not n.level]
    modules += [alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names]
    return {module.split(".")[0] for module in modules}


def test_scripts_import_from_the_package_only_and_nothing_imports_them():
    for script in [*(ROOT / "train").rglob("*.py"), *(ROOT / "eval").rglob("*.py")]:
        assert not names_imported(script.read_text()) & {"train", "eval"}, script
        limit = 110 if script.parent == ROOT / "train" else 150
        assert script.read_text().count("\n") <= limit, script
    for path in PACKAGE.rglob("*.py"):
        lines = path.read_text().count("\n")
        assert lines <= 400, f"{path}: {lines} lines, at most 400: give a part of it a file of its own"
        assert not names_imported(path.read_text()) & {"train", "eval"}, path
    assert names_imported("import train.grpo as g\ndef f():\n    from eval import frozen\nfrom .train import x\n") == {
        "train",
        "eval",
    }


def test_no_code_of_a_model_and_no_pickle_is_ever_read():
    """Every call that could run what a file holds says that it must not; transformers' are in one module."""
    keywords = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False), "LLM": ("trust_remote_code", False)}
    found = dict.fromkeys([*keywords, "Auto"], 0)
    for path in [*PACKAGE.rglob("*.py"), *(ROOT / "train").rglob("*.py"), *(ROOT / "eval").rglob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {node.module} if isinstance(node, ast.ImportFrom) else {alias.name for alias in node.names}
                allowed = {"pickle"} if path.name == "faults.py" else set()  # it names its error
                assert not (names & {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}) - allowed, path
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert isinstance(node.value, ast.Constant), f"{path}: line {node.value.lineno}"
                assert node.value.value is False, f"{path}: line {node.value.lineno}"
            if not isinstance(node, ast.Call):
                continue
            where, called = f"{path}: line {node.lineno}", ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if called in keywords:
                word, value = keywords[called]
                assert given.get(word) == str(value), f"{where}: {called} must be given {word}={value}"
                found[called] += 1
            owner, _, method = called.rpartition(".")
            assert called not in ("pipeline", "transformers.pipeline", "numpy.load"), where
            if method not in ("from_pretrained", "from_config") or owner in NO_CODE:
                continue
            assert path.name == "pretrained.py", f"{where}: {called}; take infoagent.lm.pretrained"
            assert given.get("trust_remote_code") == "False", where
            found["Auto"] += 1
    assert found["Auto"] >= 4
    assert found["np.load"] >= 1
    assert found["LLM"] == 1


NO_CODE = {"LoraConfig", "PeftModel", "Architecture"}
"""Whose from_pretrained or from_config reads settings and safetensors alone: adapters were checked to have them."""
