"""eval/frozen.py and eval/checkpoint.py as a user calls them."""

import json
import runpy

import pytest
import yaml
from conftest import ROOT, WITHOUT_TORCH, run_script, run_together
from tiny import save_adapter

from infoagent.config import exit_code
from infoagent.records.files import read_records
from infoagent.records.summaries import read_summaries


@pytest.fixture
def recipe(tiny_dir, tmp_path):
    model = {"name": str(tiny_dir), "dtype": "float32"}
    content = {
        "output_dir": str(tmp_path / "out"),
        "data": [{"name": "records", "limit": 9, "min_words": 40, "max_words": 60}],
        "compressors": [
            {"label": "lm", "model": model, "max_tokens": 8},
            {"label": "lead", "kind": "lead", "sentences": 1, "model": model},
            {"label": "full", "kind": "full-document", "model": model},
        ],
        "predictors": [model],
        "negatives": {"random": 1, "counterfactual": 1},
        "batch_size": 2,
        "resamples": 50,
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def run(*arguments):
    return run_script(*map(str, arguments), OMP_NUM_THREADS="1")


def test_a_dry_run_counts_what_will_be_done(recipe):
    done = run(
        "-c", WITHOUT_TORCH, "eval/frozen.py", recipe, "--limit", 4, "--dry-run", "seeds=[0, 1]", "cost.gflops_per_second=50"
    )
    assert done.returncode == 0, done.stderr
    assert "3 compressors × 1 data sets × 1 predictors × 2 draws" in done.stdout
    assert "lm on records: 8 compressions" in done.stdout
    assert "GFLOP" in done.stdout
    assert not (recipe.parent / "out").exists()


def test_two_processes_share_a_grid_and_one_summarises_it(recipe):
    done = run_together("eval/frozen.py", str(recipe), "--quiet", "--limit", "4")
    assert done.returncode == 0, done.stderr
    out = recipe.parent / "out"
    held = [len((out / f"records-{i}of2.jsonl").read_text().splitlines()) for i in (1, 2)]
    assert min(held) > 0
    rows = read_records(out)
    assert len(rows) == sum(held) == 3 * 4 * 2  # nothing was done twice
    assert [s.n_compressions for s in read_summaries(out)] == [4, 4, 4]
    assert done.stdout.count("MI easy") == 1
    full = {s.label: s for s in read_summaries(out)}["lead"].predictors
    [answers] = full.values()
    assert answers.break_even["gflops"].verdict == "always"


def test_a_checkpoint_is_judged_in_words(recipe, tiny_dir):
    adapter = save_adapter(tiny_dir, recipe.parent / "runs" / "checkpoint-3", seed=1)
    done = run("eval/checkpoint.py", recipe, f"checkpoint={adapter}", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "verdict on mi/hard_nats: " in done.stdout
    [comparison] = json.loads((recipe.parent / "out" / "comparison.json").read_text())
    verdicts = {v["quantity"]: v for v in comparison["verdicts"]}
    assert verdicts["distortion/error"]["test"].startswith("McNemar")
    curves = {s.label: s.curve for s in read_summaries(recipe.parent / "out")}
    assert curves["trained runs/checkpoint-3"] != curves["lm"]  # a trained point is none of the frozen curve's
    assert all("p_holm" in v for v in verdicts.values() if "p" in v)
    row = comparison["values"]["mi/hard_nats"]
    assert verdicts["mi/hard_nats"]["difference"] == pytest.approx(row["difference"]["value"])


@pytest.mark.parametrize("script", ["eval/frozen.py", "eval/checkpoint.py"])
def test_a_comparison_of_nothing_is_a_failure(script, recipe, tiny_dir, monkeypatch, capsys):
    """No compression could be measured: the tables stand, and the exit code says what they are worth."""

    def fail(*_, **__):
        raise FloatingPointError("the model returned NaN")

    monkeypatch.setattr("infoagent.lm.scoring.exact.Scorer.score_tokens", fail)
    adapter = save_adapter(tiny_dir, recipe.parent / "runs" / "checkpoint-3")
    given = [str(recipe), "--quiet", "--limit", "2", *([f"checkpoint={adapter}"] if "checkpoint" in script else [])]
    main = runpy.run_path(str(ROOT / script))["main"]
    assert exit_code(lambda: main(given)) == 1
    said = capsys.readouterr().err
    assert "no compression could be measured" in said
    assert "Traceback" not in said
    assert (recipe.parent / "out" / "summary.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shard", "3/2"], "--shard 3/2: must be I/N"),
        (["--limit", "0"], "--limit 0: must be at least 1"),
        (["compressors=[]"], "compressors"),
        (["compressors.1.sentences=null"], "'lead': kind lead needs sentences or tokens"),
        (["compressors.0.sentences=2"], "sentences belongs to kinds that pick sentences"),
        (["seeds=[1, 1]"], "seeds [1, 1]: one stands twice"),
        (["predictors.0.kind=endpoint"], "kind endpoint and the section endpoint"),
        (["grading.method=judge"], "method judge and the section judge"),
        (["variants=[{label: a, prompt: {template: sentences-v1}}]"], "sentences"),
        (["resamples=3"], "resamples"),
    ],
)
def test_bad_input_ends_with_one_line_and_code_2(recipe, arguments, message, capsys):
    from infoagent.config import exit_code
    from infoagent.evaluation.part import grid_recipe

    def main():
        from infoagent.config import script_arguments

        grid_recipe(script_arguments([str(recipe), *arguments], "", grid=True))

    assert exit_code(main) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
