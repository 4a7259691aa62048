"""A model that brings code, a pickle that is a program: nothing of them runs, and one line says so."""

import builtins
import importlib.util
import io
import json
import pickle
import shutil
import sys

import pytest
import torch
from conftest import ROOT
from tiny import save_adapter, save_tiny, tiny_model

from infoagent.cli import main
from infoagent.config import exit_code
from infoagent.lm.adapters import check_adapter
from infoagent.lm.models import load, load_weights, resolve
from infoagent.lm.pretrained import blank_model
from infoagent.lm.reference import load_config, load_tokenizer
from infoagent.training.faults import one_line_faults
from infoagent.types import InputError

CODE = """
from pathlib import Path
Path({marker!r}).write_text("it ran")
from transformers import {base}, {parent}
class Own({base}):
    model_type = "own"
class OwnModel({parent}):
    config_class = Own
"""


def changed(file, **fields):
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


class Model:
    """A model directory with code that leaves a mark when it runs."""

    def __init__(self, directory):
        self.directory = save_tiny(directory)
        self.marker = directory.parent / f"{directory.name}.marker"
        classes = {"config": ("LlamaConfig", "LlamaForCausalLM"), "tokenizer": ("PreTrainedTokenizerFast",) * 2}
        for name, (base, parent) in classes.items():
            code = CODE.format(marker=str(self.marker), base=base, parent=parent)
            (directory / f"{name}_code.py").write_text(code)

    def own_config(self, model_type="own", **auto_map):
        auto_map = auto_map or {"AutoConfig": "config_code.Own", "AutoModelForCausalLM": "config_code.OwnModel"}
        changed(self.directory / "config.json", model_type=model_type, architectures=["OwnModel"], auto_map=auto_map)
        return self

    def own_tokenizer(self):
        (self.directory / "tokenizer.json").unlink()  # nothing else could read it
        changed(
            self.directory / "tokenizer_config.json",
            tokenizer_class="Own",
            auto_map={"AutoTokenizer": ["tokenizer_code.Own", "tokenizer_code.Own"]},
        )
        return self

    def own_generate(self):
        (self.directory / "custom_generate").mkdir()
        code = f"open({str(self.marker)!r}, 'w').write('it ran')\ndef generate(model, **_): return None\n"
        (self.directory / "custom_generate" / "generate.py").write_text(code)
        return self

    @property
    def has_run(self):
        return self.marker.exists()


@pytest.fixture
def yes(monkeypatch):
    """Standard input that answers every question with yes, as in `yes | infoagent …`."""
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n" * 1000))
    monkeypatch.setenv("HF_MODULES_CACHE", "/nonexistent")


@pytest.fixture
def foreign(tmp_path):
    return Model(tmp_path / "foreign").own_config()


def test_the_code_would_run_where_it_is_asked_for(tmp_path, monkeypatch):
    """So that the other tests can fail: transformers asks on standard input, and yes is enough."""
    import transformers.dynamic_module_utils as modules

    monkeypatch.setattr(modules, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(builtins, "input", lambda _: "yes")
    model = Model(tmp_path / "foreign").own_config()
    from transformers import AutoConfig

    AutoConfig.from_pretrained(model.directory)
    assert model.has_run


CLI = [
    ["compress", "{text}", "--model", "{model}"],
    ["compress", "{folder}", "--out", "{out}", "--model", "{model}"],
    ["compress", "{text}", "--model", "{model}", "--adapter", "{adapter}"],
    ["merge", "{adapter}", "--model", "{model}", "--out", "{out}"],
    ["score", "--documents", "{documents}", "--compressions", "{compressions}", "--model", "{model}", "--out", "{out}.npz"],
    ["serve", "{model}", "--port", "0"],
    ["serve", "{model}", "--port", "0", "--generate"],
    ["questions", "--path", "{folder}", "--model", "{model}", "--out", "{out}.jsonl"],
]
SCRIPTS = [
    ["train/grpo.py", "configs/train/records.yaml", "model.name={model}", "output_dir={out}", "data.limit=8"],
    ["train/sft.py", "configs/train/sft.yaml", "model.name={model}", "output_dir={out}", "data.limit=8"],
    ["train/dpo.py", "configs/train/dpo.yaml", "model.name={model}", "output_dir={out}", "candidates=[]", "data.limit=8"],
    ["eval/frozen.py", "configs/eval/records.yaml", "compressors.0.model.name={model}", "predictors.0.name={model}",
     "output_dir={out}"],
    ["eval/frozen.py", "configs/eval/records.yaml", "predictors.0.name={model}", "output_dir={out}"],
    ["eval/information.py", "configs/eval/information.yaml", "compressor.model.name={model}", "output_dir={out}"],
    ["eval/applications/proxies.py", "configs/eval/proxies.yaml", "scorers.0.model.name={model}", "output_dir={out}",
     "data.0.limit=8", "calibration_documents=4", "compressors=[{{label: a}}, {{label: b, kind: lead, sentences: 1}}]",
     "variants=[{{label: a, prompt: {{}}}}]"],
    ["eval/applications/rounds.py", "configs/eval/rounds.yaml", "predictor.name={model}", "output_dir={out}", "data.limit=8"],
    ["eval/applications/compaction.py", "configs/eval/compaction.yaml", "predictor.name={model}", "output_dir={out}", "data.limit=8"],
    ["eval/applications/deep_research.py", "configs/eval/deep_research.yaml", "predictor.name={model}", "output_dir={out}"],
    ["eval/applications/stress.py", "inputs", "configs/eval/stress.yaml", "predictor.name={model}", "output_dir={out}"],
]  # fmt: skip


@pytest.fixture
def places(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "t.txt").write_text("The harbour office noted three ships before noon. " * 30)
    documents, compressions = tmp_path / "d.jsonl", tmp_path / "z.jsonl"
    lines = [{"id": i, "document": f"{i} ships came.", "query": "How many?", "compression": i} for i in ("three", "four")]
    documents.write_text("".join(json.dumps({k: line[k] for k in ("id", "document", "query")}) + "\n" for line in lines))
    compressions.write_text("".join(json.dumps({k: line[k] for k in ("id", "compression")}) + "\n" for line in lines))
    return {
        "text": tmp_path / "folder" / "t.txt",
        "folder": tmp_path / "folder",
        "out": tmp_path / "out",
        "documents": documents,
        "compressions": compressions,
    }


@pytest.mark.usefixtures("yes")
@pytest.mark.parametrize("command", CLI, ids=" ".join)
def test_no_command_runs_a_models_code_whatever_standard_input_says(command, foreign, places, tmp_path, capsys):
    adapter = ""
    if "{adapter}" in command:
        adapter = save_adapter(save_tiny(tmp_path / "base"), tmp_path / "adapter")
        (adapter / "infoagent.json").write_text(json.dumps({"base_model": str(foreign.directory)}))
    arguments = [part.format(model=foreign.directory, adapter=adapter, **places) for part in command]
    capsys.readouterr()
    assert main(arguments) == 2
    assert not foreign.has_run
    [line] = capsys.readouterr().err.splitlines()
    assert "needs code of its own" in line


@pytest.mark.usefixtures("yes")
@pytest.mark.parametrize("command", SCRIPTS, ids=lambda command: command[0])
def test_no_script_runs_a_models_code_whatever_standard_input_says(command, foreign, places, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    script, *arguments = (part.format(model=foreign.directory, **places) for part in command)
    spec = importlib.util.spec_from_file_location("a_script", ROOT / script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert exit_code(lambda: module.main([*arguments, "--quiet"])) == 2
    assert not foreign.has_run
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(set(lines)) == len(lines)
    assert any("needs code of its own" in line for line in lines), lines


@pytest.mark.usefixtures("yes")
def test_every_way_to_name_code_is_refused_or_done_without(tmp_path):
    """Of a tokenizer, of a class that transformers lacks for a configuration that it knows, of generation."""
    tokenizer = Model(tmp_path / "tokenizer").own_tokenizer()
    with pytest.raises(InputError) as caught:
        load(str(tokenizer.directory), dtype="float32", device="cpu")
    assert len(caught.value.problems) == 1
    assert "\n" not in caught.value.problems[0]
    # a configuration of transformers that has no causal LM there
    other = Model(tmp_path / "other").own_config("clip_vision_model", AutoModelForCausalLM="config_code.OwnModel")
    reference = resolve(str(other.directory))
    for read in (lambda: load_weights(reference, "float32", "cpu"), lambda: blank_model("other", load_config(reference))):
        with pytest.raises(InputError, match="needs code of its own"):
            read()
    # code that is not needed: transformers' own is used
    spare = Model(tmp_path / "spare").own_config("llama").own_generate()
    changed(spare.directory / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "tokenizer_code.Own"]})
    lm = load(str(spare.directory), dtype="float32", device="cpu")
    assert type(lm.model).__module__.startswith("transformers.")
    assert type(load_tokenizer(lm.reference)).__module__.startswith("transformers.")
    assert [model.has_run for model in (tokenizer, other, spare)] == [False] * 3


class Program:
    """What pickle runs when it is read."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


def test_pickled_weights_are_refused_in_one_line_and_never_read(tmp_path, capsys):
    directory = save_tiny(tmp_path / "model")
    for weights in directory.glob("*.safetensors"):
        weights.unlink()
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps(Program(tmp_path / "marker")))
    (tmp_path / "t.txt").write_text("The harbour office noted three ships before noon. " * 9)
    capsys.readouterr()
    assert main(["compress", str(tmp_path / "t.txt"), "--model", str(directory)]) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert "its weights are pickled (pytorch_model.bin), and only safetensors are read" in line
    base = save_tiny(tmp_path / "base")
    adapter = save_adapter(base, tmp_path / "adapter")
    (adapter / "adapter_model.safetensors").unlink()
    (adapter / "adapter_model.bin").write_bytes(pickle.dumps(Program(tmp_path / "marker")))
    with pytest.raises(InputError, match=r"its weights adapter_model\.safetensors are missing; save it as safetensors"):
        check_adapter(str(adapter), str(base))
    assert not (tmp_path / "marker").exists()


def test_a_module_that_an_adapter_names_is_not_imported(tmp_path):
    base = save_tiny(tmp_path / "base")
    adapter = save_adapter(base, tmp_path / "adapter")
    changed(adapter / "adapter_config.json", megatron_config={"a": 1}, megatron_core="a_module_of_mine")
    with pytest.raises(InputError, match="megatron_config is not supported"):
        check_adapter(str(adapter), str(base))


def training(directory, steps):
    from transformers import Trainer, TrainingArguments

    rows = [{"input_ids": [1, 2, 3, 4], "labels": [1, 2, 3, 4]} for _ in range(4)]
    arguments = TrainingArguments(
        str(directory), max_steps=steps, save_steps=1, per_device_train_batch_size=2, report_to=[], use_cpu=True, disable_tqdm=True
    )
    return Trainer(tiny_model(16), arguments, train_dataset=rows)


def test_the_states_of_a_checkpoint_hold_no_program(tmp_path):
    first, marker = tmp_path / "run" / "checkpoint-1", tmp_path / "marker"
    training(tmp_path / "run", 1).train()
    program, packed = pickle.dumps(Program(marker)), io.BytesIO()
    torch.save({"state": Program(marker)}, packed)
    cases = [(name, program) for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth")]
    cases += [("optimizer.pt", packed.getvalue()), ("scheduler.pt", b"PK\x03\x04x"), ("rng_state.pth", b"")]
    for number, (name, content) in enumerate(cases):
        checkpoint = shutil.copytree(first, tmp_path / str(number) / "checkpoint-1")
        (checkpoint / name).write_bytes(content)
        with pytest.raises(InputError) as caught, one_line_faults():
            training(tmp_path / "on", 2).train(resume_from_checkpoint=str(checkpoint))
        assert "are damaged or hold more than tensors and numbers" in str(caught.value), (name, content)
        assert not marker.exists(), (name, content)
    with one_line_faults():  # and a good one goes on
        assert training(tmp_path / "on", 2).train(resume_from_checkpoint=str(first)).global_step == 2
    pickle.loads(program).close()
    assert marker.exists()  # what the others would have left
