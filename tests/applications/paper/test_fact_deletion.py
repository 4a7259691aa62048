"""The fact-deletion figure's numbers against a plain pass over every pair, on a model that a test can afford."""

import numpy as np
import pytest

from infoagent.applications.paper import fact_deletion as figure
from infoagent.information import estimate_mi
from infoagent.lm.models import load
from infoagent.lm.prompts import Prompt, compressor_ids, end_of_turn_id, text_ids
from infoagent.lm.scoring.exact import Scorer

DOCUMENTS, FACTS, VERSIONS = 2, 2, 2


def test_each_point_is_what_its_texts_score_one_by_one(tiny_dir, tmp_path):
    found = figure.fact_deletion(str(tmp_path), str(tiny_dir), "float32", DOCUMENTS, FACTS, VERSIONS, 0, 256, quiet=True)
    lm = load(str(tiny_dir), dtype="float32")
    drawn = figure._records(DOCUMENTS, FACTS, 0)

    def scored(documents, text):
        prefixes = [compressor_ids(lm.tokenizer, document, None, Prompt(figure.TEMPLATE)) for document in documents]
        return Scorer(lm.model).score_one_by_one(prefixes, [[*text_ids(lm.tokenizer, text), end_of_turn_id(lm.tokenizer)]])[0]

    for point, kept in zip(found["points"], (2, 1, 0), strict=True):
        among, told, lengths = [], [], []
        for index, (problem, record, chosen) in enumerate(drawn):
            text = f"{record.kind.title} {record.code}, {record.name}."
            if kept:
                text += " " + "; ".join(f"{fact.label}: {value}" for fact, value in chosen[:kept]) + "."
            among.append(scored([p.document for p, _, _ in drawn], text))
            versions = [n.document for n in figure._versions(record, chosen, VERSIONS, np.random.default_rng([0, index]))]
            own, *others = scored([problem.document, *versions], text)
            for fact in range(FACTS):  # in the order of the facts, VERSIONS each
                row = np.array([own, *others[fact * VERSIONS : (fact + 1) * VERSIONS]])
                told.append(np.log(len(row)) + row[0] - np.logaddexp.reduce(row))
            lengths.append(len(text_ids(lm.tokenizer, text)))
        expected = estimate_mi(np.array(among), np.arange(DOCUMENTS), sampler=False)
        assert point["facts_left"] == kept
        assert point["random_nats"] == pytest.approx(expected.infonce_nats, abs=1e-3)
        assert point["fact_nats"] == pytest.approx(np.mean(told), abs=1e-3)
        assert point["rate_tokens"] == pytest.approx(np.mean(lengths))
    assert max(abs(point["fact_nats"]) for point in found["points"]) > 0.01  # no equality of zeros
