"""What accelerate_configs/README.md shows of `infoagent plan` is what the command prints."""

import json
import re

import pytest
from conftest import ROOT

from infoagent.cli import main

PAGE = (ROOT / "accelerate_configs" / "README.md").read_text(encoding="utf-8")
MACHINE = re.compile(r"(\d+) × (\d+) GiB")


def printed(capsys, *arguments):
    assert main(["plan", *arguments]) == 0
    return capsys.readouterr().out


def cell(capsys, model, machine):
    """Configuration and GiB at the peak; where none fits the first remedy with them."""
    gpus, memory = MACHINE.fullmatch(machine).groups()
    said = json.loads(printed(capsys, model, "--gpus", gpus, "--gpu-memory", memory, "--json"))
    fitting = [row for row in said["configurations"] if row["fits"]]
    if fitting:
        assert said["take"] == fitting[0]["name"]
        return f"`{said['take']}`, {fitting[0]['peak_gib']:.0f}"
    first = said["remedies"][0]
    return f"`{first['take']}`, {first['peak_gib']:.0f} with `{first['set']}`"


def test_the_printed_plan(capsys):
    [command] = re.findall(r"^\$ infoagent plan (.+)$", PAGE, re.MULTILINE)
    shown = PAGE.split(f"$ infoagent plan {command}\n")[1].split("```")[0]
    assert printed(capsys, *command.split()) == shown


def test_the_table_of_models(capsys):
    head, _, *rows = PAGE[PAGE.index("| model |") :].split("\n\n")[0].splitlines()
    machines = [name.strip() for name in head.strip("|").split("|")[1:]]
    assert len(rows) == 5
    for row in rows:
        model = row.strip("|").split("|")[0].strip().strip("`")
        assert row == f"| `{model}` | {' | '.join(cell(capsys, model, machine) for machine in machines)} |"


OPTIONS = {
    "grpo.micro_batch": "--micro-batch",
    "grpo.prompts_per_step": "--prompts-per-step",
    "lora.quantize": "--quantize",
    "vllm.mode": "--sampler",
}


def applied(remedy):
    """The options of the command that are the remedy's settings."""
    pairs = dict(word.split("=") for word in remedy["set"].split() if "=" in word)
    found = [part for key, value in pairs.items() if key in OPTIONS for part in (OPTIONS[key], value)]
    found += ["--gradient-checkpointing"] if "grpo.gradient_checkpointing" in pairs else []
    found += ["--sampler", "own"] if pairs.get("vllm.enabled") == "false" else []
    return [*found, "--scorer", "served"] if "scorer.url" in pairs else found


@pytest.mark.parametrize("sampler", ["own", "colocate"])
@pytest.mark.parametrize(("model", "memory"), [("Qwen2.5-7B", "24"), ("Qwen2.5-7B", "40"), ("Qwen2.5-14B", "48")])
def test_an_offered_remedy_gives_what_it_promises(capsys, sampler, model, memory):
    options = (model, "--gpu-memory", memory, "--sampler", sampler, "--json")
    said = json.loads(printed(capsys, *options))
    assert said["take"] is None
    assert said["remedies"]
    for remedy in said["remedies"]:
        assert remedy["set"]
        again = json.loads(printed(capsys, *options, *applied(remedy)))
        [row] = [row for row in again["configurations"] if row["name"] == remedy["take"]]
        assert row["fits"]
        assert row["peak_gib"] == pytest.approx(remedy["peak_gib"])


def test_what_training_refuses_is_no_plan(capsys):
    assert main(["plan", "Qwen2.5-7B", "--sampler", "colocate", "--quantize", "4bit"]) == 2
    assert "vllm.enabled with lora.quantize '4bit'" in capsys.readouterr().err
