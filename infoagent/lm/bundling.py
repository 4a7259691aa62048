"""Putting a checkpoint into the package: the adapter that comes along.

    python -m infoagent.lm.bundling CHECKPOINT --data "QED: text CC BY-SA 3.0" … --commands "python train/sft.py …" …

The adapter's tensors in bfloat16, PEFT's settings and this package's record without the paths of the machine that trained it, and the
card, with the commands that make it again, the data that it saw and their licences; no more than LIMIT_BYTES.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infoagent.arguments import Parser
from infoagent.files import read_json, write_json, write_text
from infoagent.lm import adapters
from infoagent.lm.adapters import ADAPTER_SETTINGS, ADAPTER_WEIGHTS, RECORD_FILE, adapter_base, check_checkpoint, read_record
from infoagent.lm.embedded import EMBEDDED
from infoagent.types import InputError

LIMIT_BYTES = 5_000_000
CARD = "README.md"


def bundle(checkpoint: str, data: Sequence[str], commands: Sequence[str]) -> Path:
    """Put `checkpoint` in the place of what the package holds for its base. `commands` make it again, and `data` are the sets
    that it was trained on, with their licences. Raises InputError for what is no adapter of ours, has no card, or takes more
    than LIMIT_BYTES."""
    import torch
    from safetensors.torch import load_file, save_file

    check_checkpoint(checkpoint)
    source, record, base = Path(checkpoint), read_record(checkpoint), adapter_base(checkpoint)
    if record is None or base not in EMBEDDED:
        raise InputError(f"{checkpoint}: was not trained here on an embedded model; it cannot come along")
    if not (source / CARD).is_file():
        raise InputError(f"{checkpoint}: has no card; write one with infoagent card {checkpoint}")
    target = adapters.BUNDLED / base
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as held:
        work = Path(held) / base
        work.mkdir()
        tensors = {name: t.to(torch.bfloat16).contiguous() for name, t in load_file(source / ADAPTER_WEIGHTS).items()}
        save_file(tensors, work / ADAPTER_WEIGHTS, metadata={"format": "pt"})
        write_json(work / ADAPTER_SETTINGS, {**read_json(source / ADAPTER_SETTINGS), "base_model_name_or_path": base})
        write_json(work / RECORD_FILE, record)
        write_text(work / CARD, (source / CARD).read_text(encoding="utf-8").rstrip() + _origin(data, commands))
        for file in work.iterdir():
            file.chmod(0o644)
        size = sum(file.stat().st_size for file in work.iterdir())
        if size > LIMIT_BYTES:
            raise InputError(
                f"{checkpoint}: takes {size:,} bytes in bfloat16, at most {LIMIT_BYTES:,} may come along; lower lora.r"
            )
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    return target


def _origin(data: Sequence[str], commands: Sequence[str]) -> str:
    made, seen = "\n".join(commands), "\n".join(f"- {line}" for line in data)
    return f"\n\n## How it was made\n\n```sh\n{made}\n```\n\n## Data it saw, and their licences\n\n{seen}\n"


def main(argv: list[str] | None = None) -> int:
    parser = Parser(prog="python -m infoagent.lm.bundling", description=__doc__)
    parser.add_argument("checkpoint", metavar="CHECKPOINT")
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="TEXT", help="each set that it was trained on, with its licence"
    )
    parser.add_argument("--commands", nargs="+", required=True, metavar="TEXT", help="what makes it again, a line each")
    arguments = parser.parse_args(argv)
    print(bundle(arguments.checkpoint, arguments.data, arguments.commands))
    return 0


if __name__ == "__main__":
    from infoagent.config import exit_code

    sys.exit(exit_code(main))
