"""Fits against a general optimiser, exact curves, and the coverage of the intervals on simulated questions."""

import json
import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

from infoagent.rate_distortion.covariance import shrunk_covariance
from infoagent.rate_distortion.fits import fit_curve
from infoagent.rate_distortion.laws import LAWS, Points, linear_part, solve
from infoagent.rate_distortion.resampling import Refused

BY_NAME = {law.name: law for law in LAWS}
RATES = [5.0, 10.0, 20.0, 40.0, 80.0]


def simulated(rng, documents, each, C=0.7, b=0.06, D0=0.2, rates=RATES):
    """Right or wrong with P(wrong) = C·exp(−b·R) + D0 exactly; documents and questions are hard at every point alike."""
    document = np.repeat(np.arange(documents), each)
    shape = (len(rates), len(document))
    hard = math.sqrt(0.3) * rng.normal(size=documents)[document] + math.sqrt(0.4) * rng.normal(size=shape[1])
    wrong = C * np.exp(-b * np.array(rates)) + D0
    latent = hard + math.sqrt(0.3) * rng.normal(size=shape)
    lengths = np.array(rates)[:, None] * np.exp(0.3 * rng.normal(size=shape) - 0.045)
    return lengths, (latent < norm.ppf(wrong)[:, None]).astype(float), document


def exact(function, rates=RATES, documents=12):
    """Points on a curve in the mean; documents differ by numbers that add up to nothing at each point."""
    rng = np.random.default_rng(5)
    noise = rng.normal(size=(len(rates), documents)) * 0.02
    noise -= noise.mean(axis=1, keepdims=True)
    lengths = np.repeat(np.array(rates)[:, None], documents, axis=1)
    return lengths, function(lengths) + noise, list(range(documents))


CURVES = {
    "exponential": (lambda r: 0.6 * np.exp(-0.05 * r) + 0.1, {"C": 0.6, "b": 0.05, "D0": 0.1}, 0.1),
    "power": (lambda r: 1.5 * r**-0.8 + 0.15, {"C": 1.5, "a": 0.8, "D0": 0.15}, 0.15),
    "hyperbola": (lambda r: 0.8 / (1 + r / 12) + 0.05, {"C": 0.8, "K": 12.0, "D0": 0.05}, 0.05),
    "exponential without floor": (lambda r: 0.9 * np.exp(-0.02 * r), {"C": 0.9, "b": 0.02}, 0.0),
    "linear": (lambda r: 0.9 - 0.004 * r, {"intercept": 0.9, "slope": -0.004}, 0.0),
    "constant": (lambda r: 0.4 + 0 * r, {"D0": 0.4}, 0.4),
}


@pytest.mark.parametrize("name", CURVES)
def test_points_on_a_law_give_its_parameters(name):
    function, parameters, floor = CURVES[name]
    found = fit_curve(*exact(function), np.random.default_rng(0), 60)
    assert found.laws[name].parameters == pytest.approx(parameters, rel=1e-4)
    assert found.laws[name].floor == pytest.approx(floor, abs=1e-4)
    assert found.laws[name].chi2 == pytest.approx(0, abs=1e-6)
    assert found.best == name
    if found.laws[name].misfit_p is not None:
        assert found.laws[name].misfit_p == pytest.approx(1.0, abs=1e-4)
    assert sum(law.weight for law in found.laws.values()) == pytest.approx(1)
    assert sum(law.chosen for law in found.laws.values()) == pytest.approx(1)


def test_the_box_of_the_linear_part_against_a_general_optimiser():
    rng = np.random.default_rng(1)
    for _ in range(20):
        root = rng.normal(size=(5, 5))
        precision, phi, distortion = root @ root.T + np.eye(5), rng.uniform(size=5), rng.uniform(-0.5, 1.5, size=5)
        scale, offset, chi2 = linear_part(phi, distortion, precision, (0.0, 1.0))

        def objective(v, phi=phi, distortion=distortion, precision=precision):
            error = distortion - v[0] * phi - v[1]
            return error @ precision @ error

        slow = minimize(objective, [0.5, 0.5], bounds=[(0, None), (0, 1)], options={"ftol": 1e-14, "gtol": 1e-10})
        assert objective([scale, offset]) == pytest.approx(float(chi2))
        assert float(chi2) == pytest.approx(slow.fun, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", ["exponential", "power", "hyperbola", "exponential without floor"])
def test_no_start_of_a_general_optimiser_does_better(name):
    """The same χ², minimised over all parameters at once from many starts."""
    rng = np.random.default_rng(2)
    lengths, wrong, _ = simulated(rng, 30, 1)
    rate, distortion = lengths.mean(axis=1), wrong.mean(axis=1)
    precision = np.linalg.inv(shrunk_covariance(wrong) / 30)
    law = BY_NAME[name]
    found = solve(law, Points(rate[None], distortion[None], precision), (0.0, 1.0))
    highest = 1.0 if law.floor_free else 1e-12

    def objective(v):
        phi = law.shape(rate, np.array([v[2]]), rate.min(), rate.max())
        error = distortion - v[0] * phi - v[1]
        return error @ precision @ error

    theta = np.log(found.theta_B[0])
    for start in np.linspace(theta - 3, theta + 3, 7):
        bounds = [(0, None), (0, highest), (theta - 6, theta + 6)]
        slow = minimize(objective, [0.5, 0.1 * highest, start], bounds=bounds)
        assert found.chi2_B[0] <= slow.fun + 1e-6


def test_weights_use_that_points_rise_and_fall_together():
    """Naive twin of the likelihood: χ² of a constant from the covariance of document means, by hand."""
    lengths, wrong, document = simulated(np.random.default_rng(3), 15, 4)
    means = np.array([[row[document == d].mean() for d in range(15)] for row in wrong])
    covariance = shrunk_covariance(means) / 15
    weights = np.linalg.inv(covariance)
    level = np.ones(5) @ weights @ means.mean(axis=1) / weights.sum()
    error = means.mean(axis=1) - level
    law = fit_curve(lengths, wrong, document, np.random.default_rng(0), 60).laws["constant"]
    assert law.chi2 == pytest.approx(error @ weights @ error)
    assert law.aicc == pytest.approx(15 * math.log1p(law.chi2 / 14) + 2 + 4 / 13)


def test_shrinking_is_nothing_with_many_documents_and_invertible_with_few():
    rng = np.random.default_rng(4)
    truth = np.array([[1.0, 0.5, 0.1], [0.5, 2.0, 0.4], [0.1, 0.4, 0.5]])
    many = rng.multivariate_normal(np.zeros(3), truth, size=20_000).T
    assert shrunk_covariance(many) == pytest.approx(np.cov(many), abs=0.02)
    few = rng.normal(size=(12, 6))
    assert np.linalg.eigvalsh(shrunk_covariance(few)).min() > 0.01
    assert np.linalg.eigvalsh(np.cov(few)).min() < 1e-9
    few[0] = 1.0  # every document the same: not known without noise
    assert shrunk_covariance(few)[0, 0] > 0


def test_shrunk_is_nearer_to_the_truth_than_the_sample():
    rng = np.random.default_rng(6)
    truth = 0.3 * np.eye(8) + 0.7
    errors = np.zeros(2)
    for _ in range(50):
        drawn = rng.multivariate_normal(np.zeros(8), truth, size=12).T
        errors += [np.linalg.norm(m - truth) for m in (shrunk_covariance(drawn), np.cov(drawn))]
    shrunk, raw = errors
    assert shrunk < 0.9 * raw


def coverage(runs, documents, each, resamples, seed=0):
    hits, number = {"b": 0, "D0": 0}, {"b": 0, "D0": 0}
    for i in range(runs):
        rng = np.random.default_rng([seed, i])
        found = fit_curve(*simulated(rng, documents, each), rng, resamples)
        for name, truth in (("b", 0.06), ("D0", 0.2)):
            interval = getattr(found, name)
            if not isinstance(interval, Refused):
                number[name] += 1
                hits[name] += interval.low <= truth <= interval.high
    assert min(number.values()) >= 0.95 * runs
    return {name: hits[name] / number[name] for name in hits}


def test_the_intervals_cover_roughly():
    """45 curves: fewer than 38 hits have a probability of 1 % if coverage is 93 %; the slow test is the sharp one."""
    found = coverage(45, 20, 10, 150)
    assert min(found.values()) >= 38 / 45


@pytest.mark.slow
@pytest.mark.parametrize(("documents", "each"), [(20, 20), (50, 2), (100, 1)])
def test_the_intervals_cover(documents, each):
    found = coverage(500, documents, each, 400, seed=1)
    assert all(0.90 <= share <= 0.98 for share in found.values()), found


def test_resamples_choose_a_needless_law_as_often_as_samples_do():
    """Flat truth. Without the halving of χ² the resamples would choose a falling law much more often."""
    runs, chosen, shares = 40, 0, []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        found = fit_curve(*simulated(rng, 30, 2, C=0.0, D0=0.4), rng, 60)
        chosen += found.best == "constant"
        shares.append(found.laws["constant"].chosen)
    assert chosen / runs > 0.85
    assert np.mean(shares) == pytest.approx(chosen / runs, abs=0.07)


def test_a_flat_curve_has_no_rate_of_fall_and_says_so():
    flat = exact(lambda r: 0.4 + 0.002 * r)  # rises: the best falling law is flat
    found = fit_curve(*flat, np.random.default_rng(0), 100)
    assert isinstance(found.b, Refused)
    assert found.flat > 0.9
    assert found.best == "constant"
    assert found.D0.low < found.D0.value < found.D0.high
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["b"]["refused"].startswith("b:")


def test_length_zero_refuses_the_power_law_alone():
    found = fit_curve(*exact(CURVES["exponential"][0], [0.0, 10.0, 20.0, 40.0]), np.random.default_rng(0), 60)
    assert isinstance(found.laws["power"], Refused)
    assert found.laws["exponential"].parameters["b"] == pytest.approx(0.05, rel=1e-4)


def test_wrong_pairing_is_seen():
    """Distortions that belong to other lengths must not fit: the truth's law is far from them."""
    lengths, wrong, document = simulated(np.random.default_rng(8), 60, 3)
    right = fit_curve(lengths, wrong, document, np.random.default_rng(0), 60)
    shuffled = fit_curve(lengths, wrong[[2, 4, 0, 3, 1]], document, np.random.default_rng(0), 60)
    assert right.laws["exponential"].misfit_p > 0.05
    assert shuffled.laws["exponential"].misfit_p < 0.001


def test_too_little_is_refused_with_its_reason():
    lengths, wrong, document = simulated(np.random.default_rng(9), 12, 2)
    rng = np.random.default_rng(0)
    assert "3 points" in fit_curve(lengths[:3], wrong[:3], document, rng).reason
    assert "7 documents" in fit_curve(lengths[:, :14], wrong[:, :14], document[:14], rng).reason
    assert "same mean length" in fit_curve(np.ones_like(lengths), wrong, document, rng).reason
    assert "noise is unknown" in fit_curve(lengths, np.ones_like(wrong), document, rng).reason
    with pytest.raises(ValueError, match="not finite"):
        fit_curve(lengths, wrong * np.nan, document, rng)
    with pytest.raises(ValueError, match="must be"):
        fit_curve(lengths, wrong[:4], document, rng)
    with pytest.raises(ValueError, match="at least 50"):
        fit_curve(lengths, wrong, document, rng, 10)


def test_the_band_holds_the_curve_and_narrows_with_more_documents():
    def width_and_hits(documents, seed):
        rates, wrong, document = simulated(np.random.default_rng(seed), documents, 4)
        band = fit_curve(rates, wrong, document, np.random.default_rng(0), 200).band
        assert [band[0]["rate"], band[-1]["rate"]] == pytest.approx([rates.mean(1).min(), rates.mean(1).max()], rel=0.02)
        truth = [0.7 * math.exp(-0.06 * b["rate"]) + 0.2 for b in band]
        inside = [b["low"] <= t <= b["high"] for b, t in zip(band, truth, strict=True)]
        return np.mean([b["high"] - b["low"] for b in band]), np.mean(inside)

    few, many = (np.mean([width_and_hits(n, seed) for seed in range(6)], axis=0) for n in (20, 80))
    assert many[0] == pytest.approx(few[0] / 2, rel=0.3)  # four times the documents
    assert min(few[1], many[1]) > 0.8
