"""A proposal in a GRPO group: advantages against a naive twin, the best known text by hand, and training that learns it."""

import json
import math

import pytest
import torch
from conftest import run_script
from hypothesis import given
from hypothesis import strategies as st

from infoagent.config import load_recipe
from infoagent.files import read_jsonl, write_jsonl
from infoagent.lm.models import load
from infoagent.lm.prompts import compressor_ids, end_of_turn_id, text_ids
from infoagent.lm.scoring.exact import Scorer
from infoagent.recipes import GRPORecipe
from infoagent.store import text_id
from infoagent.training.group_proposals import advantages, group_proposals, leads
from infoagent.training.preparation import prepare
from infoagent.types import InputError

GROUP = 4


def overrides(tiny_dir, out):
    return [
        "configs/train/records.yaml", f"output_dir={out}", f"model.name={tiny_dir}", "model.dtype=float32", "data.limit=12",
        "data.min_words=30", "data.max_words=40", "grpo.steps=6", "grpo.num_generations=4", "grpo.prompts_per_step=2",
        "grpo.max_completion_tokens=10", "grpo.save_steps=6", "grpo.learning_rate=0.01", "grpo.beta=0", "lora.r=4",
        "negatives.random=2", "negatives.counterfactual=2", "reward.price=0.02", "tracking.wandb=disabled",
    ]  # fmt: skip


def trajectory(out):
    return read_jsonl(out / "metrics.jsonl")


def naive(rewards, proposed):
    """One group: what each of its texts is pushed by."""
    own = [r for r, p in zip(rewards, proposed, strict=True) if not p and not math.isnan(r)]
    if not own:
        return [0.0] * len(rewards)
    mean = sum(own) / len(own)
    return [0.0 if math.isnan(r) else max(0.0, r - mean) if p else r - mean for r, p in zip(rewards, proposed, strict=True)]


REWARDS = st.floats(-3, 3) | st.just(math.nan)


@given(st.lists(st.tuples(st.lists(REWARDS, min_size=GROUP, max_size=GROUP), st.booleans()), min_size=1, max_size=4))
def test_advantages_are_those_of_the_definition(groups):
    rewards = torch.tensor([r for group, _ in groups for r in group], dtype=torch.float64)
    proposed = torch.tensor([has and place == GROUP - 1 for _, has in groups for place in range(GROUP)])
    found = advantages(leads(rewards, proposed, GROUP), proposed).tolist()
    wanted = [a for group, has in groups for a in naive(group, [has and k == GROUP - 1 for k in range(GROUP)])]
    assert found == pytest.approx(wanted, abs=1e-9)


def test_own_samples_are_pushed_as_if_the_proposal_were_not_there():
    own = torch.tensor([0.5, -1.0, 0.2])
    proposed = torch.tensor([False, False, False, True])
    for reward in (-5.0, 0.0, 5.0):
        found = advantages(leads(torch.cat([own, torch.tensor([reward])]), proposed, GROUP), proposed)
        assert found[:3].tolist() == pytest.approx((own - own.mean()).tolist())
        assert float(found[3]) == pytest.approx(max(0.0, reward + 0.1), abs=1e-6)


def row(problem, text, tokenizer, reward, **more):
    return {
        "problem_id": problem.id, "document": text_id(problem.document), "query": text_id(problem.query), "round": 1, "sample": 0,
        "token_ids": list(text_ids(tokenizer, text)), "text": text, "finish": "stop", "gated": False, "parts": {"mi": reward},
        "rate_tokens": len(text_ids(tokenizer, text)), "rate_bytes": len(text.encode()), "reward": reward, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def made(tiny_dir, tmp_path_factory):
    """A recipe, its problems, and a directory with texts on the first two."""
    directory = tmp_path_factory.mktemp("teacher")
    given_to = [*overrides(tiny_dir, directory / "run")[1:], f"grpo.proposals=[{directory}]"]
    recipe = load_recipe(GRPORecipe, "configs/train/records.yaml", given_to)
    prepared = prepare(recipe, 10, quiet=True)
    first, second = prepared.problems[:2]
    tokenizer = prepared.tokenizer
    rows = [
        row(first, "good", tokenizer, 1.0),
        row(first, "better", tokenizer, 2.0, origin="windows"),
        row(first, "best of all but a yardstick", tokenizer, 9.0, origin="bm25 cut"),
        row(first, "long " * 40, tokenizer, 8.0, origin="windows"),
        row(first, "gated", tokenizer, 7.0, gated=True),
        {**row(second, "failed", tokenizer, 0.0, failed="why"), "reward": None},
        row(second, "worse", tokenizer, -1.0),
    ]
    (directory / "candidates.json").write_text("{}")
    write_jsonl(directory / "candidates.jsonl", [{k: v for k, v in r.items() if v is not None} for r in rows])
    return recipe, prepared, directory


def test_the_best_text_that_fits_is_proposed(made):
    recipe, prepared, _ = made
    end = end_of_turn_id(prepared.tokenizer)
    found = group_proposals(recipe, prepared)
    assert found == {0: [*text_ids(prepared.tokenizer, "better"), end], 1: [*text_ids(prepared.tokenizer, "worse"), end]}


def test_training_imitates_it_and_counts_it_nowhere(tiny_dir, made, tmp_path):
    """With and without proposals, from the same seed: only with them is the proposed text likelier afterwards."""
    _, prepared, directory = made
    problem, base = prepared.problems[0], load(str(tiny_dir), dtype="float32", device="cpu")
    proposal = [*text_ids(base.tokenizer, "better"), end_of_turn_id(base.tokenizer)]
    gained = {}
    for name, proposals in (("with", f"[{directory}]"), ("without", "[]")):
        out = tmp_path / name
        more = [f"grpo.proposals={proposals}", "data.limit=2", "negatives.random=0", "grpo.warmup_steps=0"]
        result = run_script("train/grpo.py", *overrides(tiny_dir, out), *more)
        assert result.returncode == 0, result.stderr
        trained = load(str(tiny_dir), dtype="float32", device="cpu", adapter=str(out / "checkpoint-6"))
        prefix = compressor_ids(base.tokenizer, problem.document, problem.query)
        before, after = (float(Scorer(lm.model).score([prefix], [proposal])[0, 0]) for lm in (base, trained))
        gained[name] = after - before
        rows = trajectory(out)
        assert ["proposals/lead_nats" in r for r in rows] == [name == "with"] * 6
        assert all(0 <= r["rate/tokens"] <= 10 for r in rows)
    leads_seen = [r["proposals/lead_nats"] for r in trajectory(tmp_path / "with")]
    if max(leads_seen) <= 0:
        pytest.fail(f"the proposal never led: {leads_seen}; the test proves nothing")
    assert gained["with"] > gained["without"] + 0.5
    # the first step's own samples are those of the run without: only the last of each group is replaced
    first = {name: read_jsonl(tmp_path / name / "samples.jsonl")[0] for name in gained}
    assert first["with"]["compression"] == first["without"]["compression"]


@pytest.mark.parametrize("case", ["own", "another model", "another revision", "another text", "no such word", "no such end"])
def test_a_text_of_another_model_is_proposed_in_the_policys_tokens(made, tmp_path, case):
    recipe, prepared, _ = made
    tokenizer, end, [first, second] = prepared.tokenizer, end_of_turn_id(prepared.tokenizer), prepared.problems[:2]
    model = {"name": prepared.reference.name, "revision": prepared.reference.revision, "dtype": "float32"}
    own, mark, stop = text_ids(tokenizer, "better"), tokenizer.convert_tokens_to_ids("<|start|>"), tokenizer.eos_token_id
    drawn = [*own, mark]  # other ids that say the same: a text has no control tokens
    told = {
        "own": (model, drawn, stop),
        "another model": ({**model, "name": "another"}, drawn, stop),
        "another revision": ({**model, "revision": "another"}, drawn, stop),
        "another text": (model, text_ids(tokenizer, "worse"), stop),
        "no such word": (model, [*drawn, 10**6], stop),
        "no such end": (model, drawn, 10**6),
    }
    named, ids, ended = told[case]
    rows = [
        row(first, "better", tokenizer, 1.0, token_ids=ids, rate_tokens=len(ids), stop_id=ended),
        # as short as it says in its own tokens only: by the policy's it fits nowhere
        row(second, "long " * 40, tokenizer, 1.0, token_ids=[7], rate_tokens=1),
    ]
    (tmp_path / "candidates.json").write_text(json.dumps({"settings": {"model": named}}))
    write_jsonl(tmp_path / "candidates.jsonl", rows)
    asked = recipe.model_copy(update={"grpo": recipe.grpo.model_copy(update={"proposals": [str(tmp_path)]})})
    assert group_proposals(asked, prepared) == {0: [*drawn, stop] if case == "own" else [*own, end]}


def test_a_foreign_text_costs_what_it_takes_of_the_policys_tokens(made, tmp_path):
    recipe, prepared, _ = made
    tokenizer, first = prepared.tokenizer, prepared.problems[0]
    long, short = "the best", "better"
    paid = len(text_ids(tokenizer, long)) - len(text_ids(tokenizer, short))
    if paid < 1 or len(text_ids(tokenizer, long)) >= recipe.grpo.max_completion_tokens:
        pytest.fail(f"{long!r} takes {paid} tokens more than {short!r}; the test proves nothing")
    lead = recipe.reward.price * paid / 2  # of the long one, before either pays for its tokens
    rows = [
        row(first, long, tokenizer, 1.0, token_ids=[7], rate_tokens=1, parts={"mi": 1.0 + lead, "rate": 0.0}),
        row(first, short, tokenizer, 1.0, token_ids=[8], rate_tokens=1, parts={"mi": 1.0, "rate": 0.0}),
    ]
    (tmp_path / "candidates.json").write_text(json.dumps({"settings": {"model": {"name": "another", "revision": "1"}}}))
    write_jsonl(tmp_path / "candidates.jsonl", rows)
    asked = recipe.model_copy(update={"grpo": recipe.grpo.model_copy(update={"proposals": [str(tmp_path)]})})
    assert group_proposals(asked, prepared) == {0: [*text_ids(tokenizer, short), end_of_turn_id(tokenizer)]}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["grpo.algorithm=rloo"], "algorithm 'rloo' with proposals: set it to grpo"),
        (["grpo.scale_rewards=group"], "scale_rewards 'group' with proposals"),
        (["grpo.beta=0.01"], r"beta 0\.01 with proposals: no KL on texts that were not sampled"),
        (["grpo.num_generations=2"], "num_generations 2 with proposals"),
        (["vllm.enabled=true"], "grpo.proposals with vllm.enabled"),
        (["reward.price=null", "reward.budget_range=[4, 8]"], "grpo.proposals with reward.budget_range"),
    ],
)
def test_what_cannot_stand_beside_proposals_is_refused(tiny_dir, more, message):
    given_to = [*overrides(tiny_dir, "unused")[1:], "grpo.proposals=[x]", *more]
    with pytest.raises(InputError, match=message):
        load_recipe(GRPORecipe, "configs/train/records.yaml", given_to)


def test_directories_without_texts_are_refused_a_line_each(made, tmp_path):
    recipe, prepared, directory = made
    other = tmp_path / "other"
    other.mkdir()
    (other / "candidates.json").write_text("{}")
    (other / "candidates.jsonl").write_text(json.dumps({**read_jsonl(directory / "candidates.jsonl")[0], "problem_id": "?"}) + "\n")
    asked = recipe.model_copy(update={"grpo": recipe.grpo.model_copy(update={"proposals": [str(tmp_path), str(other)]})})
    with pytest.raises(InputError) as error:
        group_proposals(asked, prepared)
    lines = str(error.value).splitlines()
    assert [
        ("holds no candidates.jsonl" in line, "holds no sample for a problem of the recipe's data" in line) for line in lines
    ] == [(True, False), (False, True)]


def test_a_group_that_is_divided_over_processes_is_refused(made, monkeypatch):
    recipe, prepared, _ = made
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(InputError, match="a group of 4 is divided over processes, of which each has 2 completions"):
        group_proposals(recipe, prepared)
