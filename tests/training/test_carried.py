"""What a compactor reads while it imitates a text: its own part that was said before, and the newest turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.config import load_recipe
from infoagent.data.registry import load_data
from infoagent.lm.compacting import HEADING
from infoagent.proposals.sources import propose
from infoagent.recipes import SFTRecipe
from infoagent.training.carried import carried_reading
from infoagent.types import InputError, Problem

OLD, NEWS = "User: The ship left on 3 May. It has 22 plants.", "User: Anna Berg paid 40 euros."
GROWING = Problem("p", f"{OLD}\n\n{NEWS}", "?", "d", news=NEWS)


@pytest.mark.parametrize(
    ("text", "memory"),
    [
        ("left on 3 May; has 22 plants; Anna Berg paid 40 euros", "left on 3 May; has 22 plants"),
        ("It has 22 plants. User: Anna Berg paid 40 euros.", "It has 22 plants."),
        ("paid 40 euros", ""),
        ("left on 4 May; has 22 plants", "has 22 plants"),
        ("has 2; has 22", "has 22"),
    ],
)
def test_the_memory_is_what_of_the_text_was_said_before(text, memory):
    head = f"{HEADING}{memory}\n\n" if memory else ""
    assert carried_reading(GROWING, text) == head + NEWS


@given(st.lists(st.sampled_from(["left on 3 May", "has 22 plants", "The ship", "40 euros", "never said"]), unique=True))
def test_nothing_that_was_not_said_before_is_in_the_memory(pieces):
    reading = carried_reading(GROWING, "; ".join(pieces))
    memory = reading.removesuffix(NEWS).removeprefix(HEADING).strip()
    assert [p for p in memory.split("; ") if p] == [p for p in pieces if p in OLD]


def test_the_target_of_a_gathered_text_begins_with_its_memory():
    data = load_data(name="record-histories", split="train", limit=12, every=3, compactions=3)
    carried = 0
    for problem in data.problems:
        for proposal in propose(problem, problem.negatives, ["gathered"]):
            reading = carried_reading(problem, proposal.text)
            memory = reading.removesuffix(problem.news).removeprefix(HEADING).strip()
            assert reading.endswith(problem.news)
            if "; " in proposal.text and memory:
                carried += proposal.text.startswith(memory)
                assert not problem.id.endswith("/1")
    assert carried > 8


def test_what_is_no_conversation_is_refused():
    with pytest.raises(ValueError, match="no growing conversation"):
        carried_reading(Problem("p", "x", "?", "d"), "x")
    with pytest.raises(InputError, match=r"sft.carry: records is no growing conversation"):
        load_recipe(
            SFTRecipe, "configs/train/compaction_warm.yaml", ["data.name=records", "data.every=null", "data.compactions=null"]
        )
