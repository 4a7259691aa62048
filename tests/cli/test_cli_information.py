"""`infoagent score`, `mi` and `calibrate` on a user's own files: what they print, keep and refuse."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from infoagent.cli import main
from infoagent.information.scores import ScoreMatrix

DOCUMENTS = [
    {
        "id": f"d{i}",
        "document": f"{name} sold {n} {thing} in {year}.",
        "query": f"How many {thing} did {name} sell?",
        "answer": str(n),
        "group": thing,
    }
    for i, (name, n, thing, year) in enumerate(
        [("Ada", 12, "horses", 1990), ("Bob", 47, "horses", 1991), ("Eve", 305, "ships", 1992), ("Max", 8, "ships", 1995)]
    )
]
TEXTS = [("d0", "12 horses"), ("d1", "47"), ("d2", "305 ships were sold"), ("d3", "8"), ("d0", "twelve")]


def call(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def files(folder, documents=DOCUMENTS, texts=TEXTS):
    (folder / "d.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (folder / "z.jsonl").write_text("\n".join(json.dumps({"id": i, "compression": z}) for i, z in texts))
    return ["score", "--documents", folder / "d.jsonl", "--compressions", folder / "z.jsonl", "--quiet", "--dtype", "float32"]


@pytest.fixture(scope="module")
def scored(tiny_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scored")
    arguments = files(folder)
    code = main([str(a) for a in (*arguments, "--model", tiny_dir, "--out", folder / "s.npz", "--tokens", "--counterfactuals", 2)])
    assert code == 0
    return folder


def test_the_file_holds_the_pool_the_facts_and_the_tokens(scored):
    matrix = ScoreMatrix.load(scored / "s.npz")
    assert matrix.log_probs_CK.shape == (5, 4)
    assert matrix.counterfactual_CN.shape == (5, 2)
    assert matrix.topic_K.tolist() == ["horses", "horses", "ships", "ships"]
    texts = ["".join(tokens) for tokens in matrix.token_texts()]
    assert texts[2].startswith("305 ships were sold")
    assert [len(t) for t in matrix.token_texts()] == [len(z) + 1 for _, z in TEXTS]  # a byte a token, and the end


def test_empty_compressions_are_scored_and_told(scored, tiny_dir, capsys, tmp_path):
    arguments = files(tmp_path, texts=[*TEXTS[:2], ("d2", ""), ("d3", " ")])
    code, _, err = call(capsys, *arguments, "--model", tiny_dir, "--out", tmp_path / "s.npz")
    assert code == 0
    assert "note: 2 of 4 compressions are empty, and are scored as such" in err
    assert ScoreMatrix.load(tmp_path / "s.npz").log_probs_CK.shape == (4, 4)
    code, _, err = call(capsys, *files(tmp_path), "--model", tiny_dir, "--out", tmp_path / "t.npz")
    assert (code, "empty" in err) == (0, False)


def test_a_model_that_returns_nan_ends_a_command_in_one_line(tiny_dir, capsys, tmp_path):
    model = AutoModelForCausalLM.from_pretrained(tiny_dir)
    torch.nn.init.constant_(model.model.norm.weight, torch.nan)
    model.save_pretrained(tmp_path / "nan")
    AutoTokenizer.from_pretrained(tiny_dir).save_pretrained(tmp_path / "nan")
    (tmp_path / "t.txt").write_text("The river is 7 km long.")
    for command in (
        [*files(tmp_path), "--out", tmp_path / "s.npz"],
        ["compress", tmp_path / "t.txt", "--budget", "5"],
        ["compress", tmp_path / "t.txt", "--budget", "5", "--temperature", "1"],
    ):
        code, out, err = call(capsys, *command, "--model", tmp_path / "nan")
        assert (code, out) == (1, "")
        assert err.splitlines()[-1].startswith("failed: the model returned NaN")
        assert "Traceback" not in err


def test_a_second_call_reads_the_scores_and_gives_the_same(scored, tiny_dir, capsys, monkeypatch):
    from infoagent.lm.scoring.exact import Scorer

    monkeypatch.setattr(Scorer, "score_tokens", lambda *_: pytest.fail("a cell was computed twice"))
    arguments = files(scored)
    again = ("--model", tiny_dir, "--out", scored / "again.npz", "--scores", f"{scored}/s.npz.scores", "--counterfactuals", 2)
    assert call(capsys, *arguments, *again)[0] == 0
    first, second = ScoreMatrix.load(scored / "s.npz"), ScoreMatrix.load(scored / "again.npz")
    assert np.array_equal(first.log_probs_CK, second.log_probs_CK)
    assert second.token_T is None


def test_mi_prints_the_chain_the_power_and_the_tokens(scored, capsys):
    code, out, err = call(capsys, "mi", scored / "s.npz", "--tokens", "--plot", scored / "k.svg")
    assert code == 0, err
    for said in ("I(C;Z)", "I(X;Z|C)", "which version of its own facts", "4 documents differences of", "estimand"):
        assert said in out
    assert "d2#2: " in out
    assert (scored / "k.svg").read_text().startswith("<?xml")


def test_texts_of_unknown_origin_have_no_upper_bound_unless_the_model_wrote_them(scored, tiny_dir, tmp_path, capsys):
    assert json.loads(call(capsys, "mi", scored / "s.npz", "--json")[1])["leave_one_out_nats"] is None
    arguments = files(tmp_path)
    call(capsys, *arguments, "--model", tiny_dir, "--out", tmp_path / "s.npz", "--sampler")
    found = json.loads(call(capsys, "mi", tmp_path / "s.npz", "--json")[1])
    assert found["leave_one_out_nats"] > found["infonce_nats"]


def test_a_proxy_has_no_upper_bound(scored, capsys):
    code, out, _ = call(capsys, "mi", scored / "s.npz", "--proxy", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["leave_one_out_nats"] is None
    assert any("the scorer did not draw the compressions" in w for w in found["warnings"])
    assert found["infonce_nats"] == json.loads(call(capsys, "mi", scored / "s.npz", "--json")[1])["infonce_nats"]


def other_documents():
    return [{**d, "document": "Elsewhere, " + d["document"]} for d in DOCUMENTS]


def test_a_critic_scale_is_fitted_on_other_documents_and_applied(scored, tiny_dir, tmp_path, capsys):
    arguments = files(tmp_path, other_documents())
    assert call(capsys, *arguments, "--model", tiny_dir, "--out", tmp_path / "h.npz")[0] == 0
    code, out, _ = call(capsys, "calibrate", tmp_path / "h.npz", "--out", tmp_path / "b.json")
    assert code == 0
    beta = json.loads((tmp_path / "b.json").read_text())["beta"]
    assert f"beta {beta:.4f} on 4 documents" in out
    code, out, err = call(capsys, "mi", scored / "s.npz", "--calibration", tmp_path / "b.json", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert found["beta"] == beta
    assert "critic scale" in call(capsys, "mi", scored / "s.npz", "--calibration", tmp_path / "b.json")[1]
    from infoagent.information import estimate_mi

    matrix = ScoreMatrix.load(scored / "s.npz")
    expected = estimate_mi(matrix.log_probs_CK * beta, matrix.source_C, document=matrix.document_C)
    assert found["infonce_nats"] == pytest.approx(expected.infonce_nats)
    kept = json.loads((tmp_path / "b.json").read_text())
    (tmp_path / "none.json").write_text(json.dumps({**kept, "beta": 0.0}))  # a critic that tells nothing is a value, and no absence
    code, out, err = call(capsys, "mi", scored / "s.npz", "--calibration", tmp_path / "none.json", "--tokens", "--json")
    assert code == 0, err
    assert {nats for text in json.loads(out)["token_information"] for nats in text["nats"]} == {0.0}


def test_a_critic_scale_of_the_same_documents_or_of_another_scorer_is_refused(scored, tiny_dir, tmp_path, capsys):
    assert call(capsys, "calibrate", scored / "s.npz", "--out", tmp_path / "own.json")[0] == 0
    code, _, err = call(capsys, "mi", scored / "s.npz", "--calibration", tmp_path / "own.json")
    assert code == 2
    assert "took part in the fit" in err
    arguments = files(tmp_path, other_documents())
    call(capsys, *arguments, "--model", tiny_dir, "--dtype", "bfloat16", "--out", tmp_path / "h.npz")
    assert call(capsys, "calibrate", tmp_path / "h.npz", "--out", tmp_path / "b.json")[0] == 0
    code, _, err = call(capsys, "mi", scored / "s.npz", "--calibration", tmp_path / "b.json")
    assert code == 2
    assert "belongs to the scorer" in err
    (tmp_path / "b.json").write_text("{}")
    code, _, err = call(capsys, "mi", scored / "s.npz", "--calibration", tmp_path / "b.json")
    assert (code, err.count("\n")) == (2, 1)
    assert "not a calibration" in err


def test_two_compressors_are_compared_paired(scored, tiny_dir, tmp_path, capsys):
    worse = [(i, "something") for i in ("d0", "d1", "d2", "d3")]
    arguments = files(tmp_path, DOCUMENTS, worse)
    call(capsys, *arguments, "--model", tiny_dir, "--out", tmp_path / "w.npz", "--counterfactuals", 2)
    code, out, err = call(capsys, "mi", scored / "s.npz", "--against", tmp_path / "w.npz", "--json")
    assert code == 0, err
    from infoagent.information import estimate_mi

    found = json.loads(out)["against"]
    assert sorted(found) == ["fact", "random", "topic", "within_topic"]
    one, other = (estimate_mi(m.log_probs_CK, m.source_C) for m in map(ScoreMatrix.load, (scored / "s.npz", tmp_path / "w.npz")))
    by_hand = one.per_document_nats - other.per_document_nats
    assert found["random"]["difference_nats"] == pytest.approx(by_hand.mean())
    half = (found["random"]["high_nats"] - found["random"]["low_nats"]) / 2
    assert half == pytest.approx(3.182446 * by_hand.std(ddof=1) / 2, rel=1e-5)  # t with 3 degrees of freedom
    assert "paired by document" in call(capsys, "mi", scored / "s.npz", "--against", tmp_path / "w.npz")[1]
    own = files(tmp_path, other_documents())
    call(capsys, *own, "--model", tiny_dir, "--out", tmp_path / "o.npz")
    code, _, err = call(capsys, "mi", scored / "s.npz", "--against", tmp_path / "o.npz")
    assert (code, err.count("\n")) == (2, 1)
    assert "different pools" in err
    arguments = files(tmp_path, DOCUMENTS, worse)
    call(capsys, *arguments, "--model", tiny_dir, "--out", tmp_path / "three.npz", "--counterfactuals", 3)
    code, _, err = call(capsys, "mi", scored / "s.npz", "--against", tmp_path / "three.npz")
    assert (code, err.count("\n")) == (2, 1)
    assert "2 and 3 counterfactuals" in err


def test_own_document_names_its_estimand(tiny_dir, tmp_path, capsys):
    assert call(capsys, *files(tmp_path), "--model", tiny_dir, "--query", "own_document", "--out", tmp_path / "s.npz")[0] == 0
    assert "I(X,Q;Z)" in call(capsys, "mi", tmp_path / "s.npz")[1]


def test_failed_cells_are_dropped_with_their_tokens_only_when_asked(scored, tmp_path, capsys):
    from dataclasses import replace

    matrix = ScoreMatrix.load(scored / "s.npz")
    log_probs = matrix.log_probs_CK.copy()
    log_probs[1, 2] = np.nan
    replace(matrix, log_probs_CK=log_probs).save(tmp_path / "n.npz")
    code, _, err = call(capsys, "mi", tmp_path / "n.npz")
    assert code == 2
    assert "1 of 20 cells are NaN" in err
    code, out, _ = call(capsys, "mi", tmp_path / "n.npz", "--drop-failed", "--json", "--tokens")
    found = json.loads(out)
    assert (code, found["dropped"], len(found["token_information"])) == (0, 1, 4)


@pytest.mark.parametrize(
    ("documents", "texts", "more", "said"),
    [
        (DOCUMENTS[:1], TEXTS[:1], [], "holds one document only"),
        (DOCUMENTS, TEXTS[:2], [], "2 of 4 documents have no compression ('d2', 'd3')"),
        ([*DOCUMENTS, {**DOCUMENTS[0], "id": "d9", "document": DOCUMENTS[0]["document"].upper()}],
         [*TEXTS, ("d9", "x")], [], "'d0', 'd9' are the same text"),
        (DOCUMENTS, [*TEXTS, ("d7", "x")], [], "id 'd7' is not among the documents"),
        (DOCUMENTS, TEXTS, ["--memory-mib", "0"], "--memory-mib 0: must be at least 1"),
        (DOCUMENTS, TEXTS, ["--scores", __file__], "is a file; name a directory"),
        (DOCUMENTS, TEXTS, ["--counterfactuals", "-1"], "--counterfactuals -1: must be at least 0"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_before_a_model_loads(documents, texts, more, said, tmp_path, capsys, monkeypatch):
    from infoagent.lm import models

    monkeypatch.setattr(models, "load_weights", lambda *_: pytest.fail("a model was loaded"))
    code, out, err = call(capsys, *files(tmp_path, documents, texts), "--out", tmp_path / "s.npz", *more)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_files_that_do_not_hold_together_are_refused(scored, tmp_path, capsys):
    with np.load(scored / "s.npz") as arrays:
        held = dict(arrays)
    for changed, said in (
        ({"about": np.array("[1]")}, "'about' holds a JSON list"),
        ({"tokens": held["tokens"][:-1]}, "they must agree"),
        ({"strata_pool_size": np.array(4)}, "strata are incomplete"),
    ):
        np.savez(tmp_path / "x.npz", **{**held, **changed})
        code, _, err = call(capsys, "mi", tmp_path / "x.npz")
        assert (code, err.count("\n")) == (2, 1)
        assert said in err
    code, _, err = call(capsys, "mi", scored / "s.npz", "--plot", tmp_path / "x.npz" / "x.svg")
    assert (code, err.count("\n")) == (2, 1)


def test_a_document_without_compression_may_stand_as_a_candidate(tiny_dir, tmp_path, capsys):
    arguments = files(tmp_path, DOCUMENTS, TEXTS[:2])
    assert call(capsys, *arguments, "--model", tiny_dir, "--out", tmp_path / "s.npz", "--allow-missing")[0] == 0
    assert ScoreMatrix.load(tmp_path / "s.npz").log_probs_CK.shape == (2, 4)
