"""train/shannon.py as a user runs it: shrunken, killed and continued; and, slowly, the shipped recipe with its goal."""

import json

import psutil
import pytest
from conftest import WITHOUT_TORCH, run_killed_at, run_script

RECIPE = "configs/train/shannon.yaml"
SHRUNKEN = [
    "prices=[0.05,0.3]", "seeds=[0]", "lm.steps=60", "lm.batch=64", "lm.hidden=32", "lm.layers=1", "data.limit=40",
    "test.limit=12", "negatives.counterfactual=7", "longest=2", "grpo.max_completion_tokens=3", "grpo.steps=4",
    "grpo.prompts_per_step=2", "grpo.num_generations=4", "grpo.micro_batch=8", "grpo.save_steps=2", "samples=4",
]  # fmt: skip


def run(out, *more):
    return run_script("train/shannon.py", RECIPE, f"output_dir={out}", *SHRUNKEN, *more, "--quiet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Killed once in the middle of the reinforcement learning, then run to its end."""
    out = tmp_path_factory.mktemp("shannon") / "run"
    command = ["train/shannon.py", RECIPE, f"output_dir={out}", *SHRUNKEN, "--quiet"]
    run_killed_at("price-0.3-seed-0/grpo.log", *command)
    assert (out / "lm/tiny_lm.json").is_file()
    model = (out / "lm/model.safetensors").stat().st_mtime_ns
    # what it had started goes on alone, and no second one may train beside it
    [alone] = [p for p in psutil.process_iter(["cmdline"]) if f"{out}/price-0.05-seed-0/recipe.yaml" in (p.info["cmdline"] or [])]
    alone.suspend()
    try:
        refused = run(out)
    finally:
        alone.resume()
    assert refused.returncode == 2
    assert f"is being written by process {alone.pid} on " in refused.stderr
    alone.wait(500)
    result = run(out)
    assert result.returncode == 0, result.stderr
    assert (out / "lm/model.safetensors").stat().st_mtime_ns == model
    return out, result


@pytest.mark.slow
def test_it_leaves_rows_limits_and_a_plot(finished):
    out, result = finished
    found = json.loads((out / "shannon.json").read_text())
    assert [(r["price"], r["seed"]) for r in found["rows"]] == [(0.05, 0), (0.3, 0)]
    for row in found["rows"]:
        assert row["ratio"]["value"] == pytest.approx(row["reward"]["value"] / row["optimum_reward"])
        assert row["goal_met"] == (row["ratio"]["value"] >= 0.9)
        assert row["reward"]["value"] <= row["optimum_reward"] + 0.05  # samples of a policy, not the policy itself
        assert row["optimum_reward"] == found["limits"]["optimum"][f"{row['price']:g}"]["reward"]
        assert row["tokens"]["n"] == 12
    for teacher, price in zip(found["teacher"], (0.05, 0.3), strict=True):
        assert teacher["price"] == price
        assert teacher["ratio"]["value"] == pytest.approx(teacher["reward"]["value"] / teacher["optimum_reward"])
        assert teacher["optimum_reward"] == found["limits"]["optimum"][f"{price:g}"]["reward"]
        assert "teacher" in result.stdout
    assert found["recipe"]["seeds"] == [0]
    assert {"commit", "versions", "command", "data_revision"} <= set(found)
    assert found["limits"]["strings_tried"] == 1 + 15 + 15**2
    assert found["limits"]["naming"][-1]["nats"] == pytest.approx(found["limits"]["entropy_nats"])
    assert (out / "shannon.png").stat().st_size > 10_000
    assert (out / "shannon.svg").read_text().count("<svg") == 1
    assert "ratio" in result.stdout
    assert "goal of 90% of the optimum: missed" in result.stdout  # 4 steps are not enough, and it says so


@pytest.mark.slow
def test_a_second_run_trains_nothing_again(finished):
    out, first = finished
    before = {p: p.stat().st_mtime_ns for p in out.glob("price-*/**/*") if p.name != ".lock"}
    again = run(out)
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout
    assert {p: p.stat().st_mtime_ns for p in out.glob("price-*/**/*") if p.name != ".lock"} == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "message"),
    [(["lora.r=3"], "was made by another recipe, lora.r differ"), (["lm.steps=61"], "holds a model made with another steps")],
)
def test_another_recipe_in_the_same_place_is_refused(finished, more, message):
    result = run(finished[0], *more)
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_a_price_at_which_nothing_is_worth_saying_is_refused_before_training(finished):
    result = run(finished[0], "prices=[0.05,5]")
    assert result.returncode == 2
    assert "prices: at 5 nats a token even the best strings earn" in result.stderr
    assert not list(finished[0].glob("price-5-*"))


def test_wrong_recipes_are_refused_with_every_mistake(tmp_path):
    result = run(tmp_path / "x", "longest=3", "seeds=[1,1]", "test.name=records")
    assert result.returncode == 2
    for part in ("must be longest + 1 = 4", "seeds [1, 1]: a value stands twice", "test.name 'records': must be shannon"):
        assert part in result.stderr
    assert not (tmp_path / "x").exists()


def test_dry_run_leaves_torch_alone(tmp_path):
    result = run_script("-c", WITHOUT_TORCH, "train/shannon.py", RECIPE, "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "9 runs of" in result.stdout
    assert "54,241 strings for each of 72 documents" in result.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_shipped_recipe_reaches_its_goal(tmp_path):
    """At three prices and three seeds at least 90 % of the optimum; defaults go unsaid at the high price."""
    result = run_script("train/shannon.py", RECIPE, f"output_dir={tmp_path / 'run'}", "--quiet", timeout=3600)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "run/shannon.json").read_text())
    assert len(found["rows"]) == 9
    assert min(r["ratio"]["value"] for r in found["rows"]) >= 0.9, result.stdout
    assert all(limit["exact_share"] == 1.0 for limit in found["limits"]["optimum"].values())
    assert found["verdict"]["defaults_left_out"]
