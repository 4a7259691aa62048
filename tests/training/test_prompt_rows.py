"""The prompts of a run under any rate, as its trainer takes them: every problem once before any comes again, however long it goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.utils import RepeatSampler

from infoagent.recipes import GRPORecipe
from infoagent.training.grpo_trainer import trainer_arguments
from infoagent.training.preparation import Prepared
from infoagent.training.prompt_rows import course_order, training_rows
from infoagent.training.resumption import PassSampler
from infoagent.types import Problem


def recipe(steps, per_step, seed):
    return GRPORecipe.model_validate(
        {
            "output_dir": "unused",
            "model": {"dtype": "float32"},
            "seed": seed,
            "grpo": {"steps": steps, "prompts_per_step": per_step},
            "reward": {"budget_range": [4, 9]},
        }
    )


@pytest.fixture(scope="module")
def shuffles():
    """What the trainer is told."""
    return trainer_arguments(recipe(2, 2, 0), quiet=True).shuffle_dataset


@given(st.integers(1, 9), st.integers(1, 12), st.integers(1, 12), st.integers(0, 2**32 - 1), st.data())
def test_under_any_rate_every_problem_comes_once_before_any_comes_again(shuffles, number, steps, more, seed, data):
    per_step = data.draw(st.integers(1, number))
    problems = [Problem(f"p{i}", f"Document {i}.", "What?", f"d{i}") for i in range(number)]
    prepared = Prepared(None, None, "", problems, [()] * number)

    def taken(steps):
        """(problem, budget) in the order of the run's steps, by TRL's own sampler."""
        rows = training_rows(prepared, recipe(steps, per_step, seed))
        own = RepeatSampler(range(len(rows)), mini_repeat_count=1, batch_size=per_step, shuffle=shuffles, seed=seed)
        order = list(PassSampler(own, lambda: 0))
        assert [f"at most {row['budget']} tokens" in row["prompt"][0]["content"] for row in rows] == [True] * len(rows)
        return [(rows[i]["problem_index"], rows[i]["budget"]) for i in order]

    short, long = taken(steps), taken(steps + more)
    assert len(short) == steps * per_step
    assert long[: len(short)] == short, "raising grpo.steps goes on where the run ended"
    for start in range(0, len(long), number):
        of_pass = [index for index, _ in long[start : start + number]]
        assert len(set(of_pass)) == len(of_pass)
    for start in range(0, len(long), per_step):
        assert len({index for index, _ in long[start : start + per_step]}) == per_step, "different problems in a step"


@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_courses_stay_whole_and_come_again_in_another_order(number, length, together, steps, seed):
    courses = [[100 * course + place for place in range(length)] for course in range(number)]
    order = course_order(courses, steps * together * length, seed, together * length)
    assert len(order) == steps * together * length
    taken = [order[start : start + length] for start in range(0, len(order), length)]
    assert all(course in courses for course in taken)
    passes = [[c[0] for c in taken[start : start + number]] for start in range(0, len(taken), number)]
    assert all(len(set(of_pass)) == len(of_pass) for of_pass in passes)


def test_passes_differ():
    order = course_order([[i] for i in range(20)], 60, seed=3, per_step=2)
    assert len({tuple(order[start : start + 20]) for start in (0, 20, 40)}) == 3
