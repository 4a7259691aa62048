"""Two compressors on the same problems: paired differences, and a verdict in words."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.analysis.verdict import compare_line, with_holm
from infoagent.evaluation.summary import PREDICTION_QUANTITIES, Quantity, R, compression_quantities, of_all_quantities
from infoagent.information import mean_interval, paired_difference
from infoagent.records.grid import Draw, GridRecord, compressions_of, known, predictions_of

JUDGED = {
    "mi/hard_nats": (False, True),
    "mi/nats": (False, True),
    "distortion/fact_missing": (True, False),
    "distortion/error": (True, False),
    "distortion/f1_missing": (False, False),
    "distortion/nll": (False, False),
}
"""What a verdict is spoken on: is it yes or no, and is more of it better."""
OF = " · "
"""Between a quantity and the predictor that it belongs to, where there are several."""


def compare(trained: Sequence[GridRecord], frozen: Sequence[GridRecord], price: float) -> dict[str, dict[str, Any]]:
    """Trained − frozen on the same problems and draws, for every number both have; numbers of predictors under
    `name · predictor` where there are several.

    Pairs in which one side failed are left out and counted under "unpaired". Where draws without a z are final, MI is
    compared over all draws too.
    """
    every = compressions_of(trained), compressions_of(frozen)
    texts = [r for r in every[0] if r.is_ok], [r for r in every[1] if r.is_ok]
    tokens = tuple({r.draw: float(known(r.rate_tokens)) for r in side} for side in texts)
    result: dict[str, dict[str, Any]] = {}
    _compare_kind(result, *texts, compression_quantities(price), tokens, "")
    if any(r.final for side in every for r in side):
        new, old = ([r for r in side if r.is_drawn] for side in every)
        _compare_kind(result, new, old, of_all_quantities([*new, *old]), tokens, "")
    asked = predictions_of(trained), predictions_of(frozen)
    predictors = list(dict.fromkeys(r.predictor.title for side in asked for r in side))
    for title in predictors:
        replied, other = ([r for r in side if r.is_ok and r.predictor.title == title] for side in asked)
        suffix = OF + title if len(predictors) > 1 else ""
        _compare_kind(result, replied, other, PREDICTION_QUANTITIES, tokens, suffix)
    return result


def _compare_kind(
    result: dict[str, dict[str, Any]],
    trained: Sequence[R],
    frozen: Sequence[R],
    quantities: Mapping[str, Quantity[R]],
    tokens: Sequence[Mapping[Draw, float]],
    suffix: str,
) -> None:
    first, second = ({r.draw: r for r in side} for side in (trained, frozen))
    both = [k for k in first if k in second]
    for name, quantity in quantities.items():
        keys = [k for k in both if quantity.exists(first[k]) and quantity.exists(second[k])]
        if not keys:
            continue
        new, old = [quantity.value(first[k]) for k in keys], [quantity.value(second[k]) for k in keys]
        documents = [first[k].document_id for k in keys]
        with warnings.catch_warnings():  # a tie is usual here, and a row without an interval says so itself
            warnings.filterwarnings("ignore", "all .* differ by the same", RuntimeWarning)
            difference = paired_difference(new, old, documents)
        row: dict[str, Any] = {
            "trained": mean_interval(new, documents).value,
            "frozen": mean_interval(old, documents).value,
            "difference": vars(difference),
            "pairs": len(keys),
            "unpaired": len(set(first) ^ set(second)),
        }
        if name in JUDGED:
            binary, more = JUDGED[name]
            new_tokens, old_tokens = ([side[k] for k in keys] for side in tokens)
            try:
                row["verdict"] = compare_line(name + suffix, new, old, documents, new_tokens, old_tokens, binary, more)
            except ValueError as error:  # a side that writes nothing has no length to be compared at
                row["verdict_refused"] = str(error)
        result[name + suffix] = row


def compare_pairs(records: Sequence[GridRecord], pairs: Sequence[Sequence[str]], price: float) -> list[dict[str, Any]]:
    """Each pair of labels (new, old) on each data set: its values and verdicts, ready for JSON."""
    found = []
    for name, split in dict.fromkeys((r.data.name, r.data.split) for r in records):
        for new, old in pairs:
            first, second = ([r for r in records if r.compressor.label == label and r.data.name == name] for label in (new, old))
            values = compare(first, second, price)
            found.append(
                {
                    "data": name,
                    "split": split,
                    "new": new,
                    "old": old,
                    "price": price,
                    "values": values,
                    "verdicts": verdicts(values),
                }
            )
    return found


def verdicts(values: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The verdicts of a comparison, in its order, with p-values adjusted for all of them (Holm)."""
    lines = [{**row["verdict"], "quantity": name} for name, row in values.items() if "verdict" in row]
    return with_holm(lines)
