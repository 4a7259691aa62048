"""Mixed logistic regression against plain Newton, numeric integration, exact two-way tables, and known parameters."""

import json
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from scipy.stats import norm

from infoagent.rate_distortion.design import Factor, Number, build_design, dependent_columns, separating_columns
from infoagent.rate_distortion.regression import _Model, fit_mixed_logit
from infoagent.rate_distortion.resampling import Refused

TRUE = {"intercept": 0.3, "family[lead]": 0.0, "family[lm]": 0.8, "mi": -0.5}


def simulated(rng, questions=80, each=6, spread=1.5):
    question = np.repeat(np.arange(questions), each)
    family = np.array(["lm", "bm25", "lead"])[rng.integers(3, size=len(question))]
    mi = rng.normal(size=len(question))
    eta = 0.3 + 0.8 * (family == "lm") - 0.5 * mi + spread * rng.normal(size=questions)[question]
    return ([Factor("family", tuple(family), "bm25"), Number("mi", tuple(mi))], (rng.random(len(eta)) < expit(eta)), question)


def naive_log_likelihood(design, y, question, theta):
    """Every integral by scipy, without any of the kernel's devices."""
    total = 0.0
    for q in np.unique(question):
        x, right = design.x_NC[question == q], y[question == q]

        def joint(u, x=x, right=right):
            p = expit(x @ theta[:-1] + theta[-1] * u)
            return math.prod(np.where(right, p, 1 - p)) * norm.pdf(u)

        total += math.log(quad(joint, -9, 9, epsabs=1e-13, points=[-2, 0, 2])[0])
    return total


@pytest.mark.parametrize("spread", [0.0, 0.7, 3.0])
def test_likelihood_and_gradient_against_numeric_integration(spread):
    terms, right, question = simulated(np.random.default_rng(0), 6, 4)
    design = build_design(terms)
    model = _Model(design.x_NC, right.astype(float), question, 25)
    theta = np.array([0.2, -0.3, 0.5, 0.4, spread])
    model.move(theta)
    value, gradient, hessian = model.derivatives(theta)
    assert value == pytest.approx(naive_log_likelihood(design, right, question, theta), abs=1e-5)
    for c in range(5):
        step = np.eye(5)[c] * 1e-4
        up, down = (naive_log_likelihood(design, right, question, theta + s) for s in (step, -step))
        assert gradient.sum(axis=0)[c] == pytest.approx((up - down) / 2e-4, abs=1e-4)
        higher, lower = (model.derivatives(theta + s)[1].sum(axis=0) for s in (step, -step))  # at the same nodes
        assert hessian[c] == pytest.approx((higher - lower) / 2e-4, abs=1e-4)


def test_few_nodes_are_enough_where_a_question_has_many_rows():
    """60 rows a question make a narrow peak between the nodes of an unmoved rule."""
    terms, right, question = simulated(np.random.default_rng(1), 20, 60, spread=2.5)
    design = build_design(terms)
    theta = np.array([0.3, 0.0, 0.8, -0.5, 2.5])
    few, many = (_Model(design.x_NC, right.astype(float), question, nodes) for nodes in (15, 61))
    unmoved = few.log_likelihood(theta)
    few.move(theta), many.move(theta)
    assert few.log_likelihood(theta) == pytest.approx(many.log_likelihood(theta), abs=1e-3)
    assert abs(unmoved - many.log_likelihood(theta)) > 1


def plain_newton(x, y):
    beta = np.zeros(x.shape[1])
    for _ in range(30):
        p = expit(x @ beta)
        beta += np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]), x.T @ (y - p))
    p = expit(x @ beta)
    return beta, np.sqrt(np.diag(np.linalg.inv(x.T @ (x * (p * (1 - p))[:, None]))))


def test_without_a_spread_it_is_plain_logistic_regression():
    """Questions in which rows are less alike than chance have their maximum at s = 0, where Newton's twin is exact."""
    rng = np.random.default_rng(2)
    terms, _, question = simulated(rng, 60, 4)
    right = np.tile([1.0, 0.0, 0.0, 1.0], 60)  # each question half right: no difference of difficulty at all
    found = fit_mixed_logit(terms, right, question)
    beta, error = plain_newton(build_design(terms).x_NC, right)
    assert found.spread == pytest.approx(0, abs=1e-6)
    assert [c.value for c in found.coefficients] == pytest.approx(beta.tolist(), abs=1e-6)
    assert [c.standard_error for c in found.coefficients] == pytest.approx(error.tolist(), rel=1e-6)


def test_parameters_come_back_and_intervals_cover_them():
    values, hits = [], []
    for seed in range(45):
        terms, right, question = simulated(np.random.default_rng(seed))
        found = fit_mixed_logit(terms, right, question, clusters=question // 2 if seed % 2 else None)
        values.append([*(c.value for c in found.coefficients), found.spread])
        hits += [c.low <= TRUE[c.name] <= c.high for c in found.coefficients[1:]]
    error = np.std(values, axis=0) / math.sqrt(45)
    # the intercept stands for the mean of mi, which is 0 up to noise
    assert np.all(np.abs(np.mean(values, axis=0) - [*TRUE.values(), 1.5]) < 3.5 * error + [0.02] * 5)
    assert 0.90 <= np.mean(hits) <= 0.99


def test_leaving_the_questions_out_would_pull_coefficients_to_zero():
    terms, right, question = simulated(np.random.default_rng(3), 300, 6, spread=2.5)
    mixed = fit_mixed_logit(terms, right, question).coefficients
    beta, _ = plain_newton(build_design(terms).x_NC, right.astype(float))
    assert abs(beta[2]) < 0.8 * abs(mixed[2].value)
    assert mixed[2].low <= 0.8 <= mixed[2].high


def test_documents_that_share_more_than_questions_need_the_sandwich():
    """A column that is one number for a document, whose answers go together beyond their questions."""
    hits = {"Hessian": 0, "sandwich": 0}
    runs = 40
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        document = np.repeat(np.arange(40), 20)
        question = np.arange(800) // 2
        x = rng.normal(size=40)[document]
        right = rng.random(800) < expit(1.5 * rng.normal(size=40)[document])
        for name, clusters in (("Hessian", None), ("sandwich", document)):
            [_, slope] = fit_mixed_logit([Number("x", tuple(x))], right, question, clusters).coefficients
            hits[name] += slope.low <= 0 <= slope.high
    assert hits["sandwich"] / runs >= 0.87
    assert hits["Hessian"] / runs < 0.75


def test_factors_are_coded_against_their_reference():
    design = build_design([Factor("f", ("b", "a", "c", "a"), "a"), Number("n", (1.0, 2.0, 3.0, 6.0), scale=2.0)])
    assert design.names == ("intercept", "f[b]", "f[c]", "n")
    expected = [[1, 1, 0, -1], [1, 0, 0, -0.5], [1, 0, 1, 0], [1, 0, 0, 1.5]]
    assert design.x_NC.tolist() == expected
    with pytest.raises(ValueError, match="must hold 'z'"):
        build_design([Factor("f", ("a", "b"), "z")])
    with pytest.raises(ValueError, match="vary"):
        build_design([Number("n", (1.0, 1.0))])


def test_columns_that_replace_one_another_are_named():
    terms, right, question = simulated(np.random.default_rng(4))
    family = terms[0].values
    size = tuple({"lm": 3.0, "bm25": 1.0, "lead": 7.0}[f] for f in family)
    found = fit_mixed_logit([*terms, Number("size", size)], right, question)
    assert isinstance(found, Refused)
    assert {"family[lead]", "family[lm]", "size"} <= set(found.reason.replace(",", "").split())
    assert "mi" not in dependent_columns(build_design([*terms, Number("size", size)]))


def test_separation_is_found_and_named():
    terms, right, question = simulated(np.random.default_rng(5))
    lead = np.array(terms[0].values) == "lead"
    found = fit_mixed_logit(terms, right & ~lead, question)  # whatever `lead` wrote, the answer was wrong
    assert isinstance(found, Refused)
    assert "family[lead] separate" in found.reason
    x = np.stack([np.ones(8), np.arange(8.0)], axis=1)
    assert separating_columns(x, (np.arange(8) > 3).astype(float), ["one", "x"]) == ["one", "x"]
    assert separating_columns(x, np.array([0, 0, 1, 0, 1, 0, 1, 1.0]), ["one", "x"]) == []


def test_what_has_no_estimate_is_refused():
    terms, right, question = simulated(np.random.default_rng(6))
    assert "every answer is right" in fit_mixed_logit(terms, np.ones(480), question).reason
    same = np.repeat(np.random.default_rng(0).integers(2, size=80), 6)
    assert "spread" in fit_mixed_logit(terms, same, question).reason
    assert "3 questions" in fit_mixed_logit(terms, right, question % 3).reason
    assert "too few" in fit_mixed_logit(terms, right, question, question % 4 * 0).reason
    with pytest.raises(ValueError, match="neither right"):
        fit_mixed_logit(terms, right * 0.5, question)
    good = fit_mixed_logit(terms, right, question).to_dict()
    assert json.loads(json.dumps(good, allow_nan=False))["coefficients"][0]["name"] == "intercept"
