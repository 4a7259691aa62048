"""Groups that a served scorer works on at the same time, and in the background: the same rewards, each asked for once."""

import threading
from types import SimpleNamespace

import pytest
from conftest import eventually
from drawn import draw_negatives
from tiny import tiny_model, tiny_tokenizer

from infoagent.data.negatives import Counts
from infoagent.data.registry import load_data
from infoagent.lm.prompts import Prompt, text_ids
from infoagent.lm.scoring.exact import Scorer
from infoagent.pricing.parts import Price
from infoagent.reward.mi_reward import MIReward
from infoagent.training.early_scoring import EarlyScoring

PROBLEMS = list(load_data("records", split="train", limit=4, min_words=30, max_words=40).problems)
NEGATIVES = draw_negatives(PROBLEMS, Counts(random=1, counterfactual=2), 0)
TOKENIZER = tiny_tokenizer()
INDEX = [2, 0, 2, 1, 0, 1, 3]
IDS = [[*text_ids(TOKENIZER, f"text {row} of {PROBLEMS[i].id}"), TOKENIZER.eos_token_id] for row, i in enumerate(INDEX)]


def reward_of(scorer):
    return MIReward(PROBLEMS, NEGATIVES, TOKENIZER, Prompt(thinking=False), price=Price(0.02), scorer=scorer)


class Served:
    """As many calls at a time as there are groups; each waits until `together` of them are under way."""

    concurrency = 4

    def __init__(self, together=4):
        self.scorer = Scorer(tiny_model(len(TOKENIZER)))
        self.lock, self.barrier, self.calls = threading.Lock(), threading.Barrier(together), 0

    def score(self, prefixes, continuations):
        self.barrier.wait(300)
        with self.lock:  # a model takes one at a time
            self.calls += 1
            return self.scorer.score(prefixes, continuations)


@pytest.fixture(scope="module")
def expected():
    return reward_of(Scorer(tiny_model(len(TOKENIZER))))([], [], IDS, INDEX)


def test_groups_go_to_a_served_scorer_together_and_come_back_in_order(expected):
    served = Served()
    assert reward_of(served)([], [], IDS, INDEX) == expected
    assert served.calls == 4
    assert len(set(expected)) == len(expected)


def test_what_was_begun_is_collected_and_other_rows_are_scored_anew(expected):
    served = Served()
    reward = reward_of(served)
    reward.begin(IDS, INDEX)
    eventually(lambda: served.calls == 4)
    assert reward([], [], IDS, INDEX) == expected
    assert served.calls == 4
    assert reward([], [], IDS, INDEX) == expected  # nothing was begun for this call
    assert served.calls == 8
    reward.begin(IDS, INDEX)
    assert reward([], [], IDS[::-1], INDEX[::-1]) == pytest.approx(expected[::-1], abs=1e-5)
    eventually(lambda: served.calls == 16)  # what was begun for other rows may still be under way


def test_a_fault_in_the_background_is_a_failed_sample():
    class Lost:
        concurrency = 2

        def score(self, prefixes, continuations):
            raise ConnectionError("no answer")

    reward = reward_of(Lost())
    reward.begin(IDS[:2], INDEX[:2])
    assert reward([], [], IDS[:2], INDEX[:2]) == [None, None]
    assert reward.last[0].failed == "ConnectionError: no answer"


def test_scoring_begins_before_the_trainer_goes_on(expected):
    served = Served()

    class Trainer:
        """The order of TRL's methods: sample, the reference, the reward."""

        def __init__(self):
            self.reward_funcs = [reward_of(served)]

        def _generate(self, prompts):
            return "prompt ids", IDS, "texts"

        def _generate_and_score_completions(self, inputs):
            _, ids, _ = self._generate([row["prompt"] for row in inputs])
            self.begun = self.reward_funcs[0]._begun is not None
            return self.reward_funcs[0]([], [], ids, [row["problem_index"] for row in inputs])

    trainer = type("Early", (EarlyScoring, Trainer), {})()
    rows = [{"prompt": "p", "problem_index": i} for i in INDEX]
    assert trainer._generate_and_score_completions(rows) == expected
    assert trainer.begun
    assert served.calls == 4
    trainer.reward_funcs = [SimpleNamespace(), reward_of(Scorer(tiny_model(len(TOKENIZER))))]
    trainer._generate([])
    assert trainer.reward_funcs[1]._begun is None  # a local scorer would take the trainer's own time
