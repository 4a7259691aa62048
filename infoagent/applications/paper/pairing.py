"""What each document adds to a figure's numbers, so that two compressors are compared on the same documents.

    x̄ = mean of x_d over documents        relative value of d: x_d / x̄ − 1          of x̄ / ȳ: x_d / x̄ − y_d / ȳ

The relative values of a ratio of two means are the difference of theirs (first order), and their standard error is that of the
logarithm of the mean. What is hard in a document is hard for both compressors and cancels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from infoagent.evaluation.summary import EASY, HARD
from infoagent.records.grid import GridRecord, compressions_of, known, predictions_of

Where = tuple[str, str, str | None, str]
"""(data set, label of the compressor, title of the predictor or None, measure)."""
RelativeValues = Mapping[Where, Mapping[str, float]]
"""By document; of every number whose every record is there."""
INFORMATION = {"mi_nats": (EASY, "bits_per_token"), "hard_nats": (HARD, "hard_bits_per_token")}
"""Measure in nats: (kinds of negatives, the measure per token)."""


def relative_values(records: Sequence[GridRecord]) -> RelativeValues:
    """Of accuracy, tokens, information and bits per token, as far as no record failed and no mean is 0."""
    found: dict[Where, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    broken: set[Where] = set()
    for z in compressions_of(records):
        where = z.data.name, z.compressor.label, None
        if z.status != "ok" or z.rate_tokens is None:
            broken |= {(*where, measure) for measure in ("tokens", *INFORMATION)}
            continue
        found[(*where, "tokens")][z.document_id].append(z.rate_tokens)
        for measure, (kinds, _) in INFORMATION.items():
            if z.has_negatives(kinds):
                found[(*where, measure)][z.document_id].append(z.mi_nats(kinds))
    for a in predictions_of(records):
        at = a.data.name, a.compressor.label, a.predictor.title, "accuracy"
        if a.status != "ok" or a.correct is None:
            broken.add(at)
            continue
        found[at][a.document_id].append(float(known(a.correct)))
    relative: dict[Where, Mapping[str, float]] = {}
    for whose, of in found.items():
        means = {document: float(np.mean(values)) for document, values in of.items()}
        whole = float(np.mean(list(means.values())))
        if whose not in broken and whole:
            relative[whose] = {document: mean / whole - 1 for document, mean in means.items()}
    for data, label, _, measure in [whose for whose in relative if whose[-1] in INFORMATION]:
        mi, tokens = (relative.get((data, label, None, name), {}) for name in (measure, "tokens"))
        if mi.keys() == tokens.keys():
            per_token = INFORMATION[measure][1]
            relative[data, label, None, per_token] = {document: mi[document] - tokens[document] for document in mi}
    return relative
