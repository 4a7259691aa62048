"""Two compressors on the same problems: paired differences, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.analysis.verdict import compare_line, with_holm
from infoagent.evaluation.summary import (
    PREDICTION_QUANTITIES,
    Quantity,
    Record,
    compression_quantities,
    of_all_quantities,
    predictor_title,
)
from infoagent.information import mean_interval, paired_difference

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


def compare(trained: Sequence[Record], frozen: Sequence[Record], price: float) -> dict[str, dict[str, Any]]:
    """Trained − frozen on the same problems and draws, for every number both have; numbers of predictors under
    `name · predictor` where there are several.

    Pairs in which one side failed are left out and counted under "unpaired". Where draws without a z are final, MI is
    compared over all draws too.
    """
    texts = _good(trained, "compression"), _good(frozen, "compression")
    tokens = (
        {_draw(r): float(r["rate_tokens"]) for r in texts[0]},
        {_draw(r): float(r["rate_tokens"]) for r in texts[1]},
    )
    result: dict[str, dict[str, Any]] = {}
    _compare_kind(result, *texts, compression_quantities(price), tokens, "")
    if any(r.get("final") for r in (*trained, *frozen)):
        new, old = (
            [r for r in side if r["kind"] == "compression" and (r["status"] == "ok" or r.get("final"))]
            for side in (trained, frozen)
        )
        _compare_kind(result, new, old, of_all_quantities([*new, *old]), tokens, "")
    predictors = list(dict.fromkeys(predictor_title(r) for r in (*trained, *frozen) if r["kind"] == "prediction"))
    for title in predictors:
        new, old = ([r for r in _good(side, "prediction") if predictor_title(r) == title] for side in (trained, frozen))
        suffix = OF + title if len(predictors) > 1 else ""
        _compare_kind(result, new, old, PREDICTION_QUANTITIES, tokens, suffix)
    return result


def _compare_kind(
    result: dict[str, dict[str, Any]], trained: Sequence[Record], frozen: Sequence[Record],
    quantities: Mapping[str, Quantity], tokens: tuple[Mapping[Any, float], Mapping[Any, float]], suffix: str,
) -> None:  # fmt: skip
    first, second = ({_draw(r): r for r in side} for side in (trained, frozen))
    both = [k for k in first if k in second]
    for name, quantity in quantities.items():
        keys = [k for k in both if quantity.exists(first[k]) and quantity.exists(second[k])]
        if not keys:
            continue
        new, old = [quantity.value(first[k]) for k in keys], [quantity.value(second[k]) for k in keys]
        documents = [first[k]["document_id"] for k in keys]
        row: dict[str, Any] = {
            "trained": mean_interval(new, documents).value,
            "frozen": mean_interval(old, documents).value,
            "difference": vars(paired_difference(new, old, documents)),
            "pairs": len(keys),
            "unpaired": len(set(first) ^ set(second)),
        }
        if name in JUDGED:
            binary, more = JUDGED[name]
            new_tokens, old_tokens = ([side[k] for k in keys] for side in tokens)
            try:
                row["verdict"] = compare_line(
                    name + suffix, new, old, documents, new_tokens, old_tokens, binary, more
                )  # fmt: skip
            except ValueError as error:  # a side that writes nothing has no length to be compared at
                row["verdict_refused"] = str(error)
        result[name + suffix] = row


def compare_pairs(records: Sequence[Record], pairs: Sequence[Sequence[str]], price: float) -> list[dict[str, Any]]:
    """Each pair of labels (new, old) on each data set: its values and verdicts, ready for JSON."""
    found = []
    for name, split in dict.fromkeys((r["data"]["name"], r["data"]["split"]) for r in records):
        for new, old in pairs:
            first, second = (
                [r for r in records if r["compressor"]["label"] == label and r["data"]["name"] == name]
                for label in (new, old)
            )
            values = compare(first, second, price)
            found.append(
                {"data": name, "split": split, "new": new, "old": old, "price": price, "values": values, "verdicts": verdicts(values)}
            )  # fmt: skip
    return found


def verdicts(values: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The verdicts of a comparison, in its order, with p-values adjusted for all of them (Holm)."""
    lines = [{**row["verdict"], "quantity": name} for name, row in values.items() if "verdict" in row]
    return with_holm(lines)


def _good(records: Sequence[Record], kind: str) -> list[Record]:
    return [r for r in records if r["kind"] == kind and r["status"] == "ok"]


def _draw(record: Record) -> tuple[Any, ...]:
    return record["data"]["name"], record["problem_id"], record.get("seed"), record["sample"]
