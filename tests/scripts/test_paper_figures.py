"""eval/paper/figures.py: the list, every recipe of every experiment, and one small experiment from end to end."""

import json
import re

import pytest
from conftest import ROOT, run_script

from infoagent.analysis.session import run_evaluation
from infoagent.applications.paper.figures import EXPERIMENTS, listing, needs, points_of, recipe_file, sizes_of
from infoagent.applications.proxies.run import check_scorers, parse_scorer, proxy_summaries
from infoagent.config import load_recipe
from infoagent.evaluation.cells import plan_cells
from infoagent.evaluation.estimate import describe_evaluation
from infoagent.recipes import EvaluationRecipe
from infoagent.types import InputError

RECIPES = ROOT / "configs" / "figures"
THERE = [name for name, e in EXPERIMENTS.items() if e.drawing]


def recipe_of(name, size):
    return load_recipe(EvaluationRecipe, recipe_file(RECIPES, name, size))


def test_the_list_has_every_figure_of_the_paper_and_what_it_needs():
    rows = {row[0]: row[1:] for row in listing(RECIPES)}
    wanted = "fig2 fig3 fig4 fig5 fig6 fig7 fig9 fig12 fig13 fig14 fig15 fig16 fig17 fig18 fig19 fig20 fact-deletion"
    assert list(rows) == wanted.split()
    for name, script in (("fig7", "eval/applications/deep_research.py"), ("fig18", "eval/applications/rounds.py")):
        assert rows[name][1] == "a script of its own"
        named = [word.rstrip(",") for word in rows[name][3].split() if "/" in word]
        assert named[0] == script
        assert all((ROOT / path).is_file() for path in named)
    assert rows["fig2"][1] == "records; CPU"
    assert rows["fig3"][3] == ("longhealth, financebench; GPU, vLLM, OPENAI_API_KEY, OPENROUTER_API_KEY, data.0.path, data.1.path")


def test_every_figure_file_belongs_to_an_experiment():
    assert {p.stem for p in RECIPES.glob("*.yaml")} == {f"{name}-{size}" for name in THERE for size in sizes_of(RECIPES, name)}
    assert all({"small", "full"} <= set(sizes_of(RECIPES, name)) for name in THERE)


@pytest.mark.parametrize("name", [name for name in THERE if "local" in sizes_of(RECIPES, name)])
def test_local_needs_files_and_no_accelerator(name):
    recipe = recipe_of(name, "local")
    wanted = needs(recipe, EXPERIMENTS[name].scorers["local"] if EXPERIMENTS[name].scorers else ())
    assert wanted
    assert all(need.endswith((".gguf", ".path")) for need in wanted)
    assert all(c.temperature == 0 for c in recipe.grid if c.kind == "lm")


def test_a_size_that_an_experiment_does_not_have_is_a_line():
    with pytest.raises(InputError, match="experiment 'fig9': has no size 'local'; take --size small or full"):
        recipe_file(RECIPES, "fig9", "local")


@pytest.mark.parametrize("name", THERE)
def test_small_needs_nothing_and_takes_minutes(name):
    recipe = recipe_of(name, "small")
    assert needs(recipe, EXPERIMENTS[name].scorers["small"] if EXPERIMENTS[name].scorers else ()) == []
    assert all(section.limit <= 20 for section in recipe.data)
    stated = recipe.cost.model_copy(update={"gflops_per_second": 100.0})
    [gflop] = re.findall(r"compute: ([\d,]+) GFLOP; at 100", describe_evaluation(recipe.model_copy(update={"cost": stated})))
    assert int(gflop.replace(",", "")) / 100 <= 185  # seconds, every text at its longest


@pytest.mark.parametrize("name", THERE)
def test_full_is_the_papers_and_names_what_it_needs(name):
    recipe = recipe_of(name, "full")
    assert {"GPU", "data.0.path"} <= set(needs(recipe))
    written = [c for c in recipe.grid if c.kind == "lm"]
    assert all(c.temperature == 0.7 and c.max_tokens >= 1024 for c in written)
    assert all(p.temperature == 0.6 for p in recipe.predictors if p.how == "generation")
    assert recipe.negatives.random == 19
    assert {c.model.name.split("/")[0] for c in written} <= {"Qwen", "meta-llama", "google"}


@pytest.mark.parametrize("name", [n for n in THERE if n not in ("fig12", "fig17")])
def test_the_claims_of_a_full_recipe_name_what_stands_in_it(name):
    from infoagent.applications.paper.published import PUBLISHED, Ahead, Direction, Near

    recipe = recipe_of(name, "full")
    labels, titles = {c.label for c in recipe.grid}, {p.title for p in recipe.predictors}
    sets = {section.name for section in recipe.data}
    for claim in (c for c in PUBLISHED if c.figure == name):
        assert claim.data in (None, *sets)
        if isinstance(claim.question, Direction | Near):
            for label, predictor in (side for pair in claim.question.pairs for side in pair):
                assert label in labels
                assert predictor in (None, *titles)
        if isinstance(claim.question, Ahead):
            assert {*claim.question.compressors, claim.question.other} <= labels


def test_dry_run_and_mistakes():
    shown = run_script(
        "eval/paper/figures.py", "run", "fig5", "samples=2", "--dry-run", "--limit", "4", "seeds=[0,1]", "cost.gflops_per_second=50"
    )
    assert shown.returncode == 0, shown.stderr
    assert "needs: nothing beside a processor" in shown.stdout
    assert "× 4 draws" in shown.stdout
    wrong = run_script("eval/paper/figures.py", "run", "fig18")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: experiment 'fig18': has a script of its own: rounds")
    assert wrong.stderr.count("\n") == 1


def run_small(tiny_dir, out):
    model = f"{{name: {tiny_dir}, dtype: float32}}"
    result = run_script(
        "eval/paper/figures.py",
        "run",
        "fig5",
        "--out",
        out,
        "--limit",
        "3",
        "--quiet",
        f"compressors=[{{label: lm, model: {model}, max_tokens: 8}}, {{label: lead 1, kind: lead, sentences: 1, model: {model}}},"
        f" {{label: full document, kind: full-document, model: {model}}}]",
        "variants.0.max_tokens=8",
        "variants.1.max_tokens=8",
        "variants.2.max_tokens=8",
        "resamples=50",
        f"predictors=[{{name: {tiny_dir}, dtype: float32, label: reads}}]",
        "data.0.min_words=40",
        "data.0.max_words=60",
        "negatives.random=1",
        "negatives.counterfactual=1",
    )
    assert result.returncode == 0, result.stderr
    return json.loads((out / "fig5.json").read_text()), result.stdout


@pytest.fixture(scope="module")
def small_run(tiny_dir, tmp_path_factory):
    out = tmp_path_factory.mktemp("figure") / "out"
    return *run_small(tiny_dir, out), out


def test_a_small_experiment_from_end_to_end(small_run):
    found, told, out = small_run
    assert [(p["label"], p.get("sentences")) for p in found["points"]] == [
        ("lm, 1 sentence", 1),
        ("lm, 2 sentences", 2),
        ("lm, 3 sentences", 3),
        ("lead 1", 1),
        ("full document", None),
    ]
    lengths = [r["rate_tokens"] for r in records_of(out) if r["compressor"]["label"] == "lead 1"]
    assert found["points"][3]["measures"]["tokens"]["value"] == pytest.approx(sum(lengths) / 3)
    assert {"commit", "versions", "recipe", "data_revisions", "claims"} <= set(found)
    assert (out / "fig5.png").stat().st_size > 8_000
    assert "claims: the paper states none" in told


def rows_of(directory):
    return [json.loads(line) for line in (directory / "records.jsonl").read_text().splitlines()]


def records_of(directory):
    return [r for r in rows_of(directory) if r["kind"] == "compression"]


def test_a_proxy_that_is_the_scorer_finds_what_the_scorer_found(tiny_dir, tmp_path):
    """float32 again is the same to rounding; bfloat16 is not, and is kept apart; a second call scores nothing anew."""
    model = {"name": str(tiny_dir), "dtype": "float32"}
    recipe = EvaluationRecipe.model_validate(
        {
            "output_dir": str(tmp_path),
            "data": [{"name": "records", "limit": 3, "min_words": 40, "max_words": 60}],
            "compressors": [
                {"label": "lead", "kind": "lead", "sentences": 1, "model": model},
                {"label": "tail", "kind": "tail", "sentences": 2, "model": model},
            ],
            "predictors": [],
            "negatives": {"random": 1, "counterfactual": 1},
            "resamples": 50,
        }
    )
    cells = plan_cells(recipe)
    records, summaries = run_evaluation(recipe, cells, quiet=True)
    scorers = [parse_scorer(f"{tiny_dir}:{dtype}") for dtype in ("float32", "bfloat16")]
    check_scorers(scorers, cells)
    same, rounded = proxy_summaries(recipe, cells, records, scorers, quiet=True).values()
    own = points_of(summaries)
    for point, again, other in zip(own, points_of(same), points_of(rounded), strict=True):
        for measure in ("mi_nats", "hard_nats"):
            assert again["measures"][measure]["value"] == pytest.approx(point["measures"][measure]["value"], abs=1e-3)
        assert other["measures"]["mi_nats"]["value"] != pytest.approx(point["measures"]["mi_nats"]["value"], abs=1e-6)
        assert again["measures"]["tokens"] == point["measures"]["tokens"]
    kept = (tmp_path / "proxies" / "records.jsonl").read_bytes()
    proxy_summaries(recipe, cells, records, scorers, quiet=True)
    assert (tmp_path / "proxies" / "records.jsonl").read_bytes() == kept


def test_scorers_that_cannot_be():
    with pytest.raises(InputError, match="NAME:DTYPE"):
        parse_scorer("model:int4")
    assert parse_scorer("Qwen/Qwen3-8B").model.name == "Qwen/Qwen3-8B"


def untimed(directory):
    """Records by key, without how long they took."""
    return {r["key"]: {name: v for name, v in r.items() if not name.endswith("seconds")} for r in rows_of(directory)}


def test_a_killed_figure_goes_on_and_the_same_slice_gives_the_same_records(small_run, tiny_dir, tmp_path):
    whole, _, out = small_run
    part = tmp_path / "part"
    part.mkdir()
    (part / "run.json").write_bytes((out / "run.json").read_bytes())
    lines = (out / "records.jsonl").read_bytes().splitlines(keepends=True)
    cut = lines[: len(lines) // 2]
    (part / "records.jsonl").write_bytes(b"".join(cut) + lines[len(cut)][:40])  # a kill in the middle of a line
    resumed, _ = run_small(tiny_dir, part)
    kept = (part / "records.jsonl").read_bytes().splitlines(keepends=True)
    assert kept[: len(cut)] == cut
    again, _ = run_small(tiny_dir, tmp_path / "again")
    assert untimed(part) == untimed(tmp_path / "again") == untimed(out)
    for found in (resumed, again):
        assert [p["predictors"]["reads"]["accuracy"] for p in found["points"]] == [
            p["predictors"]["reads"]["accuracy"] for p in whole["points"]
        ]


def test_claims_of_runs_in_one_table(small_run, tmp_path):
    _, _, out = small_run
    kept = ROOT / "eval" / "results"
    goals = tmp_path / "goals.json"
    goals.write_text(json.dumps({"commit": "c0ffee", "goals": {"bigger": {"value": 1.0, "goal": "more", "met": True}}}))
    told = run_script(
        "eval/paper/claims.py", out / "fig5.json", kept / "applications" / "rounds" / "rounds.json", "--goals", goals,
        "--out", tmp_path / "claims",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    found = json.loads((tmp_path / "claims" / "claims.json").read_text())
    assert [file["figure"] for file in found["files"]] == ["fig5", "fig18"]
    written = json.loads((tmp_path / "claims" / "goals.json").read_text())
    assert written["goals"]["bigger"] == {"value": 1.0, "goal": "more", "met": True, "commit": "c0ffee"}
    assert written["goals"].keys() | written["undecided"].keys() == {row["id"] for row in found["claims"]} | {"bigger"}
    wrong = run_script("eval/paper/claims.py", out / "run.json", "--out", tmp_path / "claims")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
