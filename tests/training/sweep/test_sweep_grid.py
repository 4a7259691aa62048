"""A sweep before it runs: its grid by hand, its mistakes, and what W&B's own agent makes of the same file."""

import itertools
import os

import pytest
import yaml
from conftest import ROOT, run_script
from hypothesis import given
from hypothesis import strategies as st

from infoagent.config import load_recipe
from infoagent.recipes import GRPORecipe, SweepFile
from infoagent.training.sweep.grid import combinations, plan_sweep
from infoagent.training.sweep.run import cause_of
from infoagent.types import InputError

SWEEPS = sorted((ROOT / "configs" / "sweeps").glob("*.yaml"))


def content(parameters, **other):
    return {
        "program": "train/grpo.py",
        "method": "grid",
        "parameters": parameters,
        **other,
        "command": other.get("command", ["python", "${program}", "configs/train/records.yaml", "${args_no_hyphens}"]),
    }


def written(tmp_path, *arguments, **other):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content(*arguments, **other), sort_keys=False))
    return tmp_path / "sweep.yaml"


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_a_grid_by_hand(tmp_path, in_root):
    file = written(tmp_path, {"reward.price": {"values": [0.01, 1e-5]}, "seed": {"values": [3, 4]}, "lora.r": {"value": 4}})
    sweep, runs = plan_sweep(file, tmp_path / "out")
    assert [(r.name, r.recipe.reward.price, r.recipe.seed, r.recipe.lora.r) for r in runs] == [
        ("price-0.01_seed-3", 0.01, 3, 4),
        ("price-0.01_seed-4", 0.01, 4, 4),
        ("price-1e-05_seed-3", 1e-5, 3, 4),
        ("price-1e-05_seed-4", 1e-5, 4, 4),
    ]
    assert [r.directory for r in runs] == [tmp_path / "out" / r.name for r in runs]
    assert sweep.recipe == "configs/train/records.yaml"
    # the command says to another process what was checked here
    for run in runs:
        head, overrides = run.command[:3], run.command[3:]
        assert head == ["python", "train/grpo.py", "configs/train/records.yaml"]
        assert load_recipe(GRPORecipe, head[2], overrides) == run.recipe


def test_two_keys_that_change_together_are_a_mapping(tmp_path, in_root):
    pairs = [{"random": 7, "counterfactual": 0}, {"random": 3, "counterfactual": 4}]
    _, runs = plan_sweep(written(tmp_path, {"negatives": {"values": pairs}}), tmp_path / "out")
    assert [r.name for r in runs] == ["negatives-random-7_counterfactual-0", "negatives-random-3_counterfactual-4"]
    assert [(r.recipe.negatives.random, r.recipe.negatives.counterfactual) for r in runs] == [(7, 0), (3, 4)]


@given(
    st.lists(st.text(max_size=150), min_size=1, max_size=6, unique=True),
    st.lists(st.booleans(), min_size=1, max_size=2, unique=True),
)
def test_names_differ_and_are_names_of_files(texts, switches):
    found = combinations(SweepFile.model_validate(content({"a.x": {"values": texts}, "b.x": {"values": switches}})))
    assert [p for _, p in found] == [{"a.x": t, "b.x": s} for t, s in itertools.product(texts, switches)]
    names = [name for name, _ in found]
    assert len(set(names)) == len(names)
    assert all("/" not in name and not name.startswith(".") and len(name.encode()) <= 255 for name in names)


COMMAND = ["python", "${program}", "configs/train/records.yaml", "${args_no_hyphens}"]
GOOD = {"seed": {"values": [0]}}


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"method": "bayes"}, ["method: 'bayes'", "wandb agent"]),
        ({"method": "grib"}, ["method: 'grib': must be grid"]),
        ({"parameters": {}}, ["parameters", "at least 1"]),
        ({"parameters": {"seed": {"values": []}}}, ["parameters.seed.values"]),
        ({"parameters": {"seed": {}, "lora.r": {"value": 1, "values": [1]}}},
         ["parameters.seed: must have", "parameters.lora.r: must have"]),
        ({"parameters": {"seed": {"valeus": [1]}}}, ["parameters.seed.valeus: unknown key; did you mean 'values'?"]),
        ({"parameters": {"seed": {"values": [1, 1]}}}, ["parameters.seed: a value stands twice"]),
        ({"parameters": {"reward.price": {"values": [None]}}}, ["parameters.reward.price: null cannot be varied"]),
        ({"parameters": {"output_dir": {"values": ["a"]}}}, ["parameters.output_dir: each run gets"]),
        ({"progam": "x"}, ["progam: unknown key; did you mean 'program'?"]),
        ({"program": "eval/frozen.py"}, ["must be one of train/grpo.py, train/sft.py, train/dpo.py"]),
        ({"program": "elsewhere/train/grpo.py"}, ["run from the root"]),
        ({"command": COMMAND[:3]}, ["${args_no_hyphens} must stand in it once"]),
        ({"command": [*COMMAND, "${args}"]}, ["${args}: the scripts take key=value"]),
        ({"command": [*COMMAND, "output_dir=a/${envvar:WANDB_RUN_ID}"]}, ["for all runs; write output_dir=…/${WANDB_RUN_ID}"]),
        ({"command": ["${env}", *COMMAND[1:]]}, ["what starts the program"]),
        ({"command": [*COMMAND[:2], "seed=3", "${args_no_hyphens}"]}, ["the recipe must stand right after"]),
        ({"command": [*COMMAND[:2], "configs/nowhere.yaml", "${args_no_hyphens}"]}, ["seed-0: configs/nowhere.yaml: no such"]),
    ],
)  # fmt: skip
def test_mistakes_of_the_file(tmp_path, in_root, changes, messages):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump({**content(GOOD), **changes}))
    with pytest.raises(InputError) as error:
        plan_sweep(tmp_path / "sweep.yaml", tmp_path / "out")
    for message in messages:
        assert message in "\n".join(error.value.problems)
    assert all("sweep.yaml" in line for line in error.value.problems)


def test_every_combination_is_checked_before_the_first_starts(tmp_path):
    file = written(tmp_path, {"reward.price": {"values": [0.01, -1]}, "grpo.num_generations": {"values": [8, 1]}})
    result = run_script("-m", "infoagent.cli", "sweep", str(file), "--out", str(tmp_path / "out"))
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 4  # one of two combinations with one mistake each, two in the last
    assert "price-0.01_num_generations-1: configs/train/records.yaml: grpo.num_generations = 1" in lines[0]
    assert "price--1_num_generations-8: configs/train/records.yaml: reward.price = -1" in lines[1]
    assert not (tmp_path / "out").exists()


def test_a_directory_of_another_kind_is_refused(tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "train", "recipe": {}}')
    file = written(tmp_path, GOOD)
    result = run_script("-m", "infoagent.cli", "sweep", str(file), "--out", str(tmp_path))
    assert result.returncode == 2
    assert "belongs to a run of kind 'train'" in result.stderr


def test_dry_run_shows_the_plan_without_torch(tmp_path):
    out, file = tmp_path / "out", tmp_path / "price.yaml"
    recipe = "configs/train/frontier.yaml\n"
    text = (ROOT / "configs/sweeps/price.yaml").read_text()
    file.write_text(text.replace(f"- {recipe}", f"- {recipe}  - data.limit=20\n  - cost.gflops_per_second=50\n"))
    code = "import sys; from infoagent.cli import main\n"
    code += f"assert main(['sweep', {str(file)!r}, '--out', {str(out)!r}, '--dry-run']) == 0\n"
    code += "assert 'torch' not in sys.modules and 'wandb' not in sys.modules"
    result = run_script("-c", code)
    assert result.returncode == 0, result.stderr
    for part in ("plan: 3 runs", "price-0.04_seed-0: waiting", "accelerate launch", "GFLOP a step"):
        assert part in result.stdout
    assert not out.exists()


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.name)
def test_an_agent_of_wandb_runs_the_same_recipes_in_directories_of_their_own(path, tmp_path, monkeypatch, in_root):
    """W&B's own code fills the command in; only its server and the start of the process are left out."""
    from wandb import wandb_agent
    from wandb.sdk.launch.sweeps.utils import load_sweep_config

    started = []

    class Recorded:
        def __init__(self, env, command, forward_signals):
            started.append((env, command))

    for name in ("WANDB_RUN_ID", "WANDB_SWEEP_PARAM_PATH", "WANDB_SWEEP_ID"):
        monkeypatch.setenv(name, "before")  # the agent writes them, and they must not outlive this test
    monkeypatch.delenv("WANDB_RUN_ID")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setattr(wandb_agent, "AgentProcess", Recorded)
    config = load_sweep_config(str(path))
    agent = wandb_agent.Agent(None, None, sweep_id="s")
    agent._sweep_command = config["command"]
    sweep, runs = plan_sweep(path, tmp_path / "out")
    for number, run in enumerate(runs):
        arguments = {key: {"value": value} for key, value in run.parameters.items()}
        agent._command_run({"run_id": f"id{number}", "program": config["program"], "args": arguments})
    assert len(started) == len(runs) > 1

    directories = set()
    for (environment, command), run in zip(started, runs, strict=True):
        assert command[: command.index(sweep.program)] == ["/usr/bin/env", *sweep.launcher]
        monkeypatch.setenv("WANDB_RUN_ID", environment["WANDB_RUN_ID"])
        recipe, *overrides = command[command.index(sweep.program) + 1 :]
        got = load_recipe(GRPORecipe, recipe, overrides)
        directories.add(got.output_dir)
        assert got.model_copy(update={"output_dir": run.recipe.output_dir}) == run.recipe
    assert directories == {f"runs/{path.stem}-sweep/id{i}" for i in range(len(runs))}


def test_an_output_dir_takes_environment_variables(monkeypatch):
    monkeypatch.setenv("PLACE", "here")
    assert load_recipe(GRPORecipe, None, ["output_dir=a/${PLACE}/b-${PLACE}"]).output_dir == "a/here/b-here"
    assert load_recipe(GRPORecipe, None, ["output_dir=a/$PLACE"]).output_dir == "a/$PLACE"
    monkeypatch.delenv("PLACE")
    with pytest.raises(InputError, match=r"output_dir: a/\${PLACE}: environment variable PLACE is not set"):
        load_recipe(GRPORecipe, None, ["output_dir=a/${PLACE}"])


TRACEBACK = "Traceback (most recent call last):\n  File x\n"


@pytest.mark.parametrize(
    ("output", "code", "cause"),
    [
        ("step 1\nfailed: no more disk\n" + TRACEBACK + "subprocess.CalledProcessError: Command x returned 1\n", 1, "failed: no more disk"),
        (TRACEBACK + "KeyError: 'a'\n" + TRACEBACK + "subprocess.CalledProcessError: Command x returned 1\n", 1, "KeyError: 'a'"),
        ("50 %\n" + TRACEBACK + "subprocess.CalledProcessError: Command x died with <Signals.SIGKILL: 9>.\n", 1,
         "died with <Signals.SIGKILL: 9>"),
        ("1/6 [00:01]\r2/6 [00:02]failed: NaN\n\r2/6 [00:02]\n" + TRACEBACK + "subprocess.CalledProcessError: x\n", 1, "failed: NaN"),
        ("10 %\r20 %\r30 %", -9, "died with signal 9"),
        (TRACEBACK + "ValueError: b\n", 1, "ValueError: b"),
        ("", 3, "ended with code 3 and said nothing"),
    ],
)  # fmt: skip
def test_the_cause_of_a_failure_is_one_line(output, code, cause):
    assert cause_of(output, code) == cause


def test_the_environment_is_as_it_was():
    assert "WANDB_SWEEP_PARAM_PATH" not in os.environ
