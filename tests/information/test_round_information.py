"""Information over rounds, and what survives compacting anew, against enumerated joint distributions."""

import math

import numpy as np
import pytest

from infoagent.information import (
    deterministic_nats,
    estimate_mi,
    estimate_rounds,
    estimate_survival,
    infonce_terms,
    rest_after,
    saturated_after,
)


def information(joint):
    """I between the first axis and all others of a joint table, from its definition."""
    table = joint.reshape(len(joint), -1)
    product = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True)
    reached = table > 0
    return float((table[reached] * np.log(table[reached] / product[reached])).sum())


class Talk:
    """X → Z1 → Q2 ~ policy(Z1) → Z2 ~ p(·| X, Q2, Z1), every table drawn; `joint` is p(x, z1, q2, z2)."""

    def __init__(self, policy, seed=0, documents=5, texts=3):
        rng = np.random.default_rng(seed)
        self.policy_ZQ = policy
        self.first_XZ = rng.dirichlet(np.full(texts, 0.7), size=documents)
        self.second_XZQZ = rng.dirichlet(np.full(texts, 0.7), size=(documents, texts, policy.shape[1]))
        self.joint = self.first_XZ[:, :, None, None] * policy[None, :, :, None] * self.second_XZQZ / documents

    def rows(self, with_policy=False):
        """Every possible talk: (R, C, K) step log-probabilities under all documents, source, weight."""
        x, z, q, w = np.nonzero(self.joint)
        first, second = np.log(self.first_XZ[:, z].T), np.log(self.second_XZQZ[:, z, q, w].T)
        if with_policy:
            second = second + np.log(self.policy_ZQ[z, q])[:, None]
        return np.stack([first, second]), x, self.joint[x, z, q, w]


GREEDY = np.eye(3)[[1, 0, 2]]
DRAWN = np.array([[0.5, 0.5], [0.9, 0.1], [0.3, 0.7]])


@pytest.mark.parametrize("policy", [GREEDY, DRAWN], ids=["greedy questions", "drawn questions"])
def test_the_total_is_the_information_of_the_whole_talk_and_the_gain_its_conditional_part(policy):
    talk = Talk(policy)
    steps, source, weights = talk.rows()
    first, second = estimate_rounds(steps, source, weights=weights)
    alone, whole = information(talk.joint.sum(axis=(2, 3))), information(talk.joint)
    assert first.total.infonce_nats == pytest.approx(alone, abs=1e-12)
    assert first.gain.value == pytest.approx(alone, abs=1e-12)
    assert second.total.infonce_nats == pytest.approx(whole, abs=1e-12)
    # I(X; Z2 | Z1 Q2) by hand: the talks with each (z1, q2) are a source of their own
    by_past = talk.joint.transpose(1, 2, 0, 3).reshape(-1, 5, 3)
    conditional = sum(p.sum() * information(p / p.sum()) for p in by_past if p.sum() > 0)
    assert second.gain.value == pytest.approx(conditional, abs=1e-12)
    assert second.room_nats == pytest.approx(np.log(5) - alone, abs=1e-12)


def test_the_probability_of_the_questions_cancels():
    talk = Talk(DRAWN)
    steps, source, weights = talk.rows()
    asked, _, _ = talk.rows(with_policy=True)
    assert not np.allclose(steps, asked)
    for one, other in zip(
        estimate_rounds(steps, source, weights=weights), estimate_rounds(asked, source, weights=weights), strict=True
    ):
        assert other.total.infonce_nats == pytest.approx(one.total.infonce_nats, abs=1e-12)


def test_drawn_questions_are_a_part_of_what_the_reader_knows_and_greedy_ones_add_nothing():
    drawn, greedy = Talk(DRAWN), Talk(GREEDY)
    assert information(drawn.joint.sum(axis=2)) < information(drawn.joint) - 0.01
    assert information(greedy.joint.sum(axis=2)) == pytest.approx(information(greedy.joint), abs=1e-12)


def test_gains_add_up_row_by_row_and_a_wrong_past_gives_another_number():
    rng = np.random.default_rng(1)
    steps = np.log(rng.dirichlet(np.ones(6), size=(4, 30, 6))[..., 0])
    source = np.arange(30) % 6
    rounds = estimate_rounds(steps, source, document=np.arange(30) // 2)
    assert sum(r.gain.value for r in rounds) == pytest.approx(rounds[-1].total.infonce_nats, abs=1e-12)
    # the naive twin: each row's prior is what the rounds before left
    prior = np.full((30, 6), 1 / 6)
    for number, found in enumerate(rounds):
        likelihood = np.exp(steps[number])
        rows = np.log(likelihood[np.arange(30), source] / (prior * likelihood).sum(axis=1))
        assert found.gain.value == pytest.approx(rows.reshape(15, 2).mean(axis=1).mean(), abs=1e-12)
        prior = prior * likelihood / (prior * likelihood).sum(axis=1, keepdims=True)
    shuffled = steps.copy()
    shuffled[1] = shuffled[1][::-1]
    wrong = estimate_rounds(shuffled, source, document=np.arange(30) // 2)
    assert wrong[1].gain.value != pytest.approx(rounds[1].gain.value, abs=1e-3)


def test_it_saturates_where_a_round_repeats_what_was_said():
    rng = np.random.default_rng(2)
    source = np.arange(60) % 4
    said = np.log(np.where(np.eye(4)[source] > 0, 0.7, 0.1))
    noise = np.tile(np.log(rng.uniform(0.1, 0.9, size=(60, 1))), (1, 4))  # tells nothing: alike under all documents
    said = said + rng.normal(scale=0.05, size=said.shape) - 0.5
    gains = estimate_rounds(np.stack([said, said, noise, said]), source, document=np.arange(60))
    assert [g.gain.low > 0 for g in gains] == [True, True, False, True]
    assert saturated_after(gains) is None  # the third tells nothing, and the fourth gains
    assert saturated_after(gains[:2]) is None
    assert saturated_after(gains[:3]) == 2
    rest = rest_after(gains, 1)
    assert rest.value == pytest.approx(sum(g.gain.value for g in gains[1:]), abs=1e-12)
    with pytest.raises(ValueError, match="between 0 and 3"):
        rest_after(gains, 4)
    assert gains[2].gain.value == pytest.approx(0, abs=1e-12)


def test_small_gains_that_are_shown_together_are_no_saturation():
    """Eight independent looks at one of four documents, each of them noisy: the truth is a gain in every round."""
    rng = np.random.default_rng(3)
    source = np.arange(40) % 4
    channel_KZ = 0.18 + 0.28 * np.eye(4)  # p(text | document)
    said_RC = np.array([[rng.choice(4, p=channel_KZ[s]) for s in source] for _ in range(8)])
    gains = estimate_rounds(np.log(channel_KZ.T[said_RC]), source, document=np.arange(40))
    first_alone = next(g.round - 1 for g in gains if not g.gain.low > 0)
    assert first_alone < 7
    assert rest_after(gains, first_alone).low > 0
    ended = saturated_after(gains)
    assert ended is None or ended > first_alone


def test_what_is_no_round_is_refused():
    with pytest.raises(ValueError, match="needed is \\(rounds, compressions, documents\\)"):
        estimate_rounds(np.zeros((3, 4)), [0, 1, 2])


# A closed-form chain F → Z1 → Z2 → …: each step keeps the symbol with probability 5/8, else one of the three others alike.
# After r steps it is right with (1 + 3 · 2^-r)/4, so counts of 64 hold it exactly.
VERSIONS, ROWS, HISTORIES = 4, 64, 6


def right(steps):
    return (1 + 3 * 0.5**steps) / 4


def exact(steps):
    p, q = right(steps), (1 - right(steps)) / 3
    return float(np.log(4) + p * np.log(p) + 3 * q * np.log(q))


def chain_rows(steps, critic_steps):
    """The outcomes of the chain in their proportions, under a critic that believes in `critic_steps` steps."""
    hits, miss = round(ROWS * right(steps)), round(ROWS * (1 - right(steps)) / 3)
    assert hits + 3 * miss == ROWS
    z = np.tile(np.repeat([0, 1, 2, 3], [hits, miss, miss, miss]), HISTORIES)
    p, q = right(critic_steps), (1 - right(critic_steps)) / 3
    log_probs = np.log(np.where(z[:, None] == np.arange(VERSIONS)[None, :], p, q))
    return log_probs, np.zeros(len(z), dtype=int), np.repeat(np.arange(HISTORIES), ROWS)


def test_a_critic_at_its_fitted_scale_finds_what_a_chain_of_compactions_keeps():
    values = []
    for steps in (1, 2, 3, 4):
        log_probs, source, document = chain_rows(steps, critic_steps=1)
        found = estimate_survival(log_probs, source, document=document)
        assert found.value.value == pytest.approx(exact(steps), abs=1e-9)
        marginal, _, _ = chain_rows(steps, critic_steps=steps)
        assert estimate_mi(marginal, source, document=document).infonce_nats == pytest.approx(exact(steps), abs=1e-12)
        assert found.plain_nats <= exact(steps) + 1e-12
        values.append(found.value.value)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.1 * values[0]
    # the critic of the first step believes later texts too much: without its scale the bound is far below
    log_probs, source, document = chain_rows(4, critic_steps=1)
    assert estimate_survival(log_probs, source, document=document).plain_nats < -0.2


def test_adding_up_the_chain_measures_the_first_summary_and_does_not_fall():
    log_probs, source, document = chain_rows(1, critic_steps=1)
    later = np.full_like(log_probs, np.log(5 / 8))  # p(z2 | z1) is the same number whatever the facts were
    rounds = estimate_rounds(np.stack([log_probs, later, later]), source, document=document)
    assert [r.total.infonce_nats for r in rounds] == pytest.approx([exact(1)] * 3, abs=1e-12)
    assert rounds[-1].total.infonce_nats > 5 * exact(3)


def test_the_scale_of_a_document_is_fitted_on_others():
    log_probs, source, document = chain_rows(1, critic_steps=1)
    liar = document == 5  # one history whose texts all tell another version
    log_probs[liar] = np.log([1e-3, 0.997, 1e-3, 1e-3])
    found = estimate_survival(log_probs, source, document=document)
    # five folds by turns: the liar shares one with document 0, so that only this fold does not know of it
    assert found.betas[0] == 1.0
    assert all(beta < 0.9 for beta in found.betas[1:])
    for own in (0, 1):
        mine = infonce_terms(log_probs[document == own] * found.betas[own], source[document == own]).mean()
        assert found.per_document_nats[own] == pytest.approx(mine, abs=1e-12)
    with pytest.raises(ValueError, match="1 document"):
        estimate_survival(log_probs[:ROWS], source[:ROWS], document=document[:ROWS])


def test_a_text_that_is_a_function_of_its_version_tells_it_as_far_as_no_other_gives_the_same():
    assert deterministic_nats([1, 2, 4], 4) == pytest.approx([np.log(4), np.log(2), 0])
    # by its definition: three versions of which two end alike, all equally likely
    joint = np.array([[1, 0], [1, 0], [0, 1]]) / 3
    assert deterministic_nats([2, 2, 1], 3).mean() == pytest.approx(information(joint), abs=1e-12)
    with pytest.raises(ValueError, match="between 1 and 4"):
        deterministic_nats([0], 4)


def test_rounds_among_near_and_far_documents_have_no_upper_bound():
    steps_RCK = np.log(np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 4)))
    source = np.zeros(4, dtype=int)
    mixed, one_pool = (estimate_rounds(steps_RCK, source, document=range(4), even=even) for even in (False, True))
    for a, b in zip(mixed, one_pool, strict=True):
        assert math.isnan(a.total.leave_one_out_nats)
        assert math.isfinite(b.total.leave_one_out_nats)
        assert a.total.infonce_nats == b.total.infonce_nats
