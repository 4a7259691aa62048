"""Which adapters go to W&B, and what they carry."""

import json

import pytest
from wandb_files import read_back

from infoagent.files import write_json
from infoagent.recipes import GRPORecipe
from infoagent.tracking import Tracker
from infoagent.training.artifacts import log_adapters


@pytest.fixture
def recipe(tmp_path):
    out = tmp_path / "a run"
    for step in (2, 4, 6):
        checkpoint = out / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "adapter_model.safetensors").write_text(f"weights of {step}")
        (checkpoint / "adapter_config.json").write_text("{}")
        (checkpoint / "optimizer.pt").write_text("large")
        facts = {"base_model": "base", "base_revision": "r", "data_revision": "d", "prompt": {}, "step": step}
        write_json(checkpoint / "infoagent.json", facts)
    (out / "checkpoint-8").mkdir()  # half written: it has no marker
    write_json(out / "run.json", {"kind": "train", "commit": "abc"})
    write_json(out / "best.json", {"checkpoint": "checkpoint-4"})
    return GRPORecipe(output_dir=str(out))


@pytest.mark.parametrize(
    ("which", "steps"), [("none", []), ("last", [4, 6]), ("all", [2, 4, 6])]
)  # fmt: skip
def test_the_option_says_which(recipe, which, steps):
    recipe = recipe.model_copy(update={"tracking": recipe.tracking.model_copy(update={"artifacts": which})})
    tracker = Tracker.of(recipe, "grpo")
    log_adapters(tracker, recipe)
    tracker.finish()
    [run] = read_back(recipe.output_dir)
    models = [a for a in run.artifacts if a.type == "model"]
    assert [json.loads(a.metadata)["step"] for a in models] == steps
    assert len({a.name for a in models}) <= 1  # versions of one artifact
    for model, step in zip(models, steps, strict=True):
        facts = {"base_model": "base", "base_revision": "r", "data_revision": "d", "step": step, "commit": "abc"}
        assert json.loads(model.metadata) == facts
        assert set(model.aliases) == {"latest", f"step-{step}", *(["best"] if step == 4 else [])}
        names = {c.path for c in model.manifest.contents}
        assert names == {"adapter_model.safetensors", "adapter_config.json", "infoagent.json"}
