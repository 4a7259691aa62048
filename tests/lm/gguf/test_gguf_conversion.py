"""A GGUF file as a model: its weights against the ones that were written, what it refuses, and an interrupted conversion."""

import hashlib
import os
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from conftest import WITHOUT_TORCH, run_killed_at, run_script
from gguf_files import CONTROL, byte_vocabulary, write_gguf
from tiny import save_adapter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from infoagent.lm.adapters import check_adapter
from infoagent.lm.gguf.conversion import converted_directory, file_sha256
from infoagent.lm.models import load, resolve
from infoagent.lm.sizes import architecture_of
from infoagent.types import InputError

TOKENS = {"<|endoftext|>": CONTROL, "<|im_start|>": CONTROL, "<|im_end|>": CONTROL}
SIZES = {
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "max_position_embeddings": 512, "initializer_range": 0.2, "rope_theta": 50_000.0,
}  # fmt: skip
KINDS = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen2": (Qwen2Config, Qwen2ForCausalLM)}
Q8, Q4 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path / "cache"))


def vocabulary():
    symbols = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "th"]
    backend = Tokenizer(models.BPE({symbol: i for i, symbol in enumerate(symbols)}, [("t", "h")]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return byte_vocabulary(backend, "qwen2", TOKENS)


def model_of(kind="llama", tied=False, **sizes):
    torch.manual_seed(0)
    config, model = KINDS[kind]
    made = model(config(vocab_size=len(vocabulary()["tokens"]), tie_word_embeddings=tied, **{**SIZES, **sizes})).eval()
    for name, parameter in made.named_parameters():
        if "norm" in name or "bias" in name:  # they begin as ones and zeros, which would hide a mistake
            parameter.data = torch.randn_like(parameter) * 0.3 + 1
    return made


def logits(model):
    with torch.inference_mode():
        return model(torch.arange(40)[None] % 200).logits


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_model_is_the_one_that_was_written(tmp_path, kind, tied):
    original = model_of(kind, tied)
    file = write_gguf(tmp_path / "m.gguf", original, vocabulary())
    found = load(str(file), dtype="float32")
    torch.testing.assert_close(logits(found.model), logits(original), rtol=1e-5, atol=1e-5)
    assert found.model.config.tie_word_embeddings is tied
    assert found.context_tokens == found.tokenizer.model_max_length == 512
    assert architecture_of(str(file)).parameters == sum(p.numel() for p in original.parameters())
    assert found.model.generation_config.eos_token_id == found.tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_sizes_before_and_after_the_conversion_are_the_same(tmp_path):
    file = str(write_gguf(tmp_path / "m.gguf", model_of(), vocabulary()))
    before = architecture_of(file)
    assert not converted_directory(tmp_path / "m.gguf").exists()
    resolve(file)
    assert architecture_of(file) == before


def test_a_quantised_weight_is_what_its_blocks_say(tmp_path):
    original = model_of()
    file = write_gguf(tmp_path / "m.gguf", original, vocabulary(), types={"blk.1.ffn_up.weight": Q8, "blk.0.ffn_gate.weight": Q4})
    found = load(str(file), dtype="float32").model.model.layers
    for ours, written, kind in (
        (found[1].mlp.up_proj, original.model.layers[1].mlp.up_proj, Q8),
        (found[0].mlp.gate_proj, original.model.layers[0].mlp.gate_proj, Q4),
    ):
        blocks = written.weight.detach().numpy().reshape(-1, 32)
        top = np.abs(blocks).max(1, keepdims=True)
        # by the definition of the types: 32 weights share a scale of half precision, 8 or 4 bits each
        step = top / 127 if kind == Q8 else top / 8
        assert np.all(np.abs(ours.weight.detach().numpy().reshape(-1, 32) - blocks) <= step * (0.57 if kind == Q8 else 1.02))
    assert torch.equal(found[0].mlp.up_proj.weight, original.model.layers[0].mlp.up_proj.weight)


@pytest.mark.parametrize("finer", ["head", "embedding"])
def test_a_matrix_that_was_quantised_twice_is_one_and_the_finer(tmp_path, finer):
    original = model_of(tied=True)
    matrix = original.model.embed_tokens.weight.detach().numpy()
    types = {"output.weight": Q8, "token_embd.weight": Q4}
    if finer == "embedding":
        types = {"output.weight": Q4, "token_embd.weight": Q8}
    found = load(str(write_gguf(tmp_path / "m.gguf", original, vocabulary(), types=types, head=matrix)), dtype="float32").model
    assert found.config.tie_word_embeddings
    assert found.lm_head.weight is found.model.embed_tokens.weight
    assert np.abs(found.lm_head.weight.detach().numpy() - matrix).max() <= np.abs(matrix).max() / 127  # that of eight bits


def test_the_same_bytes_elsewhere_are_converted_once(tmp_path):
    file = write_gguf(tmp_path / "m.gguf", model_of(), vocabulary())
    first = resolve(str(file))
    (tmp_path / "other").mkdir()
    moved = file.rename(tmp_path / "other" / "renamed.GGUF")
    made = (converted_directory(moved) / "model.safetensors").stat().st_mtime_ns
    second = resolve(str(moved))
    assert (second.path, second.revision) == (first.path, first.revision)
    assert (converted_directory(moved) / "model.safetensors").stat().st_mtime_ns == made
    assert second.revision == f"sha256:{file_sha256(moved)[:16]}-c1"


def test_a_cache_that_cannot_be_written_costs_a_warning(tmp_path, monkeypatch, caplog):
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.setenv("INFOAGENT_CACHE", str(tmp_path / "m.gguf"))
    assert file_sha256(tmp_path / "m.gguf") == hashlib.sha256(b"GGUF").hexdigest()
    assert "the hash of m.gguf cannot be kept" in caplog.text


def test_whoever_may_read_the_users_files_may_read_the_model(tmp_path):
    """An image is built by root and run by another; folders and weights were made for their maker alone."""
    file = write_gguf(tmp_path / "m.gguf", model_of(), vocabulary(), llama_rope_scaling_type="none")
    before = os.umask(0o027)
    try:
        directory = Path(resolve(str(file)).path)
    finally:
        os.umask(before)
    assert directory.stat().st_mode & 0o777 == 0o750
    assert {f.stat().st_mode & 0o777 for f in directory.iterdir()} == {0o640}


def test_other_bytes_under_the_same_name_are_another_model(tmp_path):
    file = write_gguf(tmp_path / "m.gguf", model_of(), vocabulary())
    first = resolve(str(file))
    write_gguf(file, model_of(initializer_range=0.1), vocabulary())
    assert resolve(str(file)).revision != first.revision


def test_an_interrupted_conversion_leaves_no_model(tmp_path):
    file = write_gguf(tmp_path / "m.gguf", model_of(), vocabulary())
    target = converted_directory(file)
    run_killed_at(
        f"models/{target.name}", "-m", "infoagent.cli", "models", "path", str(file), INFOAGENT_CACHE=str(tmp_path / "cache")
    )
    assert list(target.parent.glob(".*/*.safetensors"))
    assert not target.exists()
    assert load(str(file)).model.config.model_type == "llama"


def test_a_plan_needs_neither_torch_nor_a_conversion(tmp_path):
    file = write_gguf(tmp_path / "m.gguf", model_of(), vocabulary())
    few = ("data.limit=20", "cost.gflops_per_second=50")
    done = run_script("-c", WITHOUT_TORCH, "train/grpo.py", "configs/train/records.yaml", f"model.name={file}", *few, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert not converted_directory(file).exists()


def test_an_adapter_belongs_to_its_file(tmp_path, tiny_dir):
    file = write_gguf(tmp_path / "m.gguf", model_of(), vocabulary())
    other = write_gguf(tmp_path / "other.gguf", model_of("qwen2"), vocabulary())
    adapter = str(save_adapter(tiny_dir, tmp_path / "adapter"))
    (tmp_path / "adapter" / "infoagent.json").write_text(f'{{"base_model": "{file}"}}')
    check_adapter(adapter, str(file))
    with pytest.raises(InputError, match=r"trained on .*m\.gguf.*, not on .*other\.gguf"):
        check_adapter(adapter, str(other))


def refused(file):
    with pytest.raises(InputError) as caught:
        resolve(str(file))
    assert all(str(file.name) in line and "\n" not in line for line in caught.value.problems)
    assert not list(converted_directory(file).parent.glob("*")) if file.is_file() else True
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"architecture": "mamba"}, "the architecture 'mamba' cannot be converted here"),
        ({"general_type": "adapter"}, "holds a GGUF adapter, not a model"),
        ({"split_count": 3}, "one of 3 parts; join them"),
        ({"leave_out": "token_embd.weight"}, "lacks token_embd.weight"),
        ({"leave_out": "blk.1.ffn_up.weight"}, "its model [0-9,]+: it lacks some; name the directory"),
        ({"extra": {"rope_freqs.weight": np.ones(8)}}, "parts that are not known here"),
        (
            {"llama_rope_scaling_type": "yarn"},
            r"its positions are scaled \(rope.scaling.type = 'yarn'\), which the conversion would",
        ),
    ],
)
def test_what_cannot_be_converted_is_refused(tmp_path, settings, said):
    import re

    assert re.search(said, refused(write_gguf(tmp_path / "m.gguf", model_of(), vocabulary(), **settings)))


def test_a_file_that_is_none_or_cut_off_is_refused(tmp_path):
    whole = write_gguf(tmp_path / "whole.gguf", model_of(), vocabulary()).read_bytes()
    cut = tmp_path / "cut.gguf"
    for length in (0, 3, 100, len(whole) // 50, len(whole) // 2, len(whole) - 8):
        cut.write_bytes(whole[:length])
        assert "a part of one" in refused(cut), length
    cut.write_bytes(b"\x00" * 4000)
    assert "is no GGUF file" in refused(cut)
    assert "no such file" in refused(tmp_path / "absent.gguf")


def test_a_disk_without_room_is_named_before_the_weights_are_read(tmp_path, monkeypatch):
    import shutil
    from collections import namedtuple

    monkeypatch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "free")(1000))
    assert "set INFOAGENT_CACHE to another disk" in refused(write_gguf(tmp_path / "m.gguf", model_of(), vocabulary()))
