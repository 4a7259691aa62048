"""The model card of a checkpoint: its README.md, written from records and from nothing else.

It says which base, prompt and price belong to the adapter, how to load it, and what training and evaluation found.
It names no path of the machine that made it: a local base or file goes by its last name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.data.negative_kinds import NEGATIVES
from infoagent.files import read_json, read_jsonl, reading, write_text
from infoagent.lm.adapters import RECORD_FILE, is_adapter, is_local, is_path
from infoagent.lm.embedded import EMBEDDED
from infoagent.lm.gguf import is_gguf
from infoagent.lm.models import adapter_revision
from infoagent.lm.prompts import names_question
from infoagent.lm.vllm.adapters import servable, served_rank
from infoagent.records.summaries import unknown_as_nan
from infoagent.reporting.tables import COMPARISON_COLUMNS, comparison_rows
from infoagent.store import read_if_run
from infoagent.tracking import METRICS_FILE
from infoagent.training.run_directory import read_best
from infoagent.types import InputError

CARD_FILE = "README.md"
UNFILLED = "# Model Card for Model ID"  # the template that PEFT saves beside every adapter
SHOWN_STEPS = 10
SHOWN_METRICS = (
    "reward/total", "mi/nats", "mi/easy_nats", "mi/hard_nats", "mi/ceiling_nats", "rate/tokens", "rate/price",
    "distortion/fact_missing", "faithfulness/unsupported", "reward/gated", "reward/truncated", "reward/failed",
)  # fmt: skip


def write_card(checkpoint: str | Path, evaluation: str | Path | None = None, facts: Mapping[str, Any] | None = None) -> Path:
    """Write README.md into `checkpoint`, atomically, and return its path.

    `facts` is what the marker says, for a checkpoint that is not marked yet; `evaluation` the output directory of
    eval/checkpoint.py, whose comparison goes into the card. Raises InputError where either is not what it should be.
    """
    directory = Path(checkpoint)
    if facts is None:
        if not (directory / RECORD_FILE).is_file():
            raise InputError(f"{directory}: holds no {RECORD_FILE}; give a complete checkpoint of train/")
        facts = read_json(directory / RECORD_FILE)
    if not is_adapter(directory):
        raise InputError(f"{directory}: holds no adapter_config.json; give a checkpoint of train/")
    comparisons = [] if evaluation is None else _comparisons(Path(evaluation), directory)
    target = directory / CARD_FILE
    with reading(str(directory)):
        text = card_text(directory, facts, comparisons)
    write_text(target, text)
    return target


def is_unfilled(card: Path) -> bool:
    """Is this the template that PEFT saves with an adapter, which nobody wrote by hand?"""
    return card.is_file() and UNFILLED in card.read_text(encoding="utf-8", errors="replace").splitlines()


def card_text(directory: Path, facts: Mapping[str, Any], comparisons: Sequence[Mapping[str, Any]] = ()) -> str:
    """The card as Markdown with the YAML header of the Hugging Face hub."""
    from huggingface_hub import ModelCardData

    adapter = read_json(directory / "adapter_config.json")
    run = read_if_run(directory.resolve().parent)
    base, hub_base = _base_names(str(facts["base_model"]))
    header = ModelCardData(
        base_model=hub_base,
        library_name="peft",
        pipeline_tag="text-generation",
        tags=["lora", "dora" if adapter.get("use_dora") else None, "infoagent", "context-compression"],
    )
    header.tags = [tag for tag in header.tags or [] if tag]
    name = f"{directory.resolve().parent.name}/{directory.name}"
    parts = [
        f"---\n{header.to_yaml()}\n---\n\n# {name}: a context compressor\n",
        f"A LoRA adapter for {base} that writes a short text from a long document, such that as much as possible of "
        "what a question asks for survives. It was trained with infoagent against mutual information minus the price "
        "of length.\n",
        _section("What it is", _what(facts, adapter, run, base)),
        "## How to load it\n\n" + _loading(str(facts["base_model"]), base, adapter, run, facts) + "\n",
        "## Training record\n\n" + _record(directory, int(facts["step"])) + "\n",
    ]
    parts += [_comparison(c) for c in comparisons]
    return "\n".join(parts)


def _base_names(name: str) -> tuple[str, str | None]:
    """(how the card calls the base, its name on the hub if it has one)."""
    if name in EMBEDDED:
        return f"{name} ({EMBEDDED[name].origin}, {EMBEDDED[name].gguf} dequantised)", EMBEDDED[name].origin
    if is_local(name) or is_path(name):
        return f"{Path(name).name} (a local model)", None
    return name, name


def _section(title: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = "\n".join(f"| {key} | {_cell(value)} |" for key, value in rows)
    return f"## {title}\n\n| | |\n|---|---|\n{lines}\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _what(facts: Mapping[str, Any], adapter: Mapping[str, Any], run: Mapping[str, Any], base: str) -> list[tuple[str, str]]:
    recipe: Mapping[str, Any] = run.get("recipe", {})
    prompt = dict(facts.get("prompt") or {})
    variants = ("DoRA", "use_dora"), ("rsLoRA", "use_rslora"), ("activated LoRA", "alora_invocation_tokens")
    kinds = [name for name, key in variants if adapter.get(key)] or ["LoRA"]
    rows = [
        ("base", f"{base}, revision {facts['base_revision']}"),
        ("adapter", f"{' + '.join(kinds)}, rank {adapter['r']}, alpha {adapter['lora_alpha']}"),
        ("prompt", ", ".join(f"{key} {value}" for key, value in prompt.items() if value is not None) or "not recorded"),
        ("data", f"{_data(recipe)}, revision {facts['data_revision']}"),
        ("step", str(facts["step"])),
    ]
    if recipe:
        rows += [("reward", _reward(recipe.get("reward", {}))), ("seed", str(recipe.get("seed", "not recorded")))]
        rows += [("negatives", ", ".join(f"{n} {kind}" for kind in NEGATIVES if (n := recipe["negatives"].get(kind))))]
        if recipe.get("lora", {}).get("quantize", "none") != "none":
            rows += [("base in training", "4-bit nf4 (QLoRA)")]
    if run:
        versions = ", ".join(f"{k} {v}" for k, v in run["versions"].items() if v != "not installed")
        rows += [("commit", run["commit"]), ("versions", versions), ("started", run["started"])]
    else:
        rows += [("run", "its record (run.json) did not come with it")]
    return rows


def _data(recipe: Mapping[str, Any]) -> str:
    sections = [recipe["data"], *recipe.get("more_data", [])] if "data" in recipe else []
    names = [f"{s['name']}{' ' + Path(s['path']).name if s.get('path') else ''} (split {s['split']})" for s in sections]
    return " + ".join(names) or "not recorded"


def _reward(reward: Mapping[str, Any]) -> str:
    if reward.get("budget") is not None:
        return f"mean length {reward['budget']:g} {reward.get('rate', 'tokens')} by a price that moves"
    if reward.get("budget_range") is not None:
        return f"any rate: a budget in the prompt, from {reward['budget_range'][0]} to {reward['budget_range'][1]} tokens"
    price = reward.get("price")
    return f"price {0.02 if price is None else price:g} nats per unit of {reward.get('rate', 'tokens')}"


def _loading(name: str, base: str, adapter: Mapping[str, Any], run: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    template = (facts.get("prompt") or {}).get("template")
    asks = '--query "what must be answered" ' if template is None or names_question(template) else ""
    dtype = run.get("recipe", {}).get("model", {}).get("dtype", "auto")  # as trained; without a record the weights' own
    if name in EMBEDDED:
        weights, served = f'resolve("{name}").path', f"$(infoagent models path {name})"
    elif is_local(name) or is_path(name):
        weights, served = '"BASE"', "BASE"
    else:
        weights, served = f'"{name}"', name
    note = ""
    if served == "BASE":
        directory = (
            f"what `infoagent models path {Path(name).name}` prints" if is_gguf(name) else f"the directory of {Path(name).name}"
        )
        note = f"`BASE` is {directory}.\n\n"
    why_not = servable(adapter)
    if why_not is None:
        rank = served_rank(adapter)
        serve = f"```sh\nvllm serve {served} --enable-lora --max-lora-rank {rank} --lora-modules compressor=CHECKPOINT\n```"
    else:
        serve = (
            f"`vllm serve --lora-modules` cannot load it: {why_not}. Merge it first:\n\n"
            "```sh\ninfoagent merge CHECKPOINT --out MERGED\nvllm serve MERGED\n```"
        )
    importing = "from infoagent.lm.models import resolve\n" if name in EMBEDDED else ""
    return (
        f"`CHECKPOINT` is this directory. {note}\n"
        f"```sh\ninfoagent compress document.txt {asks}--adapter CHECKPOINT\n```\n\n"
        f"```python\n{importing}from peft import PeftModel\nfrom transformers import AutoModelForCausalLM\n\n"
        f'base = AutoModelForCausalLM.from_pretrained({weights}, dtype="{dtype}")\n'
        'model = PeftModel.from_pretrained(base, "CHECKPOINT")\n```\n\n' + serve + "\n\n"
        "The prompt is that of `infoagent.lm.prompts.compressor_messages` with the template above; with another prompt it "
        "is another compressor."
    )


def _record(directory: Path, step: int) -> str:
    """First and last means of the metrics up to this step, and validation at this step."""
    file = directory.resolve().parent / METRICS_FILE
    rows = [r for r in read_jsonl(file) if r["step"] <= step] if file.is_file() else []
    steps = [r for r in rows if "reward/total" in r]
    parts = []
    if steps:
        count = min(SHOWN_STEPS, max(1, len(steps) // 2))
        lines = []
        for metric in SHOWN_METRICS:
            first, last = ([r[metric] for r in part if metric in r] for part in (steps[:count], steps[-count:]))
            if first and last:
                lines.append(f"| {metric} | {sum(first) / len(first):.4g} | {sum(last) / len(last):.4g} |")
        parts.append(
            f"Means of the training batches, of the first and the last {count} of {len(steps)} steps. They are of sampled "
            "texts on training documents and prove nothing about others.\n\n"
            f"| metric | first {count} | last {count} |\n|---|---|---|\n" + "\n".join(lines)
        )
    best = read_best(directory.resolve().parent, with_checkpoint=False)
    measured = next((r for r in best["history"] if r["step"] == step), None) if best else None
    if best and measured:
        chosen = "; the best checkpoint of its run so far" if best.get("step") == step else ""
        value = f"{best['metric']} = {measured[best['metric']]:.4g}" if best["metric"] in measured else "not measurable"
        parts.append(f"Validation, which chose among checkpoints: {value}{chosen}.")
    return "\n\n".join(parts) or "No metrics came with this checkpoint."


def _comparisons(evaluation: Path, checkpoint: Path) -> list[dict[str, Any]]:
    file = evaluation / "comparison.json"
    if not file.is_file():
        raise InputError(f"--evaluation {evaluation}: holds no comparison.json; give the output_dir of eval/checkpoint.py")
    comparisons: list[dict[str, Any]] = unknown_as_nan(read_json(file, kind=list))
    other = [c["checkpoint"] for c in comparisons if not _is_of(c, checkpoint)]
    if other:
        raise InputError(f"--evaluation {evaluation}: compares {other[0]}, not {checkpoint}; evaluate this checkpoint")
    return comparisons


def _is_of(comparison: Mapping[str, Any], checkpoint: Path) -> bool:
    """Is it of these weights, wherever they lie now? By the place alone where their revision was not written down."""
    revision = comparison.get("checkpoint_revision")
    if revision is not None:
        return bool(revision == adapter_revision(checkpoint))
    return Path(comparison["checkpoint"]).resolve() == checkpoint.resolve()


def _comparison(comparison: Mapping[str, Any]) -> str:
    columns = [c or "verdict" for c in COMPARISON_COLUMNS]
    lines = [f"| {' | '.join(columns)} |", "|" + "---|" * len(columns)]
    lines += [f"| {' | '.join(_cell(str(cell)) for cell in row)} |" for row in comparison_rows(comparison["values"])]
    return (
        f"## Evaluation on {comparison['data']}\n\nAgainst the frozen base, paired by document, 95 % intervals, price "
        f"{comparison['price']:g} nats per token.\n\n" + "\n".join(lines) + "\n"
    )
