"""Which part of a system decides whether an answer is right: compressor family, size, predictor, length, information.

Every graded answer is a row of a logistic regression with a random intercept for each question. Family and size of the
compressor stand apart: the family of a language model is its name without its size, of another compressor its kind.
Information stands between the compressor and the answer, so a family's coefficient beside it is what the family does by
other ways; without it, all that it does. Both are given.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

from infoagent.evaluation.summary import EASY, HARD
from infoagent.rate_distortion.design import Factor, Number, Term, build_design, dependent_columns
from infoagent.rate_distortion.regression import fit_mixed_logit
from infoagent.rate_distortion.resampling import Refused
from infoagent.recipes.compressors import WRITERS
from infoagent.records.grid import CompressionRecord, CompressorIdentity, PredictionRecord, known
from infoagent.records.json_form import Json
from infoagent.types import ANCHORS

Pair = tuple[CompressionRecord, PredictionRecord]
FACTORS = ("family", "predictor", "data")
GIVEN_UP = ("same_family", "parameters_doubled", "data", "predictor", "family", "tokens_doubled", "mi_nats")
"""Terms that go first where columns replace one another: a size that only one family varies in, a predictor of one set."""
DOCUMENTS_A_PARAMETER = 2
SIZE = re.compile(r"[-_ ]?(?<!\d)\d+(?:\.\d+)?[bm](?![a-z0-9])", re.IGNORECASE)


def family(compressor: CompressorIdentity) -> str:
    """`Qwen2.5-0.5B-Instruct` and `Qwen2.5-7B-Instruct` are of one family; with an adapter of another."""
    if compressor.kind not in WRITERS:
        return compressor.kind
    model = compressor.model
    name = family_of(str(model.get("name", compressor.label)))
    return f"{name} + adapter" if model.get("adapter") else name


def family_of(name: str) -> str:
    """Of a model's name: without its directory, its size and the ending of its file."""
    return SIZE.sub("", name.rstrip("/").split("/")[-1].removesuffix(".gguf"))


def explain(answers: Sequence[Pair]) -> Json:
    """The regression of (compression, prediction) pairs with MI, and under "without_mi" without; ready for JSON."""
    pairs = [(z, a) for z, a in answers if z.compressor.kind not in ANCHORS]
    if not pairs:
        return {"refused": "no graded answers: the grid needs a predictor, and problems with an answer"}
    scored = [(z, a) for z, a in pairs if z.has_negatives(EASY + HARD)]
    without = {**_regress(pairs, with_mi=False), "left_out_answers": len(answers) - len(pairs)}
    if not scored:
        return {"refused": "no answered compression was scored: MI is unknown", "without_mi": without}
    with_mi = {**_regress(scored, with_mi=True), "left_out_answers": len(answers) - len(scored)}
    return {**with_mi, "without_mi": without}


def _regress(pairs: Sequence[Pair], with_mi: bool) -> Json:
    left_out: list[Json] = []
    pairs = _without_constant_levels(pairs, left_out)
    if not pairs:
        return {"refused": "every compressor, predictor or data set is always right or always wrong", "left_out": left_out}
    terms = _terms(pairs, with_mi, left_out)
    terms = _without_dependent(terms, left_out)
    if not terms:
        return {"refused": "compressors, predictors and lengths are all the same: nothing to compare", "left_out": left_out}
    questions = [(z.data.name, z.problem_id) for z, _ in pairs]
    documents = [(z.data.name, z.document_id) for z, _ in pairs]
    parameters = len(build_design(terms).names) + 1
    shared = len(set(documents)) < len(set(questions))
    robust = shared and len(set(documents)) >= DOCUMENTS_A_PARAMETER * parameters
    found = fit_mixed_logit(terms, [float(known(a.correct)) for _, a in pairs], questions, documents if robust else None)
    result = {
        **found.to_dict(),
        "references": {t.name: t.reference for t in terms if isinstance(t, Factor)},
        "documents": len(set(documents)),
        "left_out": left_out,
    }
    if shared and not robust and not isinstance(found, Refused):
        result["note"] = (
            f"{len(set(documents))} documents are too few for errors over documents with {parameters} parameters; the "
            "errors take questions of one document for independent and may be too small"
        )
    return result


def _levels(pair: Pair) -> dict[str, str]:
    z, answer = pair
    return {"family": family(z.compressor), "predictor": answer.predictor.title, "data": z.data.name}


def _without_constant_levels(pairs: Sequence[Pair], left_out: list[Json]) -> list[Pair]:
    """Rows of levels that are always right or always wrong go, until none is left: such a level has no coefficient."""
    kept = list(pairs)
    while kept:
        counts: dict[tuple[str, str], Counter[bool]] = {}
        for pair in kept:
            for key in _levels(pair).items():
                counts.setdefault(key, Counter())[bool(pair[1].correct)] += 1
        constant = next((key for key, count in counts.items() if len(count) == 1), None)
        if constant is None:
            break
        term, level = constant
        [(right, number)] = counts[term, level].items()
        reason = f"all {number} answers are {'right' if right else 'wrong'}"
        left_out.append({"term": term, "level": level, "reason": reason})
        kept = [pair for pair in kept if _levels(pair)[term] != level]
    return kept


def _terms(pairs: Sequence[Pair], with_mi: bool, left_out: list[Json]) -> list[Term]:
    terms: list[Term] = []
    levels = [_levels(pair) for pair in pairs]
    for name in FACTORS:
        values = tuple(row[name] for row in levels)
        if len(set(values)) > 1:
            most = Counter(values).most_common(1)[0][1]
            terms.append(Factor(name, values, min(v for v, n in Counter(values).items() if n == most)))
    sizes = [z.compressor.extra.get("parameters", z.parameters) for z, _ in pairs]
    log_sizes = [math.log(size) for size in sizes if size]
    numbers = {"tokens_doubled": ([math.log1p(known(z.rate_tokens)) for z, _ in pairs], math.log(2))}
    if log_sizes:  # compressors without parameters get the mean: their families' own columns make up for it
        mean = sum(log_sizes) / len(log_sizes)
        numbers["parameters_doubled"] = ([math.log(size) if size else mean for size in sizes], math.log(2))
    writers = {family(z.compressor) for z, _ in pairs if z.compressor.kind in WRITERS}
    if len(writers) > 1 and len({family_of(a.predictor.name) for _, a in pairs}) > 1:
        same = [float(family(z.compressor) == family_of(a.predictor.name)) for z, a in pairs]
        numbers["same_family"] = (same, 1.0)  # what a pair of one family adds to what both do with others
    if with_mi:
        numbers["mi_nats"] = ([z.mi_nats(EASY + HARD) for z, _ in pairs], 1.0)
    for name, (column, scale) in numbers.items():
        if max(column) - min(column) > 1e-12 * max(1.0, abs(max(column))):
            terms.append(Number(name, tuple(column), scale))
        else:
            left_out.append({"term": name, "reason": "it is the same in every answer"})
    return terms


def _without_dependent(terms: Sequence[Term], left_out: list[Json]) -> list[Term]:
    kept = list(terms)
    while kept:
        design = build_design(kept)
        dependent = dependent_columns(design)
        if not dependent:
            break
        involved = {term for name, term in zip(design.names, design.terms, strict=True) if name in dependent}
        name = next(name for name in GIVEN_UP if name in involved)
        left_out.append({"term": name, "reason": f"columns {', '.join(dependent)} replace one another"})
        kept = [term for term in kept if term.name != name]
    return kept
