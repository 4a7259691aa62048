"""Summaries by hand: what a test does not name is empty."""

import math

from infoagent.records.grid import CompressorIdentity, DataIdentity
from infoagent.records.summaries import CompressorCost, InformationSummary, PredictorCost, PredictorSummary, Summary
from infoagent.types import Finding


def finding(value, half=0.1, n=4):
    return Finding(value, value - half, value + half, n)


def information(infonce, half, ceiling, **fields):
    nan = math.nan
    unknown = {"leave_one_out_nats": nan, "midpoint_nats": nan, "midpoint_ci_nats": [nan, nan], "stderr_nats": nan}
    unknown |= {"detectable_nats": nan, "saturation": 0.2, "at_k": {}, "n_documents": 4, "n_compressions": 4}
    known = {"infonce_nats": infonce, "ci_nats": [infonce - half, infonce + half], "ceiling_nats": ceiling}
    return InformationSummary(**{**unknown, **known, "headroom_nats": ceiling - infonce, **fields})


def predictor(values=None, **fields):
    counts = {"n": 4, "failed": 0, "failed_causes": {}, "unparseable": 0, "cost": PredictorCost()}
    return PredictorSummary(**{"values": values or {}, **counts, **fields})


def summary_of(label, kind="lm", data="records", revision="r1", compressor=None, **fields):
    counts = {"n_compressions": 4, "n_documents": 4, "failed": 0, "failed_causes": {}, "price": 0.02}
    numbers = {"values": {}, "estimates": {}, "predictors": {}, "cost": CompressorCost()}
    whose = {
        "data": DataIdentity(name=data, revision=revision, split="test"),
        "compressor": CompressorIdentity(label=label, kind=kind, extra=compressor or {}),
        "label": label,
        "curve": label,
    }
    return Summary(**{**whose, **counts, **numbers, **fields})
