"""train/grpo.py on the command line's arguments, with an eye on this process: WATCH_DIR/rows-RANK.jsonl says what every
call of the reward saw and gave, WATCH_DIR/writes-RANK.txt which files under the output directory it wrote.

With BELIEF=alone the trainer is told that it is not on the CPU, and DeepSpeed's processes no longer find each other.
"""

import functools
import json
import os
import runpy
import sys
from pathlib import Path

import safetensors.torch
import torch
import trl

RANK, WATCH = os.environ.get("RANK", "0"), Path(os.environ["WATCH_DIR"])
OUT = next(a.split("=", 1)[1] for a in sys.argv if a.startswith("output_dir="))


def write_down(path):
    if str(path).startswith(OUT):
        with (WATCH / f"writes-{RANK}.txt").open("a") as stream:
            stream.write(os.path.relpath(path, OUT) + "\n")


def on_audit(event, arguments):
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, str | os.PathLike) and flags & (os.O_WRONLY | os.O_RDWR):
            write_down(path)
    elif event in ("os.mkdir", "os.remove", "os.rmdir"):
        write_down(arguments[0])
    elif event == "os.rename":
        write_down(arguments[1])


def watch(module, name, place):
    """Note the path that the function writes to: compiled code opens files without an audit event."""
    plain = getattr(module, name)

    @functools.wraps(plain)
    def watched(*arguments, **more):
        write_down(arguments[place])
        return plain(*arguments, **more)

    for holder in list(sys.modules.values()):  # whoever took it by name before: a process of tests/warm.py has all imported
        for key, held in list(getattr(holder, "__dict__", {}).items()):
            if held is plain:
                setattr(holder, key, watched)


sys.addaudithook(on_audit)
watch(torch, "save", 1)
watch(safetensors.torch, "save_file", 1)

from infoagent.reward.mi_reward import MIReward  # noqa: E402, only now: others import save_file by name

plain_call = MIReward.__call__


def call(self, prompts, completions, completion_ids, problem_index, trainer_state, **more):
    price = self.price.price
    rewards = plain_call(self, prompts, completions, completion_ids, problem_index, trainer_state=trainer_state, **more)
    row = {
        "step": trainer_state.global_step + 1,
        "price": price,
        "rewards": rewards,
        "problems": [self.problems[i].id for i in problem_index],
        "completions": completion_ids,
    }
    with (WATCH / f"rows-{RANK}.jsonl").open("a") as stream:
        stream.write(json.dumps(row) + "\n")
    return rewards


MIReward.__call__ = call
if os.environ.get("BELIEF") == "alone":
    told = trl.GRPOConfig
    trl.GRPOConfig = lambda **arguments: told(**{**arguments, "use_cpu": False})
sys.argv[0] = "train/grpo.py"
runpy.run_path("train/grpo.py", run_name="__main__")
