"""What the paper states about its figures, beside the question that decides whether it holds here.

Source: He, Narayan, Khare, Linderman, Ré, Biderman, "An Information Theoretic Perspective on Agentic System Design",
arXiv 2512.21720. Only what its text states in words or numbers; nothing is read off a picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Measure = Literal[
    "accuracy", "tokens", "mi_nats", "hard_nats", "bits_per_token", "hard_bits_per_token", "gflops_paper", "gflops_total"
]  # fmt: skip
AMONG_VERSIONS: dict[Measure, Measure] = {"mi_nats": "hard_nats", "bits_per_token": "hard_bits_per_token"}
"""Measures of information among random documents, as the paper's, and those among counterfactual versions in their place."""
Side = tuple[str, str | None]
"""A compressor's label and a predictor's; None: the first predictor of the recipe."""


@dataclass(frozen=True)
class Direction:
    """`measure` of the first side over that of the second, on the paper's side of 1; of several pairs the largest."""

    measure: Measure
    pairs: tuple[tuple[Side, Side], ...]
    expected: float
    """The paper's ratio. Only on which side of 1 it lies decides; the number is shown beside ours."""


@dataclass(frozen=True)
class Near:
    """The same ratio within a band around the paper's: for claims that something is alike, or reaches a share."""

    measure: Measure
    pairs: tuple[tuple[Side, Side], ...]
    expected: float
    tolerance: float = 0.1
    """Half the band, as a share of `expected`. Ours to choose; the paper names none."""


@dataclass(frozen=True)
class Ahead:
    """Accuracy of the best of some compressors above that of another, in points of 100."""

    compressors: tuple[str, ...]
    other: str
    expected: float


@dataclass(frozen=True)
class Correlation:
    """Pearson's r over compressors of information among random documents and the log of the reference's perplexity."""

    expected: float


@dataclass(frozen=True)
class Agreement:
    """Pearson's r over compressors of what two scorers find for the same texts: at 1 they differ by a constant and a
    factor at the most."""

    expected: float | None = None


@dataclass(frozen=True)
class FactorOrder:
    """What factors add to the log-odds of a right answer, at most, in falling order: terms of analysis.json's regression
    without MI. A factor of levels counts by the largest difference to its reference, size by its range in doublings."""

    terms: tuple[str, ...]
    expected: float | None = None


@dataclass(frozen=True)
class NoGain:
    """A term of the same regression adds nothing to the log-odds of a right answer, or less than would matter."""

    term: str
    least: float = 0.4
    """What would: 10 points of 100 at even odds. Ours to choose; the paper names none."""
    expected: float | None = None


@dataclass(frozen=True)
class NotAsked:
    """No experiment here measures it."""

    why: str
    expected: float | None = None


Question = Direction | Near | Ahead | Correlation | Agreement | FactorOrder | NoGain | NotAsked


@dataclass(frozen=True)
class Published:
    """One claim: its figure, what it is about, in our words what is claimed, and the question."""

    figure: str
    quantity: str
    says: str
    question: Question
    data: str | None = None
    """The data set it is made for; None: asked of every data set of the recipe."""

    @property
    def value(self) -> float | None:
        """The paper's number, None where it states an order or a direction without one."""
        return self.question.expected


def _pair(over: str, under: str, predictors: tuple[str | None, str | None] = (None, None)) -> tuple[Side, Side]:
    return (over, predictors[0]), (under, predictors[1])


QWEN = (_pair("Qwen2.5 7B", "Qwen2.5 1.5B"),)
FAMILIES = (*QWEN, _pair("Llama-3 8B", "Llama-3 1B"))
LARGE = ("Qwen2.5 7B", "Llama-3 8B")
WHOLE = "full document"
TO_405B = (_pair("Qwen2.5 7B", "Qwen2.5 7B", ("Llama 405B", "Llama 70B")),)
MULTI_ROUND = "rounds in which the predictor rewrites the question: eval/applications/rounds.py, with configs/eval/rounds.yaml"
DEEP_RESEARCH = (
    "a loop of search, reading and writing: eval/applications/deep_research.py, with configs/eval/deep_research.yaml and, for the "
    "paper's models and questions, deep_research_full.yaml"
)

PUBLISHED = (
    Published(
        "fig2", "accuracy, Qwen2.5 7B over 1.5B", "a 7B compressor leads to 1.6 times the accuracy of a 1.5B one",
        Direction("accuracy", QWEN, 1.6),
    ),
    Published(
        "fig2", "length, Qwen2.5 7B over 1.5B", "its compressions are 4.6 times shorter", Direction("tokens", QWEN, 1 / 4.6)
    ),
    Published(
        "fig2", "MI per token, Qwen2.5 7B over 1.5B", "each of its tokens carries 5.5 times the information",
        Direction("bits_per_token", QWEN, 5.5),
    ),
    Published(
        "fig2", "GFLOP per generation as the paper counts, Qwen2.5 7B over 1.5B",
        "counted on the generated tokens, it costs 1.3 % more per generation", Near("gflops_paper", QWEN, 1.013),
    ),
    Published(
        "fig2", "GFLOP per generation in all, Qwen2.5 7B over 1.5B",
        "the same claim, with the reading of the document counted as well", Near("gflops_total", QWEN, 1.013),
    ),
    Published(
        "fig2", "accuracy, 7-8B over 1-1.5B, at best", "7-8B compressors lead to up to 3.1 times the accuracy of 1-1.5B ones",
        Direction("accuracy", FAMILIES, 3.1), "longhealth",
    ),
    Published(
        "fig2", "accuracy, best 7-8B above the full document (points)",
        "from their compressions GPT-4o answers 4 points better than from the raw text", Ahead(LARGE, WHOLE, 4.0), "longhealth",
    ),
    Published(
        "fig2", "accuracy, 7-8B over 1-1.5B, at best", "7-8B compressors lead to up to 2.6 times the accuracy of 1-1.5B ones",
        Direction("accuracy", FAMILIES, 2.6), "financebench",
    ),
    Published(
        "fig2", "accuracy, best 7-8B over the full document", "they keep 97 % of the accuracy of GPT-4o alone",
        Near("accuracy", tuple(_pair(label, WHOLE) for label in LARGE), 0.97), "financebench",
    ),
    Published(
        "fig3", "accuracy, compressor 7B over 1-1.5B", "a compressor of 7B in place of 1-1.5B adds 60 % to the accuracy",
        Direction("accuracy", QWEN, 1.6),
    ),
    Published(
        "fig3", "accuracy, predictor 405B over 70B", "a predictor of 405B in place of 70B adds 12 %",
        Direction("accuracy", TO_405B, 1.12), "longhealth",
    ),
    Published(
        "fig3", "accuracy, predictor 405B over 70B", "there it adds 1 %",
        Near("accuracy", TO_405B, 1.01), "financebench",
    ),
    Published(
        "fig4", "MI, Qwen2.5 32B over 14B", "the information saturates at the largest sizes",
        Near("mi_nats", (_pair("Qwen2.5 32B", "Qwen2.5 14B"),), 1.0), "longhealth",
    ),
    Published(
        "fig6", "correlation of MI with log perplexity", "on FineWeb with Llama compressors r is −0.84 and R² 0.71",
        Correlation(-0.84),
    ),
    Published("fig7", "RACE score, 14B over GPT-4o on raw pages", "it is 2.3 % higher", NotAsked(DEEP_RESEARCH, 1.023)),
    Published("fig7", "API cost of the same", "it is 28.1 % of the cost", NotAsked(DEEP_RESEARCH, 0.281)),
    Published("fig7", "RACE score, 3B over GPT-4o on raw pages", "it is 99 % of the score", NotAsked(DEEP_RESEARCH, 0.99)),
    Published("fig7", "API cost of the same, 3B", "it is 26 % of the cost", NotAsked(DEEP_RESEARCH, 0.26)),
    Published(
        "fig12", "correlation of MI with log perplexity, creative against extractive tasks",
        "it is weaker on creative tasks", NotAsked("summaries do not keep the tasks of a data set apart"),
    ),
    Published(
        "fig13", "correlation between scorers over compressors", "another proxy shifts the curves by a constant, the trends stay",
        Agreement(),
    ),
    Published(
        "fig15", "MI, Qwen2.5 14B over 3B", "on FinanceBench the information saturates at 3B",
        Near("mi_nats", (_pair("Qwen2.5 14B", "Qwen2.5 3B"),), 1.0), "financebench",
    ),
    Published(
        "fig17", "factors by what they explain of correctness",
        "the compressor's family tells more than its size, and its size more than the predictor's",
        FactorOrder(("family", "parameters_doubled", "predictor")),
    ),
    Published(
        "fig17", "compressor and predictor of one family", "one family for both gains nothing",
        NoGain("same_family"),
    ),
    Published("fig18", "MI by round", "the information saturates after 2 rounds", NotAsked(MULTI_ROUND)),
)  # fmt: skip
