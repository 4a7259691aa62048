"""Names of models and adapters: what is found, and what is refused before anything loads."""

import json

import pytest

from infoagent.lm import prompts
from infoagent.lm.adapters import adapter_base, check_adapter
from infoagent.lm.models import load, resolve
from infoagent.lm.reference import load_tokenizer
from infoagent.types import InputError


def make_adapter(directory, base):
    directory.mkdir(parents=True)
    (directory / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": base, "peft_type": "LORA"}))
    (directory / "adapter_model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return str(directory)


def test_a_local_directory_brings_its_own_template(tiny_dir):
    lm = load(str(tiny_dir), dtype="float32", device="cpu")
    rendered = lm.tokenizer.decode(prompts.chat_ids(lm.tokenizer, [{"role": "user", "content": "hi"}]))
    assert rendered == "<|start|>user\nhi<|end|>\n<|start|>assistant\n"
    assert lm.context_tokens == 4096


def test_local_weights_have_a_revision_that_changes_with_them(tiny_dir, tmp_path):
    import shutil

    copy = shutil.copytree(tiny_dir, tmp_path / "copy")
    before = resolve(str(copy)).revision
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert resolve(str(copy)).revision != before


@pytest.mark.parametrize("name", ["smolm2", "./nowhere", "a/b/c"])
def test_unknown_models_are_refused(name):
    with pytest.raises(InputError, match="smollm2-135m"):
        resolve(name)


def test_a_hub_model_that_is_not_here_says_so_in_one_line():
    with pytest.raises(InputError) as error:
        load_tokenizer(resolve("nobody/no-such-model"))
    assert len(error.value.problems) == 1
    assert "\n" not in error.value.problems[0]


def test_a_model_without_a_template_is_refused(tiny_dir):
    tokenizer = load_tokenizer(resolve(str(tiny_dir)))
    tokenizer.chat_template = None
    with pytest.raises(InputError, match="no chat template"):
        prompts.chat_ids(tokenizer, [{"role": "user", "content": "hi"}])


def test_adapters_are_checked_against_their_base(tmp_path):
    adapter = make_adapter(tmp_path / "run" / "checkpoint-5", "some/base")
    check_adapter(adapter, "some/base")
    with pytest.raises(InputError, match="trained on 'some/base', not on 'other'"):
        check_adapter(adapter, "other")
    with pytest.raises(InputError, match="no such directory"):
        check_adapter(str(tmp_path / "missing"), "some/base")
    with pytest.raises(InputError, match=r"no adapter_config.json; did you mean .*checkpoint-5"):
        check_adapter(str(tmp_path / "run"), "some/base")
    with pytest.raises(InputError, match="name it as `adapter`"):
        resolve(adapter)


def test_the_run_record_names_the_base_before_peft_does(tmp_path):
    adapter = make_adapter(tmp_path / "a", "/somewhere/in/a/cache")
    (tmp_path / "a" / "infoagent.json").write_text(json.dumps({"base_model": "smollm2-135m"}))
    assert adapter_base(adapter) == "smollm2-135m"
