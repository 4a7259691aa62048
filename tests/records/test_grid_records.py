"""Records of a grid: what stands on disk is what is read, and what is written again."""

import json

import pytest

from infoagent.evaluation.records import RecordFile
from infoagent.records.files import grid_of, read_records
from infoagent.records.grid import CompressionRecord, CompressorIdentity, DataIdentity, PredictionRecord
from infoagent.records.json_form import as_json
from infoagent.types import InputError

COMPRESSION = {
    "key": "a", "kind": "compression", "status": "ok",
    "compressor": {"label": "lm", "curve": "lm", "kind": "lm", "model": {"name": "m", "adapter": None}},
    "data": {"name": "d", "revision": "r", "split": "test"}, "problem_id": "p", "document_id": "p", "group": None,
    "query": "q", "answer": None, "sample": 0, "seed": 1, "text": "z", "rate_tokens": 3,
    "candidates": ["source", "random"], "log_probs": [-1.0, -2.0], "tokens": {"pieces": ["z"], "pool_nats": [0.3]},
    "of_a_later_version": {"x": [1]},
}  # fmt: skip
PREDICTION = {
    "key": "b", "kind": "prediction", "status": "ok", "compression_key": "a", "compressor": COMPRESSION["compressor"],
    "predictor": {"label": "reads", "kind": "lm", "name": "m"}, "data": COMPRESSION["data"], "problem_id": "p",
    "document_id": "p", "sample": 0, "seed": 1, "reply": "B", "correct": True,
    "grade": {"method": "choice", "correct": True, "score": 1.0, "parsed": None, "unparseable": False, "f1": None, "detail": ""},
}  # fmt: skip


def lines(tmp_path, *rows):
    (tmp_path / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_lines_become_records_and_the_same_lines(tmp_path):
    records = grid_of(read_records(lines(tmp_path, COMPRESSION, PREDICTION, {"key": "c", "status": "ok"})))
    assert [type(r) for r in records] == [CompressionRecord, PredictionRecord]
    assert [json.dumps(as_json(r)) for r in records] == [json.dumps(r) for r in (COMPRESSION, PREDICTION)]
    assert records[0].has_negatives(("random",))
    assert records[0].draw == records[1].draw


def test_what_has_no_value_is_not_written(tmp_path):
    record = CompressionRecord(
        key="a", compressor=CompressorIdentity(label="x"), data=DataIdentity(name="d"), problem_id="p", document_id="p"
    )
    RecordFile(tmp_path).append(record)
    [row] = read_records(tmp_path)
    assert not {"log_probs", "cause", "usd", "extra"} & set(row)
    assert (row["group"], row["answer"]) == (None, None)  # a problem without an answer says so


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({k: v for k, v in COMPRESSION.items() if k != "problem_id"}, "problem_id"),
        ({**COMPRESSION, "compressor": {"kind": "lm"}}, "compressor.label"),
        ({k: v for k, v in PREDICTION.items() if k != "compression_key"}, "compression_key"),
        ({**PREDICTION, "data": "d"}, "data.object"),
        ({"key": "c"}, "status"),
    ],
)
def test_a_missing_field_is_named_with_file_and_line(tmp_path, row, name):
    with pytest.raises(InputError, match=rf"records\.jsonl:2: damaged line: no {name}$"):
        RecordFile(lines(tmp_path, COMPRESSION, row))
