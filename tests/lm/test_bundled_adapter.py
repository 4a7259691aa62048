"""The adapter that comes along: what goes into the package, who takes it, and what it weighs."""

import json
import re
from types import SimpleNamespace

import pytest
import torch
from conftest import run_script
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from tiny import tiny_model, tiny_tokenizer

from infoagent.cli.compress import chosen_adapter
from infoagent.lm import adapters
from infoagent.lm.adapters import bundled_adapter, check_adapter
from infoagent.lm.bundling import LIMIT_BYTES, bundle
from infoagent.types import InputError

COMMANDS = ["python train/sft.py a.yaml", "python train/grpo.py b.yaml"]
DATA = ["QED: text CC BY-SA 3.0", "records: made here"]


def checkpoint_in(directory, base="smollm2-135m"):
    model = get_peft_model(tiny_model(len(tiny_tokenizer())), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))
    model.save_pretrained(directory)
    config = json.loads((directory / "adapter_config.json").read_text())
    (directory / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(directory)}))
    (directory / "infoagent.json").write_text(
        json.dumps({"base_model": base, "prompt": {"template": "query-v1", "pick_tokens": 64}})
    )
    (directory / "README.md").write_text("# A card\n")
    return directory


def test_a_checkpoint_becomes_the_adapter_of_its_model(tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "BUNDLED", tmp_path / "package")
    assert bundled_adapter("smollm2-135m") is None
    checkpoint = checkpoint_in(tmp_path / "run" / "checkpoint-3")
    place = bundle(str(checkpoint), DATA, COMMANDS)
    assert bundled_adapter("smollm2-135m") == str(place)
    assert bundled_adapter("other") is None
    before, after = (load_file(d / "adapter_model.safetensors") for d in (checkpoint, place))
    assert {t.dtype for t in after.values()} == {torch.bfloat16}
    assert {n: t.to(torch.bfloat16).tolist() for n, t in before.items()} == {n: t.tolist() for n, t in after.items()}
    assert json.loads((place / "adapter_config.json").read_text())["base_model_name_or_path"] == "smollm2-135m"
    assert str(tmp_path) not in "".join(f.read_text() for f in place.iterdir() if f.suffix != ".safetensors")
    assert "```sh\npython train/sft.py a.yaml\npython train/grpo.py b.yaml\n```" in (place / "README.md").read_text()
    assert (place / "README.md").read_text().endswith("\n- QED: text CC BY-SA 3.0\n- records: made here\n")
    assert bundle(str(checkpoint), DATA, COMMANDS) == place  # again, in the place of the former


def asked(**more):
    return SimpleNamespace(**{"model": None, "adapter": None, "query": "Who?", **more})


def test_it_is_taken_where_the_embedded_model_is_asked_a_question(tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "BUNDLED", tmp_path / "package")
    assert chosen_adapter(asked()) == (None, False)
    place = str(bundle(str(checkpoint_in(tmp_path / "run" / "checkpoint-3")), DATA, COMMANDS))
    assert chosen_adapter(asked()) == chosen_adapter(asked(model="smollm2-135m")) == (place, True)
    assert chosen_adapter(asked(query=None)) == (None, False)
    assert chosen_adapter(asked(adapter="none")) == (None, False)
    assert chosen_adapter(asked(adapter="mine")) == ("mine", False)
    assert chosen_adapter(asked(model="another")) == (None, False)
    assert chosen_adapter(asked(model=str(tmp_path / "run" / "checkpoint-3"))) == (None, False)  # named for a model, to be told so


def test_what_cannot_come_along_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(adapters, "BUNDLED", tmp_path / "package")
    elsewhere = checkpoint_in(tmp_path / "a" / "checkpoint-1", base="/models/mine")
    with pytest.raises(InputError, match="was not trained here on an embedded model"):
        bundle(str(elsewhere), DATA, COMMANDS)
    (bare := checkpoint_in(tmp_path / "b" / "checkpoint-1")).joinpath("README.md").unlink()
    with pytest.raises(InputError, match="has no card"):
        bundle(str(bare), DATA, COMMANDS)
    with pytest.raises(InputError, match="no such directory"):
        bundle(str(tmp_path / "nowhere"), DATA, COMMANDS)
    monkeypatch.setattr("infoagent.lm.bundling.LIMIT_BYTES", 100)
    with pytest.raises(InputError, match=r"at most 100 may come along; lower lora\.r"):
        bundle(str(checkpoint_in(tmp_path / "c" / "checkpoint-1")), DATA, COMMANDS)
    assert not (tmp_path / "package" / "smollm2-135m").exists()


def test_what_the_package_holds_is_whole_and_small():
    held = [directory for directory in adapters.BUNDLED.iterdir() if directory.is_dir()]
    assert [directory.name for directory in held] == ["smollm2-135m"]
    for directory in held:
        check_adapter(str(directory), directory.name)
        assert "## Data it saw, and their licences" in (directory / "README.md").read_text()
        texts = "".join(file.read_text() for file in directory.iterdir() if file.suffix != ".safetensors")
        assert not re.search(r"/(root|home|work|tmp|Users)/", texts)
        assert sum(f.stat().st_size for f in directory.iterdir()) <= LIMIT_BYTES
        assert {"README.md", "adapter_config.json", "adapter_model.safetensors", "infoagent.json"} == {
            f.name for f in directory.iterdir()
        }


def test_who_asks_a_question_gets_what_was_trained(tmp_path):
    """As a person meets it first: the adapter that comes along, and the frozen model beside it."""
    file = tmp_path / "note.txt"
    file.write_text(
        "The office was closed for two weeks. Dr. Brandt gave her metoprolol for the heart. Nobody else was ill that day."
    )
    command = ("-m", "infoagent.cli", "compress", str(file), "--query", "What did Dr. Brandt give her?", "--budget", "24", "--json")
    trained, frozen = (json.loads(run_script(*command, *more).stdout) for more in ((), ("--adapter", "none")))
    assert (trained["adapter"], frozen["adapter"]) == ("bundled", None)
    assert "metoprolol" in trained["text"]
    assert trained["text"] != frozen["text"]
