"""Another tokenizer or chat template under the same weights is another model, in its revision and in every record's key."""

import json
import os

import pytest
from tiny import CHAT_TEMPLATE, tiny_tokenizer

from infoagent.lm import models
from infoagent.lm.identity import PROMPT_HASH, SOURCE_FILE, note_prompt, prompt_hash, same_revision
from infoagent.lm.models import resolve
from infoagent.lm.reference import record_identity
from infoagent.recipes.evaluation import PredictorSection


@pytest.fixture
def folder(tmp_path):
    """Weights that nobody reads, and a real tokenizer."""
    directory = tmp_path / "model"
    tiny_tokenizer().save_pretrained(directory)
    (directory / "config.json").write_text('{"model_type": "llama"}')
    (directory / "model.safetensors").write_bytes(b"weights")
    return directory


def change(file, old, new):
    """Other content under the same size and time: what a copy or a checkout may leave."""
    before = file.stat()
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


CHANGES = {
    "template file": ("chat_template.jinja", "assistant", "Assistant"),
    "tokenizer": ("tokenizer.json", '"content": "<|start|>"', '"content": "<|begin|>"'),
    "settings": ("tokenizer_config.json", "2048", "4096"),
}


@pytest.mark.parametrize("what", CHANGES)
@pytest.mark.parametrize("made_here", [False, True])
def test_a_change_of_prompt_files_changes_the_revision_and_back_again(folder, what, made_here):
    if made_here:  # converted or merged by this package: its revision is written beside it
        (folder / SOURCE_FILE).write_text(json.dumps({"revision": "merged:0123", PROMPT_HASH: prompt_hash(folder)}))
    before = resolve(str(folder)).revision
    assert made_here is (before == "merged:0123")
    file, old, new = CHANGES[what]
    change(folder / file, old, new)
    after = resolve(str(folder)).revision
    assert after != before
    assert after.partition("+p:")[0] == before.partition("+p:")[0]  # the weights are the same
    change(folder / file, new, old)
    assert resolve(str(folder)).revision == before


def test_every_key_names_the_prompt_files(folder):
    from infoagent.applications.rounds.steps import writer_identity
    from infoagent.evaluation.identity import predictor_identity
    from infoagent.recipes.compressors import CompressorSection

    reader = PredictorSection(name=str(folder))
    writer = CompressorSection(label="a", kind="lm", model={"name": str(folder)})
    before = predictor_identity(reader), writer_identity(writer)
    change(folder / "chat_template.jinja", "assistant", "Assistant")
    after = predictor_identity(reader), writer_identity(writer)
    assert all(a != b for a, b in zip(before, after, strict=True))


def test_a_template_in_a_file_of_its_own_counts_and_files_of_others_do_not(folder):
    before = resolve(str(folder)).revision
    (folder / "README.md").write_text("about")
    assert resolve(str(folder)).revision == before
    more = folder / "additional_chat_templates"
    more.mkdir()
    (more / "tools.jinja").write_text(CHAT_TEMPLATE)
    assert resolve(str(folder)).revision != before


def test_a_named_revision_of_a_folder_names_its_weights_only(folder):
    before = resolve(str(folder), "v1").revision
    assert before.startswith("v1+p:")
    change(folder / "chat_template.jinja", "assistant", "Assistant")
    after = resolve(str(folder), "v1").revision
    assert after != before
    assert resolve(str(folder), after).revision == after  # what was found can be named again


def test_what_was_converted_before_hashes_were_kept_keeps_its_revision(folder):
    (folder / SOURCE_FILE).write_text(json.dumps({"revision": "sha256:b179-c1", "name": "x"}))
    assert resolve(str(folder)).revision == "sha256:b179-c1"
    note_prompt(folder)
    assert resolve(str(folder)).revision == "sha256:b179-c1"
    assert json.loads((folder / SOURCE_FILE).read_text())["name"] == "x"
    change(folder / "chat_template.jinja", "assistant", "Assistant")
    note_prompt(folder)  # the first look stays
    assert resolve(str(folder)).revision == f"sha256:b179-c1+p:{prompt_hash(folder)}"


def test_old_runs_of_local_models_can_be_gone_on_with_and_changed_ones_cannot():
    assert same_revision("local:12", "local:12+p:ab")
    assert same_revision("local:12+p:ab", "local:12+p:ab")
    assert not same_revision("local:12+p:ab", "local:12+p:cd")
    assert not same_revision("local:12", "local:34+p:ab")
    assert not same_revision("sha256:b179-c1", "sha256:b179-c1+p:ab")  # the embedded model's hash was always known
    assert not same_revision("main", "0123")


def test_another_day_in_templates_is_another_identity(folder, monkeypatch):
    reference = resolve(str(folder))
    assert record_identity(reference) == reference.revision
    monkeypatch.setenv("INFOAGENT_TEMPLATE_DATE", "2031-03-04")
    assert record_identity(reference) == f"{reference.revision}+date:2031-03-04"


def test_a_hub_model_is_its_commit_and_a_branch_that_moves_on_does_not_move_the_run(monkeypatch):
    from types import SimpleNamespace

    commits = iter(["aaa", "bbb"])
    monkeypatch.setattr("infoagent.lm.reference.load_config", lambda _: SimpleNamespace(_commit_hash=next(commits)))
    assert record_identity(resolve("owner/of-this-test")) == record_identity(resolve("owner/of-this-test")) == "aaa"


def test_a_run_says_the_day_and_does_not_go_on_under_another(tmp_path, monkeypatch):
    from infoagent.store import provenance
    from infoagent.training.run_directory import check_same_sources, mark_complete

    assert provenance()["template_date"] == "2024-07-26"
    facts = {"data_revision": "d", "base_revision": "local:1+p:a", "base_commit": "local:1+p:a"}
    mark_complete(tmp_path, **facts, template_date="2024-07-26")
    check_same_sources(tmp_path, {**facts, "template_date": "2024-07-26"})
    with pytest.raises(models.InputError, match="template_date was 2024-07-26 and is 2031-03-04 now"):
        check_same_sources(tmp_path, {**facts, "template_date": "2031-03-04"})
    with pytest.raises(models.InputError, match=r"base_revision was .*\+p:a and is .*\+p:b now"):
        check_same_sources(tmp_path, {**facts, "base_revision": "local:1+p:b", "template_date": "2024-07-26"})
    mark_complete(tmp_path, data_revision="d", base_revision="local:1")  # of before
    check_same_sources(tmp_path, {**facts, "template_date": "2031-03-04"})
