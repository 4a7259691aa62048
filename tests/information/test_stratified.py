"""The part-scored pool against the fully scored one."""

import json
import math

import exact_channels
import numpy as np
import pytest

from infoagent.information import Strata, channels, draw_strata, estimate_mi, estimate_stratified
from infoagent.information.analysis import analyse
from infoagent.information.scores import ScoreMatrix

TOPICS, PER_TOPIC = 30, 10
POOL = TOPICS * PER_TOPIC


@pytest.fixture(scope="module")
def pool():
    """A pool of topics, one compression of each document: neighbours fit it well, others badly but not equally so."""
    rng = np.random.default_rng(0)
    topic = np.repeat(np.arange(TOPICS), PER_TOPIC)
    same = topic[:, None] == topic[None, :]
    log_probs = np.where(same, -6.0, -12.0) - rng.gamma(2.0, 0.7, size=(POOL, POOL))
    log_probs[np.arange(POOL), np.arange(POOL)] = -4.0
    near_of = [np.flatnonzero(topic == topic[k]).tolist() for k in range(POOL)]
    return log_probs, np.arange(POOL), near_of


def draw(pool, n_near, n_far, rng):
    log_probs, source, near_of = pool
    strata = draw_strata(POOL, source, near_of, n_near, n_far, rng)
    return estimate_stratified(np.take_along_axis(log_probs, strata.columns_CM, axis=1), strata)


def test_the_whole_pool_gives_the_full_estimate_without_correction(pool):
    log_probs, source, _ = pool
    for n_near, n_far in ((PER_TOPIC - 1, POOL - PER_TOPIC), (0, POOL - 1)):
        found = draw(pool, n_near, n_far, np.random.default_rng(1))
        full = estimate_mi(log_probs, source)
        assert found.value_nats == pytest.approx(full.infonce_nats, abs=1e-10)
        assert found.per_compression_nats == pytest.approx(full.per_compression_nats, abs=1e-10)
        assert found.correction_nats == 0.0
        assert found.ci_nats == pytest.approx(full.ci_nats)
        assert found.uniform_nats == pytest.approx(full.infonce_nats, abs=1e-10)
        assert found.ceiling_nats == pytest.approx(math.log(POOL))


def test_near_documents_scored_densely_beat_a_uniform_sample(pool):
    full = estimate_mi(*pool[:2]).per_compression_nats
    near = draw(pool, PER_TOPIC - 1, 20, np.random.default_rng(2))
    uniform = draw(pool, 0, PER_TOPIC - 1 + 20, np.random.default_rng(2))
    near_error = np.abs(near.per_compression_nats - full)
    uniform_error = np.abs(uniform.per_compression_nats - full)
    assert np.mean(near_error**2) < 0.1 * np.mean(uniform_error**2)
    assert near.relative_error < 0.5 * uniform.relative_error
    assert near.ci_nats[0] < full.mean() < near.ci_nats[1]


def test_the_correction_takes_off_the_bias_of_the_sampled_denominator(pool):
    """Mean over many draws: too high without it, within error of the full pool with it."""
    full = estimate_mi(*pool[:2]).infonce_nats
    rng = np.random.default_rng(3)
    found = [draw(pool, 2, 12, rng) for _ in range(40)]
    plain = np.array([e.uncorrected_nats for e in found]) - full
    corrected = np.array([e.value_nats for e in found]) - full
    error = plain.std(ddof=1) / math.sqrt(len(found))
    assert plain.mean() > 5 * error
    assert abs(corrected.mean()) < 0.5 * plain.mean()
    assert np.mean([e.correction_nats for e in found]) == pytest.approx(plain.mean(), rel=0.25)


def test_relative_error_is_the_spread_of_the_denominator_over_draws(pool):
    log_probs, _, near_of = pool
    rng = np.random.default_rng(4)
    one = np.zeros(4000, dtype=int)
    strata = draw_strata(POOL, one, near_of, 4, 12, rng)
    scored = log_probs[0][strata.columns_CM]
    total = np.exp(log_probs[0]).sum()
    sums = (strata.weights() * np.exp(scored)).sum(axis=1)
    assert sums.mean() == pytest.approx(total, abs=4 * sums.std() / math.sqrt(4000))
    # a ratio to its own noisy denominator, hence the loose bound
    found = estimate_stratified(scored, strata, document=np.arange(4000))
    assert found.relative_error == pytest.approx(sums.std() / total, rel=0.15)


def test_the_uniform_cut_is_infonce_of_a_uniform_sample(pool):
    """Its mean over draws equals the mean of InfoNCE over uniform subsets of the same size."""
    log_probs, source, _ = pool
    rng = np.random.default_rng(5)
    found = [draw(pool, 6, 8, rng) for _ in range(20)]
    size = 7  # the smaller number scored, 6, and the source
    assert found[0].uniform_ceiling_nats == pytest.approx(math.log(size))
    values = []
    for _ in range(60):
        others = np.array([rng.choice(POOL - 1, size - 1, replace=False) for _ in range(POOL)])
        others += others >= source[:, None]
        rows = np.column_stack([log_probs[np.arange(POOL), source], np.take_along_axis(log_probs, others, axis=1)])
        values.append(estimate_mi(rows, np.zeros(POOL, int), document=source).infonce_nats)
    assert np.mean([e.uniform_nats for e in found]) == pytest.approx(np.mean(values), abs=0.01)


def test_plain_infonce_on_wrongly_chosen_neighbours_is_no_bound_and_the_uniform_cut_is():
    """Neighbours named from the other topic: every term reads log M, though the compression tells log 2."""
    topic = np.repeat([0, 1], 20)
    log_probs = np.where(topic[:, None] == topic[None, :], -1.0, -np.inf)
    near_of = [np.flatnonzero(topic != topic[k]).tolist() for k in range(40)]
    strata = draw_strata(40, np.arange(40), near_of, 18, 2, np.random.default_rng(6))
    found = estimate_stratified(np.take_along_axis(log_probs, strata.columns_CM, axis=1), strata)
    assert found.scored_nats > math.log(2) + 1
    assert found.uniform_nats < math.log(2)


def test_warnings_name_a_rough_denominator_and_an_unknown_spread(pool):
    rough = draw(pool, 0, 4, np.random.default_rng(7))
    assert any("no better than 20%" in note for note in rough.warnings)
    unknown = draw(pool, 4, 1, np.random.default_rng(8))
    assert math.isnan(unknown.value_nats)
    assert math.isfinite(unknown.uncorrected_nats)
    assert any("one sample in a stratum" in note for note in unknown.warnings)
    assert 1.0 <= rough.effective_samples <= 5.0


def test_rows_with_few_near_documents_take_far_ones_in_their_place():
    strata = draw_strata(20, [0, 3], [[1, 2]] + [[] for _ in range(19)], 5, 4, np.random.default_rng(9))
    assert (strata.stratum_CM == 1).sum(axis=1).tolist() == [2, 0]
    assert strata.sizes_CH.tolist() == [[1, 2, 17], [1, 0, 19]]
    assert strata.weights().sum(axis=1) == pytest.approx([20.0, 20.0])
    assert all(len(set(row)) == 10 for row in strata.columns_CM.tolist())
    assert strata.columns_CM[:, 0].tolist() == [0, 3]


def test_a_wrong_pairing_reads_below_zero(pool):
    log_probs, source, near_of = pool
    strata = draw_strata(POOL, source, near_of, 5, 20, np.random.default_rng(10))
    wrong = np.random.default_rng(11).permutation(POOL)
    assert estimate_stratified(np.take_along_axis(log_probs[wrong], strata.columns_CM, axis=1), strata).value_nats < 0


def test_a_scale_and_json(pool):
    strata = draw_strata(POOL, pool[1], pool[2], 5, 20, np.random.default_rng(12))
    scored = np.take_along_axis(pool[0], strata.columns_CM, axis=1)
    found = estimate_stratified(scored, strata, beta=0.5)
    assert found.value_nats == pytest.approx(estimate_stratified(0.5 * scored, strata).value_nats)
    assert json.loads(json.dumps(found.to_dict()))["headroom_nats"] == pytest.approx(found.headroom_nats)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: draw_strata(5, [0], [[]] * 5, 2, 3, rng), "together 1 to 4"),
        (lambda rng: draw_strata(5, [0], [[]] * 4, 1, 2, rng), "one for each of 5"),
        (lambda rng: draw_strata(5, [5], [[]] * 5, 1, 2, rng), "source holds numbers outside"),
        (lambda rng: draw_strata(5, [0], [[7]] * 5, 1, 2, rng), r"near_of\[0\]"),
        (lambda rng: estimate_stratified([[-1.0] * 3], draw_strata(9, [0], [[1]] * 9, 1, 4, rng)), "the strata hold"),
        (lambda rng: estimate_stratified([[-1.0] * 3], draw_strata(9, [0], [[1, 2, 3]] * 9, 2, 0, rng)), "none scored"),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(np.random.default_rng(0))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stratum_CM": np.array([[0, 1]])}, "shapes"),
        ({"stratum_CM": np.array([[1, 0, 2]])}, "first column"),
        ({"sizes_CH": np.array([[1, 1, 8]])}, "sum to the pool of 9"),
        ({"sizes_CH": np.array([[1, 8, 0]])}, "hold what was scored"),
    ],
)
def test_strata_that_contradict_themselves_are_refused(changes, message):
    held = {
        "columns_CM": np.array([[0, 1, 2]]),
        "stratum_CM": np.array([[0, 1, 2]]),
        "sizes_CH": np.array([[1, 1, 7]]),
        "pool_size": 9,
    }
    assert Strata(**held).weights().tolist() == [[1.0, 1.0, 7.0]]
    with pytest.raises(ValueError, match=message):
        Strata(**{**held, **changes})


def test_exact_channel_pool_is_approached_from_part_of_it():
    """A channel of 400 documents with known information, 60 columns of each row scored."""
    rng = np.random.default_rng(13)
    conditional = channels.dirichlet(400, 20, 0.5, rng)
    exact = channels.mutual_information_nats(conditional)
    log_probs, source = exact_channels.sample_outputs(conditional, 3, rng)
    strata = draw_strata(400, source, [[]] * 400, 0, 59, rng)
    found = estimate_stratified(np.take_along_axis(log_probs, strata.columns_CM, axis=1), strata)
    assert found.value_nats == pytest.approx(exact, abs=4 * found.stderr_nats)
    assert found.stderr_nats < 0.06


@pytest.mark.parametrize("near", [True, False])
def test_near_documents_among_the_scored_cost_the_upper_bound_and_the_scorer_is_not_to_blame(near):
    near_of = [[(d + 1) % 20] if near else [] for d in range(20)]
    strata = draw_strata(20, np.arange(20), near_of, int(near), 4, np.random.default_rng(3))
    scored = -np.random.default_rng(4).gamma(2.0, 3.0, size=strata.columns_CM.shape)
    found = analyse(ScoreMatrix(scored, np.zeros(20, dtype=int), document_C=np.arange(20), strata=strata, about={"estimand": "I"}))
    upper = found.estimate.leave_one_out_nats, found.estimate.midpoint_nats
    assert np.isnan(upper).all() if near else np.isfinite(upper).all()
    notes = " ".join(found.warnings)
    assert ("NaN: near documents are more among the scored columns" in notes) == near
    assert "the scorer did not draw" not in notes
    assert "the scorer does not fit" not in notes
    assert found.estimate.infonce_nats == estimate_mi(scored, np.zeros(20, dtype=int), document=np.arange(20)).infonce_nats
