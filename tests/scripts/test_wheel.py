"""The wheel: what it holds, and a fit from where it is installed."""

import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from conftest import ROOT
from test_fit import QUIET, command


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: a build leaves files beside its source."""
    out = tmp_path_factory.mktemp("wheel")
    source = out / "source"
    for name in ("infoagent", "train", "eval", "tests", "configs", "accelerate_configs"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, capture_output=True)
    [built] = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_its_page_only(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert "infoagent/reporting/page.html" in names
    assert {n.split("/")[0].split("-")[0] for n in names} == {"infoagent"}
    carried = {n.removeprefix("infoagent/checkout/") for n in names if n.startswith("infoagent/checkout/")}
    wanted = [*(ROOT / "train").glob("*.py"), *(ROOT / "eval").rglob("*.py"), *(ROOT / "accelerate_configs").glob("*.yaml")]
    wanted = [f for f in wanted if ROOT / "eval" / "results" not in f.parents] + [*(ROOT / "configs" / "fit").rglob("*.yaml")]
    assert carried == {str(f.relative_to(ROOT)) for f in wanted}


def test_from_an_installed_wheel(wheel, tiny_dir, tmp_path):
    installed = tmp_path / "installed"
    install = ["install", "--quiet", "--no-deps", "--no-index", "--target", str(installed), str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, capture_output=True)
    result = subprocess.run(
        [sys.executable, *command(tiny_dir, tmp_path / "out"), "--dry-run"],
        cwd=tmp_path,
        env={**os.environ, **QUIET, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    carried = installed / "infoagent" / "checkout"
    for name in ("train/sft.py", "train/grpo.py", "eval/checkpoint.py", "accelerate_configs/cpu.yaml"):
        assert str(carried / name) in result.stdout
        assert (carried / name).read_bytes() == (ROOT / name).read_bytes()
    assert not (tmp_path / "out").exists()
