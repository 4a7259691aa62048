"""The critic scale: what it repairs, and that no scale can go above the truth."""

import json

import exact_channels
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from infoagent.information import Calibration, channels, estimate_mi, fit_beta, require_held_out

PROXY_ERRORS = (0, 1, 2, 3)


def enumerated(conditional, log_probs_of):
    """Every output of a channel, weighted exactly, under the scores of another model."""
    _, source, weights = exact_channels.enumerate_outputs(conditional)
    outputs = np.nonzero(conditional)[1]
    return log_probs_of[:, outputs].T, source, weights


def proxy_scores(conditional, rng):
    """True log-probs three times too sharp, with an error that is the scorer's own."""
    return 3 * np.log(conditional) - rng.gamma(1.0, 2.0, size=conditional.shape)


@pytest.mark.parametrize("seed", PROXY_ERRORS)
def test_a_mismatched_scorer_goes_from_below_zero_to_above_and_never_beyond_the_truth(seed):
    rng = np.random.default_rng(seed)
    conditional = channels.dirichlet(12, 8, 1.0, rng)
    exact = channels.mutual_information_nats(conditional)
    scores = proxy_scores(conditional, rng)
    drawn = np.array([rng.choice(8, p=conditional[x]) for x in np.repeat(np.arange(12), 20)])
    calibration = fit_beta(scores[:, drawn].T, np.repeat(np.arange(12), 20), scorer="proxy")
    log_probs, source, weights = enumerated(conditional, scores)
    before = estimate_mi(log_probs, source, weights=weights, sampler=False)
    after = estimate_mi(log_probs, source, weights=weights, sampler=False, beta=calibration.beta)
    assert before.infonce_nats < -0.5
    assert 0 < after.infonce_nats < exact
    assert calibration.infonce_before_nats < calibration.infonce_after_nats
    assert 0 < calibration.beta < 1


@pytest.mark.parametrize("seed", PROXY_ERRORS)
def test_every_scale_is_a_lower_bound_exactly(seed):
    """Outputs summed out: E InfoNCE(β) ≤ I for all β, and = I for a temperature error undone."""
    rng = np.random.default_rng(seed)
    conditional = channels.dirichlet(6, 8, 0.7, rng)
    exact = channels.mutual_information_nats(conditional)
    log_probs, source, weights = enumerated(conditional, proxy_scores(conditional, rng))
    for beta in (0.0, 0.05, 0.2, 1 / 3, 0.7, 1.0, 5.0):
        assert estimate_mi(log_probs, source, weights=weights, beta=beta).infonce_nats <= exact + 1e-12
    hot, source, weights = enumerated(conditional, 3 * np.log(conditional))
    assert estimate_mi(hot, source, weights=weights, beta=1 / 3).infonce_nats == pytest.approx(exact, abs=1e-12)


def test_a_fit_on_other_rows_is_a_lower_bound_on_average():
    """Fresh rows for fit and value, many times over: the mean stays below the truth."""
    rng = np.random.default_rng(5)
    conditional = channels.dirichlet(10, 8, 1.0, rng)
    scores, exact = proxy_scores(conditional, rng), channels.mutual_information_nats(conditional)
    values = []
    for _ in range(60):
        source = np.repeat(np.arange(10), 4)
        first, second = (np.array([rng.choice(8, p=conditional[x]) for x in source]) for _ in range(2))
        beta = fit_beta(scores[:, first].T, source).beta
        values.append(estimate_mi(scores[:, second].T, source, beta=beta).infonce_nats)
    assert np.mean(values) < exact
    assert np.mean(values) > 0


@pytest.mark.parametrize("seed", range(5))
def test_equals_a_search_without_derivatives(seed):
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(8), 3)
    log_probs = -rng.gamma(2.0, 3.0, size=(24, 8))
    log_probs[np.arange(24), source] *= 0.4
    log_probs[0, 5] = -np.inf

    def loss(beta):
        return -estimate_mi(log_probs, source, beta=beta).infonce_nats

    found = minimize_scalar(loss, bounds=(0, 20), method="bounded", options={"xatol": 1e-9})
    calibration = fit_beta(log_probs, source)
    assert calibration.beta == pytest.approx(found.x, abs=1e-5)
    assert calibration.infonce_after_nats == pytest.approx(-found.fun, abs=1e-10)
    assert not calibration.at_bound


def test_separable_rows_end_at_the_bound_and_say_so():
    log_probs = np.full((5, 5), -2.0) + np.eye(5)
    calibration = fit_beta(log_probs, np.arange(5), beta_max=30.0)
    assert (calibration.beta, calibration.at_bound) == (30.0, True)
    assert any("separable" in note for note in calibration.warnings)


def test_a_wrong_pairing_ends_at_zero_and_says_so():
    rng = np.random.default_rng(6)
    log_probs, source = exact_channels.sample_outputs(channels.dirichlet(20, 30, 0.5, rng), 10, rng)
    calibration = fit_beta(np.maximum(log_probs, -30), (source + 1) % 20)
    assert calibration.beta < 0.05
    assert calibration.infonce_after_nats < 0.01
    reversed_ = fit_beta(np.full((5, 5), -2.0) - np.eye(5), np.arange(5))
    assert reversed_.beta == 0.0
    assert any("wrong pairing" in note for note in reversed_.warnings)
    assert reversed_.infonce_after_nats == pytest.approx(0.0)


def test_documents_weigh_alike_in_the_fit():
    rng = np.random.default_rng(7)
    log_probs = -rng.gamma(2.0, 3.0, size=(6, 6)) + 4 * np.eye(6) - 4
    rows = np.repeat(np.arange(6), [9, 1, 1, 1, 1, 1])
    assert fit_beta(log_probs[rows], rows).beta == pytest.approx(fit_beta(log_probs, np.arange(6)).beta)


def test_the_documents_of_the_fit_are_refused_for_evaluation():
    calibration = fit_beta([[-1.0, -2.0], [-2.5, -1.0], [-1.0, -0.5]], [0, 1, 0], document_ids=["sha256:a", "sha256:b"])
    require_held_out(calibration, ["sha256:c"])
    with pytest.raises(ValueError, match=r"1 of 2 evaluated documents took part in the fit of beta \(sha256:b\)"):
        require_held_out(calibration, ["sha256:b", "sha256:c"])
    with pytest.raises(ValueError, match="does not name its documents"):
        require_held_out(fit_beta([[-1.0, -2.0], [-2.5, -1.0]], [0, 1]), ["sha256:c"])


def test_a_calibration_survives_json_and_a_damaged_one_is_refused():
    calibration = fit_beta([[-1.0, -2.0], [-2.5, -1.0], [-1.0, -0.5]], [0, 1, 0], scorer="s", document_ids=["a"])
    fields = json.loads(json.dumps(calibration.to_dict()))
    assert Calibration.from_dict(fields) == calibration
    with pytest.raises(ValueError, match=r"missing \['beta'\]"):
        Calibration.from_dict({k: v for k, v in fields.items() if k != "beta"})
    with pytest.raises(ValueError, match="beta = -1"):
        Calibration.from_dict({**fields, "beta": -1})


@pytest.mark.parametrize("beta_max", [0.0, -1.0, np.inf, np.nan])
def test_a_bound_that_is_none_is_refused(beta_max):
    with pytest.raises(ValueError, match="beta_max"):
        fit_beta([[-1.0, -2.0], [-2.5, -1.0]], [0, 1], beta_max=beta_max)
