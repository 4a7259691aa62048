"""The infoagent command as a user types it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from infoagent.cli import main


def call(capsys, *arguments):
    code = main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.fixture
def scores(tmp_path):
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(4), 2)
    log_probs = -20 - rng.gamma(2.0, 2.0, size=(8, 4))
    log_probs[np.arange(8), source] = -15.0
    np.savez(tmp_path / "s.npz", log_probs=log_probs, source=source)
    return tmp_path / "s.npz", log_probs, source


def test_mi_prints_the_fields_of_the_contract(capsys, scores):
    from infoagent.information import estimate_mi

    path, log_probs, source = scores
    code, out, _ = call(capsys, "mi", str(path), "--json")
    assert code == 0
    printed, expected = json.loads(out), estimate_mi(log_probs, source)
    for name in ("infonce_nats", "leave_one_out_nats", "midpoint_nats", "stderr_nats", "ceiling_nats", "saturation"):
        assert printed[name] == pytest.approx(getattr(expected, name))
    assert printed["ci_nats"] == pytest.approx(expected.ci_nats)
    assert printed["per_compression_nats"] == pytest.approx(expected.per_compression_nats.tolist())
    assert printed["per_document_nats"] == pytest.approx(expected.per_document_nats.tolist())
    assert set(printed["at_k"]) == {"2", "4"}
    code, out, _ = call(capsys, "mi", str(path))
    assert f"{expected.infonce_nats:.4f} nats" in out


def test_mi_refuses_failed_cells_or_drops_them_on_request(capsys, scores, tmp_path):
    _, log_probs, source = scores
    log_probs[0, 1] = np.nan
    np.savez(tmp_path / "nan.npz", log_probs=log_probs, source=source)
    code, out, err = call(capsys, "mi", str(tmp_path / "nan.npz"), "--json")
    assert (code, out) == (2, "")
    assert "1 of 32 cells are NaN" in err
    assert "--drop-failed" in err
    code, out, _ = call(capsys, "mi", str(tmp_path / "nan.npz"), "--json", "--drop-failed")
    assert code == 0
    assert json.loads(out)["dropped"] == 1


def test_mi_as_json_is_valid_json_even_where_a_value_is_not_finite(capsys, tmp_path):
    np.savez(tmp_path / "s.npz", log_probs=np.array([[-1.0, -np.inf]]), source=np.array([0]))
    code, out, _ = call(capsys, "mi", str(tmp_path / "s.npz"), "--json")
    printed = json.loads(out, parse_constant=pytest.fail)
    assert code == 0
    assert printed["leave_one_out_nats"] is None
    assert printed["stderr_nats"] is None
    assert any("infinite" in w for w in printed["warnings"])
    assert any("unknown" in w for w in printed["warnings"])


@pytest.mark.parametrize(
    "make",
    [
        lambda p: None,
        lambda p: p.write_bytes(b"PK\x03\x04 cut off"),
        lambda p: p.write_text("x"),
        lambda p: np.savez(p, other=np.ones(2)),
    ],
)
def test_mi_refuses_what_is_no_score_file(capsys, tmp_path, make):
    make(tmp_path / "x.npz")
    code, _, err = call(capsys, "mi", str(tmp_path / "x.npz"))
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_score_then_mi(capsys, tiny_dir, tmp_path):
    from infoagent.lm import prompts
    from infoagent.lm.models import load
    from infoagent.lm.scoring.exact import Scorer

    documents = [
        {"id": f"d{i}", "document": text, "query": q}
        for i, (text, q) in enumerate([("a cat", "who?"), ("a dog", "who?"), ("an owl", "what?")])
    ]
    texts = [("d0", "cat"), ("d2", "owl"), ("d1", "dog"), ("d0", "the cat")]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, documents)))
    (tmp_path / "z.jsonl").write_text("\n".join(json.dumps({"id": i, "compression": z}) for i, z in texts))
    out = tmp_path / "deep" / "s.npz"
    code, _, _ = call(
        capsys,
        "score",
        "--documents",
        str(tmp_path / "d.jsonl"),
        "--compressions",
        str(tmp_path / "z.jsonl"),
        "--model",
        str(tiny_dir),
        "--dtype",
        "float32",
        "--out",
        str(out),
        "--quiet",
    )
    assert code == 0
    arrays = np.load(out)
    assert arrays["source"].tolist() == [0, 2, 1, 0]
    lm = load(str(tiny_dir), dtype="float32", device="cpu")
    queries = {d["id"]: d["query"] for d in documents}
    for (identity, text), row in zip(texts, arrays["log_probs"], strict=True):
        prefixes = [prompts.compressor_ids(lm.tokenizer, d["document"], queries[identity]) for d in documents]
        expected = Scorer(lm.model).score_one_by_one(prefixes, [[*prompts.text_ids(lm.tokenizer, text), lm.tokenizer.eos_token_id]])
        assert row == pytest.approx(expected[0], abs=1e-3)
    code, printed, _ = call(capsys, "mi", str(out))
    assert code == 0
    assert "I(X;Z|Q)" in printed


def test_compress_prints_the_text_on_stdout_and_figures_on_stderr(capsys, tiny_dir, tmp_path):
    (tmp_path / "x.txt").write_text("a document of some words")
    code, out, err = call(capsys, "compress", str(tmp_path / "x.txt"), "--model", str(tiny_dir), "--budget", "7", "--query", "why?")
    assert code == 0
    assert "tokens → " in err
    assert int(err.split("tokens → ")[1].split()[0].rstrip(",")) <= 7
    assert out.endswith("\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compress", "nowhere.txt"], "no such file"),
        (["compress", "{empty}"], "the document is empty"),
        (["compress", "{text}", "--budget", "0"], "must be at least 1"),
        (["compress", "{text}", "--model", "{tiny}", "--adapter", "nowhere"], "no such directory"),
        (["compress", "{long}", "--model", "{tiny}", "--truncate", "error"], "set --truncate to head"),
        (["data", "show", "recrods"], "data show: 'recrods' is unknown; did you mean 'records'"),
        (["data", "show", "{text}"], "is a file and no data set; write: infoagent data show jsonl data.path="),
        (["data", "show", "{folder}"], "is a folder and no data set; write: infoagent data show text data.path="),
        (["data", "show", "records", "data.limt=3"], "did you mean 'limit'"),
        (["report", "nowhere", "--out", "x.html"], "holds no run.json"),
        (["report", "nowhere", "--out", "x.pdf"], "must end in .html"),
        (["config", "check", "nowhere.yaml"], "no such recipe"),
        (["models", "prepare", "gpt-9"], "is not embedded"),
        (["score", "--documents", "nowhere", "--compressions", "z", "--out", "s.npz"], "no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(capsys, tmp_path, tiny_dir, arguments, message):
    (tmp_path / "empty").write_text("")
    (tmp_path / "text").write_text("some text")
    (tmp_path / "long").write_text("word " * 2000)
    places = {
        "empty": tmp_path / "empty",
        "text": tmp_path / "text",
        "long": tmp_path / "long",
        "tiny": tiny_dir,
        "folder": tmp_path,
    }
    code, out, err = call(capsys, *(a.format(**places) for a in arguments))
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_data_show_as_json(capsys):
    code, out, _ = call(capsys, "data", "show", "records", "data.split=test", "data.limit=7", "--json")
    shown = json.loads(out)
    assert code == 0
    assert (shown["name"], shown["problems"], shown["documents"]) == ("records", 7, 7)
    assert shown["revision"].startswith("sha256:")
    assert len(shown["first"]) == 3
    assert shown["groups"] >= 2


def test_json_holds_the_signs_of_a_document_that_a_terminal_is_not_shown(capsys, tmp_path):
    document = "\u202bשלום 123\u202c and NEL\u0085 text, to the end of it"
    (tmp_path / "d.jsonl").write_text(json.dumps({"id": "1", "document": document, "query": "q?"}))
    code, out, _ = call(capsys, "data", "show", "jsonl", f"data.path={tmp_path}/d.jsonl", "--json")
    assert code == 0
    assert json.loads(out)["first"][0]["document"] == document


def test_lists_and_checks(capsys):
    assert call(capsys, "data", "ls")[0] == 0
    assert "smollm2-135m" in call(capsys, "models")[1]
    code, out, _ = call(capsys, "config", "show", str(ROOT / "configs/train/records.yaml"), "reward.price=0.5")
    assert code == 0
    assert "price: 0.5" in out
    assert "a valid EvaluationRecipe" in call(capsys, "config", "check", str(ROOT / "configs/eval/records.yaml"))[1]


def test_doctor_finds_this_environment_healthy(capsys):
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    assert "torch" in out


def test_light_commands_do_not_import_torch():
    code = "import sys\nfrom infoagent.cli import main\nmain(['data', 'ls']); main(['config', 'check', 'configs/train/records.yaml'])\n"
    code += "assert 'torch' not in sys.modules and 'transformers' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=False).returncode == 0
