"""Adapters as people bring them, made with PEFT: used as PEFT computes them, or refused in one line."""

import json
import logging
import shutil

import pytest
import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tiny import save_adapter, save_tiny, tiny_tokenizer
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from infoagent.cli import main
from infoagent.evaluation.models import ModelPool
from infoagent.lm import adapters
from infoagent.lm.adapter_fit import attach, check_fit
from infoagent.lm.adapters import adapter_base, base_here, check_adapter
from infoagent.lm.merging import merge_adapter
from infoagent.lm.models import load, resolve
from infoagent.lm.reference import ModelReference
from infoagent.lm.vllm.adapters import Room
from infoagent.recipes import ModelSection
from infoagent.types import InputError

IDS = torch.tensor([[1, 2, 3, 250, 7, 99]])
WEIGHTS, SETTINGS = "adapter_model.safetensors", "adapter_config.json"


@pytest.fixture(autouse=True)
def _warn_again():
    adapters._warn.cache_clear()


def lora(**more):
    return LoraConfig(r=2, task_type="CAUSAL_LM", init_lora_weights=False, **more)


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def make(base, directory, config, vocabulary=None, **saving):
    """An adapter that PEFT trained and saved, and the logits that it had then."""
    torch.manual_seed(1)
    model = LlamaForCausalLM.from_pretrained(base)
    if vocabulary is not None:
        model.resize_token_embeddings(vocabulary, mean_resizing=False)
    model = get_peft_model(model, config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.05 * torch.randn_like(parameter))
    model.save_pretrained(directory, **saving)
    return logits(model) if vocabulary is None and config.peft_type == "LORA" else None


def refused(function, *arguments):
    with pytest.raises(InputError) as error:
        function(*arguments)
    [line] = error.value.problems
    assert "\n" not in line
    assert len(line) < 420
    return line


USED = {
    "all linear": {"target_modules": "all-linear"},
    "rslora": {"target_modules": ["q_proj"], "use_rslora": True},
    "dora": {"target_modules": ["q_proj"], "use_dora": True},
    "patterns": {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 4}, "alpha_pattern": {"v_proj": 32}},
    "one layer": {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    "whole embedding and head": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    "whole head": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    "whole embedding": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]},
    "tied embedding": {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
    "whole norms": {"target_modules": ["q_proj"], "modules_to_save": ["norm"]},
    "lora of the embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "lora of the head": {"target_modules": ["q_proj", "lm_head"]},
    "single tokens": {"target_modules": ["q_proj"], "trainable_token_indices": [5, 6]},
}


@pytest.mark.parametrize("kind", USED)
def test_what_fits_is_used_and_merged_as_peft_computes_it_and_leaves_the_base_alone(kind, tiny_dir, tmp_path):
    expected = make(tiny_dir, tmp_path / "a", lora(**USED[kind]))
    plain = logits(LlamaForCausalLM.from_pretrained(tiny_dir))
    assert (expected - plain).abs().max() > 0.1
    lm = load(str(tiny_dir), dtype="float32", adapter=str(tmp_path / "a"), device="cpu")
    torch.testing.assert_close(logits(lm.model), expected, atol=1e-4, rtol=1e-4)
    with lm.model.disable_adapter():
        torch.testing.assert_close(logits(lm.model), plain, atol=1e-4, rtol=1e-4)
    merge_adapter(str(tmp_path / "a"), tmp_path / "merged", "float32")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(merged), expected, atol=1e-3, rtol=1e-3)


def test_adapters_of_all_kinds_share_a_base_and_each_acts_alone(tiny_dir, tmp_path):
    kinds = ["all linear", "whole head", "single tokens", "lora of the embedding"]  # the middle two on bases of their own
    expected = [make(tiny_dir, tmp_path / str(n), lora(**USED[kind])) for n, kind in enumerate(kinds)]
    plain = logits(LlamaForCausalLM.from_pretrained(tiny_dir))
    pool = ModelPool(64)
    for number in (0, 1, None, 2, 3, 0, None, 1, 3, 2):
        section = ModelSection(name=str(tiny_dir), dtype="float32", adapter=None if number is None else str(tmp_path / str(number)))
        found = logits(pool.get(section).model).cpu()
        torch.testing.assert_close(found, plain if number is None else expected[number], atol=1e-4, rtol=1e-4)


def test_a_run_goes_on_from_an_adapter_with_whole_modules(tiny_dir, tmp_path):
    expected = make(tiny_dir, tmp_path / "a", lora(**USED["whole head"]))
    reference = resolve(str(tiny_dir))
    model = attach(LlamaForCausalLM.from_pretrained(tiny_dir), str(tmp_path / "a"), reference, trainable=True)
    learns = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert any("modules_to_save" in name for name in learns)
    assert all("modules_to_save" in name or "lora_" in name for name in learns)
    model.save_pretrained(tmp_path / "b")
    again = load(str(tiny_dir), dtype="float32", adapter=str(tmp_path / "b"), device="cpu")
    torch.testing.assert_close(logits(again.model), expected, atol=1e-4, rtol=1e-4)


def both(base, directory):
    check_adapter(str(directory), str(base))
    check_fit(str(directory), resolve(str(base)))


@pytest.mark.parametrize(
    ("trained_on", "found", "told"),
    [
        ("a" * 40, "b" * 40, True),
        ("a" * 40, "a" * 40, False),
        ("a" * 40, "main", False),  # a commit that nobody knows is no other one
        ("sha256:0123456789abcdef-c1", "b" * 40, False),
        (None, "b" * 40, False),
    ],
)
def test_an_adapter_on_a_hub_model_that_moved_on_is_told(tiny_dir, tmp_path, caplog, trained_on, found, told):
    make(tiny_dir, tmp_path / "a", lora(target_modules=["q_proj"]))
    (tmp_path / "a" / "infoagent.json").write_text(json.dumps({"base_model": "owner/name", "base_commit": trained_on}))
    check_fit(str(tmp_path / "a"), ModelReference("owner/name", str(tiny_dir), found))
    lines = [r.getMessage() for r in caplog.records if "was trained on commit" in r.getMessage()]
    assert len(lines) == told
    assert all(trained_on in line and found in line for line in lines)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (lora(target_modules=["q_proj"]), "embed_tokens.weight is 300 × 32, on .* it is 258 × 32.*: tokens were added"),
        (lora(target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]), "300 × 32, on .*: tokens were added"),
        (lora(target_modules=["q_proj"], trainable_token_indices=[5, 280]), "trains token 280, the base has 258: tokens"),
    ],
    ids=["lora", "whole", "single"],
)
def test_a_changed_vocabulary_is_refused(tiny_dir, tmp_path, config, message):
    make(tiny_dir, tmp_path / "a", config, vocabulary=300, save_embedding_layers=True)
    import re

    assert re.search(message, refused(both, tiny_dir, tmp_path / "a"))
    refused(merge_adapter, str(tmp_path / "a"), tmp_path / "merged", "float32")
    assert not (tmp_path / "merged").exists()


def test_tokens_that_the_bases_tokenizer_lacks_are_refused_although_the_matrices_fit(tiny_dir, tmp_path):
    make(tiny_dir, tmp_path / "a", lora(target_modules=["q_proj"]))
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(tmp_path / "a")
    both(tiny_dir, tmp_path / "a")  # the same tokenizer does no harm
    tokenizer.add_tokens(["<|memory|>"], special_tokens=True)
    tokenizer.save_pretrained(tmp_path / "a")
    assert "has 1 tokens that" in (line := refused(both, tiny_dir, tmp_path / "a"))
    assert "'<|memory|>'" in line


def test_what_would_change_the_base_itself_is_refused_and_the_bases_own_weights_are_not(tiny_dir, tmp_path):
    expected = make(tiny_dir, tmp_path / "a", lora(target_modules=["q_proj"]), save_embedding_layers=True)
    lm = load(str(tiny_dir), dtype="float32", adapter=str(tmp_path / "a"), device="cpu")
    torch.testing.assert_close(logits(lm.model), expected, atol=1e-4, rtol=1e-4)
    load(str(tiny_dir), dtype="bfloat16", adapter=str(tmp_path / "a"), device="cpu")  # rounded, and the same
    tensors = load_file(tmp_path / "a" / WEIGHTS)
    name = next(name for name in tensors if "embed_tokens" in name)
    save_file(tensors | {name: tensors[name] + 0.5}, tmp_path / "a" / WEIGHTS)
    model = LlamaForCausalLM.from_pretrained(tiny_dir)
    before = logits(model)
    line = refused(attach, model, str(tmp_path / "a"), resolve(str(tiny_dir)))
    assert "1 of the base's own weights with other values (model.embed_tokens.weight)" in line
    assert torch.equal(logits(model), before)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (IA3Config(task_type="CAUSAL_LM"), "type 'IA3', only 'LORA'"),
        (PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3), "type 'PROMPT_TUNING', only 'LORA'"),
    ],
    ids=["ia3", "prompt tuning"],
)
def test_other_kinds_than_lora_are_refused(tiny_dir, tmp_path, config, message):
    make(tiny_dir, tmp_path / "a", config)
    assert message in refused(both, tiny_dir, tmp_path / "a")


def changed(directory, **settings):
    file = directory / SETTINGS
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_modules": ["c_attn"]}, "does not go on"),
        ({"target_modules": ["q_proj", "v_proj"]}, "lacks 4 of the tensors that its settings speak of"),
        ({"target_modules": ["v_proj"]}, "lacks 4 of the tensors"),
        ({"r": 8}, "q_proj.lora_A.weight is 2 × 32, on .* it is 8 × 32, and 3 more tensors differ; name the model"),
        ({"layers_to_transform": [0]}, "has 2 tensors for which .* has no place"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights 'pissa' changes the base's own weights"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication is not supported"),
        ({"modules_to_save": ["lm_head"]}, "lm_head"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_settings_that_the_weights_or_the_base_do_not_keep_are_refused(tiny_dir, tmp_path, settings, message):
    import re

    make(tiny_dir, tmp_path / "a", lora(target_modules=["q_proj"]))
    changed(tmp_path / "a", **settings)
    assert re.search(message, refused(both, tiny_dir, tmp_path / "a"))


def test_an_adapter_of_a_model_of_other_sizes_is_refused(tiny_dir, tmp_path):
    from tiny import tiny_model

    save_tiny(tmp_path / "other")
    tiny_model(258, hidden=48).save_pretrained(tmp_path / "other")
    save_adapter(tmp_path / "other", tmp_path / "a")
    (tmp_path / "a" / "infoagent.json").unlink()
    changed(tmp_path / "a", base_model_name_or_path=None)
    assert "more tensors differ; name the model that it was trained on" in refused(both, tiny_dir, tmp_path / "a")


@pytest.mark.parametrize("damage", ["settings", "no object", "cut off", "no header", "empty", "pickled", "record"])
def test_damaged_files_are_refused_in_one_line(tiny_dir, tmp_path, damage):
    directory = save_adapter(tiny_dir, tmp_path / "a")
    weights = directory / WEIGHTS
    whole = weights.read_bytes()
    if damage == "settings":
        (directory / SETTINGS).write_text('{"peft_type": "LO')
        (directory / "infoagent.json").unlink()
    elif damage == "no object":
        (directory / SETTINGS).write_text("[1]")
    elif damage == "cut off":
        weights.write_bytes(whole[:-10])
    elif damage == "no header":
        weights.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    elif damage == "empty":
        weights.write_bytes(b"")
    elif damage == "pickled":
        weights.rename(directory / "adapter_model.bin")
    else:
        (directory / "infoagent.json").write_text("{")
    line = refused(check_adapter, str(directory), str(tiny_dir))
    assert str(directory) in line
    with pytest.raises(InputError):
        merge_adapter(str(directory), tmp_path / "merged", "float32")
    if damage not in ("record",):
        with pytest.raises(InputError):
            Room.for_adapters([str(directory)])


def renamed(directory, base):
    (directory / "infoagent.json").unlink(missing_ok=True)
    changed(directory, base_model_name_or_path=base)
    return str(directory)


@pytest.mark.parametrize("name", [None, "", "/home/alice/models/x", "../x/y", "C:\\models\\x", "~nobody/x", "/a/b/"])
def test_a_base_of_another_machine_is_the_one_that_the_user_names_and_a_warning_says_so(name, tiny_dir, tmp_path, caplog):
    adapter = renamed(save_adapter(tiny_dir, tmp_path / "a"), name)
    with caplog.at_level(logging.WARNING):
        check_adapter(adapter, str(tiny_dir))
        check_adapter(adapter, str(tiny_dir))
    [line] = [record.getMessage() for record in caplog.records]
    assert "could not be verified" in line
    assert ("does not say which model" if not name else repr(name)) in line
    assert "--model" in refused(base_here, adapter)


def test_names_that_say_another_model_are_refused_and_those_that_say_the_same_are_not(tiny_dir, tmp_path, caplog):
    directory = save_adapter(tiny_dir, tmp_path / "a")
    other = shutil.copytree(tiny_dir, tmp_path / "other")
    link = tmp_path / "link"
    link.symlink_to(tiny_dir)
    cached = "/home/alice/.cache/huggingface/hub/models--Org--Model/snapshots/0f3a"
    for trained_on, base in ((str(tiny_dir), str(link)), (str(tiny_dir) + "/", str(tiny_dir)), (cached, "Org/Model")):
        check_adapter(renamed(directory, trained_on), base)
    assert base_here(renamed(directory, cached)) == "Org/Model"
    assert base_here(renamed(directory, str(tiny_dir))) == adapter_base(directory) == str(tiny_dir)
    assert not caplog.records
    for trained_on, base in (
        (str(other), str(tiny_dir)),
        ("Org/Model", "Org/Other"),
        ("Org/Model", str(tiny_dir)),
        (cached, "Org/Other"),
    ):
        assert "not on" in refused(check_adapter, renamed(directory, trained_on), base)
    copy = shutil.copytree(tiny_dir, tmp_path / "model")  # of the same name as on the hub
    check_adapter(renamed(directory, "Org/Model"), str(copy))
    assert len(caplog.records) == 1


def test_merge_and_compress_take_the_base_that_is_named(tiny_dir, tmp_path, capsys):
    adapter = renamed(save_adapter(tiny_dir, tmp_path / "a"), "/home/alice/models/x")
    assert main(["merge", adapter, "--out", str(tmp_path / "m"), "--dtype", "float32"]) == 2
    assert "name that model with --model" in capsys.readouterr().err
    command = ["merge", adapter, "--model", str(tiny_dir), "--out", str(tmp_path / "m"), "--dtype", "float32"]
    assert main(command) == 0
    (tmp_path / "x.txt").write_text("A text of a few words.")
    assert main(["compress", str(tmp_path / "x.txt"), "--adapter", adapter, "--budget", "4"]) == 2
    assert "name that model with --model" in capsys.readouterr().err
    command = ["compress", str(tmp_path / "x.txt"), "--model", str(tiny_dir), "--adapter", adapter, "--budget", "4"]
    assert main(command) == 0


def test_an_adapter_is_no_model_to_serve_even_with_a_configuration_beside_it(tiny_dir, tmp_path):
    directory = save_adapter(tiny_dir, tmp_path / "a")
    assert "infoagent merge" in refused(resolve, str(directory))
    shutil.copy(tiny_dir / "config.json", directory)
    assert "not a model of its own" in refused(resolve, str(directory))


@pytest.mark.parametrize("kind", ["dora", "patterns", "whole head", "single tokens"])
def test_what_vllm_does_not_compute_is_refused_before_it_starts(kind, tiny_dir, tmp_path):
    make(tiny_dir, tmp_path / "a", lora(**USED[kind]))
    assert "merge it (infoagent merge" in refused(Room.for_adapters, [str(tmp_path / "a")])
