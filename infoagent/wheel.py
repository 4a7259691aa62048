"""A step of the wheel's build (setuptools' `build_py`, named in pyproject.toml): what travels beside the package's modules.

`infoagent fit` runs the scripts of train/ and eval/ by their path, under a configuration of accelerate, from base recipes.
They stand at the top of the checkout and go to `infoagent/checkout/` in the wheel, where `infoagent.shipped` finds them.
An editable installation reads them where they are. Nothing of the package imports this file.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools.command.build_py import build_py

CARRIED = (
    "train/*.py",
    "eval/*.py",
    "eval/applications/*.py",
    "eval/bench/*.py",
    "eval/paper/*.py",
    "accelerate_configs/*.yaml",
    "configs/fit/*/*.yaml",
)
"""Patterns below the checkout."""
PLACE = Path("infoagent") / "checkout"


class BuildWithScripts(build_py):
    """The package's modules and data, and a copy of what CARRIED names."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._carried():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_source_files(self) -> list[str]:
        return [*super().get_source_files(), *(str(source) for source, _ in self._carried())]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        own = [] if self.editable_mode else [str(target) for _, target in self._carried()]
        return [*super().get_outputs(include_bytecode), *own]

    def _carried(self) -> list[tuple[Path, Path]]:
        """(file of the checkout, its place in the build), in order."""
        return [(source, Path(self.build_lib) / PLACE / source) for pattern in CARRIED for source in sorted(Path().glob(pattern))]
