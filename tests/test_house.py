"""The house rules that a program can see: who may import whom, what stays light, what the wheel holds."""

import ast
import re
import subprocess
import sys

import pytest
from conftest import ROOT

PACKAGE = ROOT / "infoagent"
FLOORS = (
    "types logs address",
    "parsing",
    "files",
    "arguments store",
    "config progress mirror information rate_distortion costs grading structured",
    "recipes audit tracking records",
    "data",
    "lm baselines",
    "reward reporting",
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
    "audit",
    "config",
    "recipes",
    "records",
    "data",
    "files",
    "arguments",
    "store",
    "baselines",
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


def test_scripts_import_from_the_package_only_and_nothing_imports_them():
    for script in [*(ROOT / "train").rglob("*.py"), *(ROOT / "eval").rglob("*.py")]:
        modules = {n.module or "" for n in ast.walk(ast.parse(script.read_text())) if isinstance(n, ast.ImportFrom)}
        assert not any(m.split(".")[0] in ("train", "eval") for m in modules)
        assert script.read_text().count("\n") <= 150, script
    for path in PACKAGE.rglob("*.py"):
        assert path.read_text().count("\n") <= 400, path


def test_the_wheel_holds_the_package_and_its_page_only(tmp_path):
    import shutil
    import zipfile

    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source / "infoagent", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    for name in ("train", "eval", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(source),
    ]
    subprocess.run(build, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    assert "infoagent/reporting/page.html" in names
    assert {n.split("/")[0].split("-")[0] for n in names} == {"infoagent"}


def test_no_code_of_a_model_and_no_pickle_is_ever_read():
    """Every call that could run what a file holds says that it must not; transformers' are in one module."""
    keywords = {
        "torch.load": ("weights_only", True),
        "np.load": ("allow_pickle", False),
        "LLM": ("trust_remote_code", False),
    }
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
