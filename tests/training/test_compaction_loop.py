"""Compaction in the loop: whose memory each sample reads, returns against a naive twin, whole histories in a step, a run."""

import math

import numpy as np
import pytest
import torch
from conftest import run_killed_at, run_script
from hypothesis import given
from hypothesis import strategies as st

from infoagent.config import load_recipe
from infoagent.files import read_jsonl
from infoagent.lm.compacting import context_text
from infoagent.recipes import GRPORecipe
from infoagent.training.compaction_loop import CompactionLoop, course_of, returns
from infoagent.training.estimate import describe_grpo
from infoagent.training.preparation import prepare
from infoagent.training.prompt_rows import NEWS, PLACE, courses_of, training_rows
from infoagent.training.recipe_reward import build_reward
from infoagent.types import Compression, InputError

RECIPE = "configs/train/compaction.yaml"


def overrides(tiny_dir, out, *more):
    return [
        f"output_dir={out}", f"model.name={tiny_dir}", "model.dtype=float32", "data.limit=12", "data.every=1", "data.compactions=3",
        "negatives.counterfactual=2", "grpo.steps=4", "grpo.prompts_per_step=3", "grpo.num_generations=3", "grpo.micro_batch=9",
        "grpo.max_completion_tokens=10", "grpo.save_steps=2", "grpo.learning_rate=0.01", "lora.r=4", "reward.budget=8",
        "tracking.wandb=disabled", *more,
    ]  # fmt: skip


def prepared_rows(tiny_dir, *more):
    recipe = load_recipe(GRPORecipe, RECIPE, overrides(tiny_dir, "unused", *more))
    prepared = prepare(recipe, 10, quiet=True)
    return recipe, prepared, training_rows(prepared, recipe)


def naive_returns(rewards, rounds, group, discount):
    """A sum over the later rounds of the same sample, one by one."""
    found = []
    for place in range(len(rewards)):
        round_ = place // group % rounds
        found.append(
            sum(discount**later * rewards[place + later * group] for later in range(rounds - round_) if later == 0 or discount)
        )
    return found


REWARDS = st.floats(-3, 3) | st.just(math.nan)


@given(st.data(), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.sampled_from([0.0, 0.5, 1.0]))
def test_returns_are_the_discounted_sums_of_each_course(data, rounds, group, histories, discount):
    size = rounds * group * histories
    rewards = data.draw(st.lists(REWARDS, min_size=size, max_size=size))
    found = returns(torch.tensor(rewards, dtype=torch.float64), rounds, group, discount).tolist()
    assert found == pytest.approx(naive_returns(rewards, rounds, group, discount), nan_ok=True, abs=1e-9)


def test_rows_are_whole_histories_in_their_order(tiny_dir):
    recipe, prepared, rows = prepared_rows(tiny_dir, "reward.budget=null", "reward.budget_range=[4,9]")
    assert len(rows) == recipe.grpo.steps * recipe.grpo.prompts_per_step
    seen = []
    for start in range(0, len(rows), 3):
        problems = [prepared.problems[rows[start + r]["problem_index"]] for r in range(3)]
        assert [rows[start + r][PLACE] for r in range(3)] == [1, 2, 3]
        assert len({p.part_of for p in problems}) == 1
        assert [len(p.document) for p in problems] == sorted(len(p.document) for p in problems)
        assert [rows[start + r][NEWS] for r in range(3)] == [p.news for p in problems]
        assert len({rows[start + r]["budget"] for r in range(3)}) == 1, "one budget for a history"
        assert problems[1].news in rows[start + 1]["prompt"][0]["content"]
        assert problems[0].news not in rows[start + 1]["prompt"][0]["content"]
        seen.append(problems[0].part_of)
    assert len(set(seen)) == 4, "every history once before any comes again"


class Written:
    """In a trainer's place: what was asked is noted, and each text names its round and its row."""

    num_generations = 2
    eos_token_ids = (0,)

    def __init__(self, tokenizer):
        self._tokenizer, self.asked = tokenizer, []

    def _tokenize_prompts(self, chats):
        self.asked.append([chat[0]["content"] for chat in chats])
        return [[len(self.asked), n] for n in range(len(chats))], None, {}

    def _generate_single_turn(self, prompt_ids, images, fields, group):
        texts = [f"memory {round_} of row {row}" for round_, row in prompt_ids]
        return [[*self._tokenizer.encode(text, add_special_tokens=False), 0] for text in texts], None


def test_every_sample_reads_its_own_memory_and_what_is_new(tiny_dir):
    recipe, prepared, rows = prepared_rows(tiny_dir)
    trainer = type("Fake", (CompactionLoop, Written), {"course": course_of(recipe)})(tokenizer=prepared.tokenizer)
    batch = [rows[i] for i in range(6) for _ in range(2)]  # two histories of three compactions, two samples each
    trainer._course_rows = batch
    out = trainer.rollout_func([row["prompt"] for row in batch], trainer)
    first, second, third = trainer.asked
    assert all(text.startswith(batch[i][NEWS]) for text, i in zip(first, (0, 1, 6, 7), strict=True))
    for n, i in enumerate((2, 3, 8, 9)):
        assert second[n].startswith(context_text(f"memory 1 of row {n}", [batch[i][NEWS]]))
        assert third[n].startswith(context_text(f"memory 2 of row {n}", [batch[i + 2][NEWS]]))
    assert out["prompt_ids"] == [[1, 0], [1, 1], [2, 0], [2, 1], [3, 0], [3, 1], [1, 2], [1, 3], [2, 2], [2, 3], [3, 2], [3, 3]]
    texts = [prepared.tokenizer.decode(ids[:-1]) for ids in out["completion_ids"]]
    assert texts == [f"memory {round_} of row {row}" for round_, row in out["prompt_ids"]]


def test_without_a_loop_nothing_is_followed(tiny_dir):
    recipe = load_recipe(GRPORecipe, RECIPE, overrides(tiny_dir, "unused", "grpo.loop=null"))
    assert course_of(recipe) is None
    trainer = type("Fake", (CompactionLoop, Written), {"course": None})(tokenizer=None)
    assert not hasattr(trainer, "rollout_func")


@pytest.fixture(scope="module")
def unbroken(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("loop") / "run"
    result = run_script("train/grpo.py", RECIPE, *overrides(tiny_dir, out, "grpo.loop.discount=0.5"))
    assert result.returncode == 0, result.stderr
    return out


def test_a_run_tells_of_the_first_and_the_last_memory(unbroken):
    rows = read_jsonl(unbroken / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    for row in rows:
        assert math.isfinite(row["loop/first_reward"])
        assert math.isfinite(row["loop/last_reward"])
        assert 0 < row["rate/tokens"] <= 10
        assert row["mi/nats"] <= math.log(3) + 1e-6
    assert len({row["train/grad_norm"] for row in rows}) == 4


def test_killed_in_mid_step_it_draws_the_same_courses_again(tiny_dir, unbroken, tmp_path):
    out = tmp_path / "run"
    asked = ("train/grpo.py", RECIPE, *overrides(tiny_dir, out, "grpo.loop.discount=0.5"))
    run_killed_at("metrics.jsonl#4", *asked)
    assert len(read_jsonl(out / "metrics.jsonl")) == 3
    result = run_script(*asked)
    assert result.returncode == 0, result.stderr
    assert "resuming from" in result.stderr
    for whole, resumed in zip(read_jsonl(unbroken / "metrics.jsonl"), read_jsonl(out / "metrics.jsonl"), strict=True):
        for name in ("reward/total", "rate/tokens", "loop/first_reward", "loop/last_reward"):
            assert resumed[name] == pytest.approx(whole[name], abs=1e-5), name


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["data.name=records", "data.every=null", "data.compactions=null", "data.min_words=30"], "is no growing conversation"),
        (["grpo.prompts_per_step=4", "grpo.micro_batch=12"], r"grpo\.prompts_per_step = 4: a step in the loop"),
    ],
)
def test_what_cannot_be_a_course_is_refused(tiny_dir, more, message):
    with pytest.raises(InputError, match=message):
        prepared_rows(tiny_dir, *more)
    with pytest.raises(InputError, match=message):  # and --dry-run says so
        describe_grpo(load_recipe(GRPORecipe, RECIPE, overrides(tiny_dir, "unused", *more)))


def test_the_critics_scale_multiplies_what_the_scorer_says(tiny_dir):
    recipe, prepared, _ = prepared_rows(tiny_dir, "reward.critic_scale=0.5")

    class Told:
        concurrency = 1

        def score(self, prefixes, continuations):
            return -(np.arange(len(prefixes) * len(continuations), dtype=float).reshape(len(continuations), len(prefixes)) ** 2)

    reward = build_reward(recipe, prepared, Told())
    [one, other] = reward.information(0, [Compression("", text, (5,), "stop") for text in "ab"], None)
    table = -(np.arange(6.0).reshape(2, 3) ** 2) / 2
    wanted = np.log(3) + table[:, 0] - np.log(np.exp(table).sum(1))
    assert [one.mi_nats, other.mi_nats] == pytest.approx(wanted)
    assert [one.source_nats, other.source_nats] == [0, -9], "what likely language is worth knows no scale"


def test_histories_that_lost_a_compaction_are_refused(tiny_dir):
    recipe, prepared, _ = prepared_rows(tiny_dir)
    with pytest.raises(InputError, match="1 of 4 histories have a compaction with fewer than"):
        courses_of(prepared.problems[:-1], recipe)


def test_a_history_is_not_divided_over_processes(tiny_dir, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(InputError, match="are divided over processes"):
        prepared_rows(tiny_dir, "grpo.micro_batch=3")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("grpo.algorithm=rloo", "with loop: take grpo and none"),
        ("grpo.proposals=[x]", "proposals with loop"),
        ("vllm.enabled=true", "vllm.enabled with grpo.loop"),
        ("validation.limit=4", "validation with grpo.loop"),
        ("prompt.pick_tokens=64", r"prompt\.pick_tokens with grpo\.loop: .* drop it"),
        ("data.truncate=head", "data.truncate with grpo.loop"),
        ("grpo.loop.discount=1.5", "discount"),
    ],
)
def test_settings_that_do_not_go_together_are_a_line(more, message):
    with pytest.raises(InputError, match=message):
        load_recipe(GRPORecipe, RECIPE, [more])  # of --dry-run as well
