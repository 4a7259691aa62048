"""An adapter that learnt without thoughts is not measured with them by mistake."""

import json

import pytest
from tiny import save_adapter, save_tiny, tiny_tokenizer

from infoagent.evaluation.cells import plan_cells
from infoagent.lm.models import trained_without_thoughts
from infoagent.recipes import EvaluationRecipe
from infoagent.types import InputError

SWITCH = "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"


def model_in(directory, template):
    save_tiny(directory)
    made = tiny_tokenizer()
    made.chat_template += template
    made.save_pretrained(directory)
    return str(directory)


def adapter_of(base, directory, **facts):
    save_adapter(base, directory)
    (directory / "infoagent.json").write_text(json.dumps({"base_model": base, **facts}))
    return str(directory)


def plan(base, adapter, tmp_path, **more):
    section = {"label": "trained", "model": {"name": base, "adapter": adapter}, **more}
    data = [{"name": "records", "limit": 4, "max_words": 100}]
    return plan_cells(EvaluationRecipe(output_dir=str(tmp_path / "out"), compressors=[section], data=data, negatives={"random": 2}))


@pytest.mark.parametrize(("template", "facts", "refused"), [
    (SWITCH, {"thinking": False}, True),
    (SWITCH, {}, False),  # of before that was recorded
    ("", {"thinking": False}, False),  # a model without thoughts
])  # fmt: skip
def test_such_an_adapter_on_a_model_that_thinks_must_be_told(tmp_path, template, facts, refused):
    base = model_in(tmp_path / "base", template)
    adapter = adapter_of(base, tmp_path / "adapter", **facts)
    assert trained_without_thoughts(adapter) is bool(facts)
    if refused:
        with pytest.raises(InputError, match="set thinking: false"):
            plan(base, adapter, tmp_path)
    else:
        plan(base, adapter, tmp_path)
    [cell] = plan(base, adapter, tmp_path, thinking=False)
    assert cell.scored_as.thinking is False
