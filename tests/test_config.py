"""Strict recipes: every mistake at once, with its place and the way out."""

import re
from pathlib import Path

import pytest
from conftest import ROOT, run_script
from drawn import draw_negatives
from hypothesis import given
from hypothesis import strategies as st

from infoagent.applications.recipes import RECIPES as RECIPES_BY_SCRIPT
from infoagent.applications.recipes import recipe_schema
from infoagent.applications.research.recipe import ResearchRecipe
from infoagent.applications.rounds.recipe import CompactionRecipe
from infoagent.applications.stress.recipe import HardInputsRecipe, LoadRecipe
from infoagent.config import exit_code, load_recipe, recipe_keys, recipe_yaml
from infoagent.data.negatives import Counts, take_negatives
from infoagent.data.registry import DATA_SETS, load_data
from infoagent.data.sets.histories import Wanted, load_histories
from infoagent.measurement.run import draw_pool
from infoagent.recipes import PRESETS, EvaluationRecipe, GRPORecipe, InformationRecipe
from infoagent.recipes.training import TrainingRecipe
from infoagent.types import InputError

FILES = sorted((ROOT / "configs").rglob("*.yaml"))
SHARED = [p for p in FILES if p.parent.name == "shared"]
"""What other recipes extend, and no recipe of its own."""
RECIPES = [p for p in FILES if p not in SHARED]


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_recipe_in_the_tree_loads_and_begins_with_its_command(path):
    recipe = load_recipe(recipe_schema(recipe_keys(path)), path)
    first = path.read_text().splitlines()[0]
    if path.parent.name == "figures":  # found by the name and the size of its experiment
        name, size = path.stem.rsplit("-", 1)
        assert first.startswith(f"# python eval/paper/figures.py run {name} --size {size}")
        assert type(recipe) is EvaluationRecipe
        if size == "local":  # those of one data set share a directory, and what was measured in it
            shared = ("local", "local-squad", "local-proxies")
            assert recipe.output_dir in [f"runs/figures/{name}" for name in shared]
        else:
            assert recipe.output_dir == f"runs/figures/{path.stem}"
        return
    assert str(path.relative_to(ROOT)) in first
    [script] = [script for script, schema in RECIPES_BY_SCRIPT.items() if type(recipe) is schema]
    assert script in first
    for word in first.split():
        if word.endswith((".py", ".yaml")):
            assert (ROOT / word).is_file(), word


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_gives_what_the_recipe_does_not_say(preset, tmp_path):
    (tmp_path / "r.yaml").write_text(f"output_dir: x\npreset: {preset}\ndocuments: 33\ncompressor: {{label: mine}}\n")
    recipe = load_recipe(InformationRecipe, tmp_path / "r.yaml")
    assert recipe.documents == 33
    assert recipe.samples == PRESETS[preset]["samples"]
    assert recipe.counterfactuals == PRESETS[preset]["counterfactuals"]
    assert recipe.compressor.temperature == (0.7 if preset == "paper" else 1.0)
    own = load_recipe(InformationRecipe, tmp_path / "r.yaml", ["samples=7", "compressor.temperature=0.3"])
    assert (own.samples, own.compressor.temperature) == (7, 0.3)


def test_a_shown_recipe_loads_to_the_same_recipe(tmp_path):
    recipe = load_recipe(GRPORecipe, ROOT / "configs/train/records.yaml", ["reward.price=0.07"])
    (tmp_path / "shown.yaml").write_text(recipe_yaml(recipe))
    assert load_recipe(GRPORecipe, tmp_path / "shown.yaml") == recipe


def test_all_mistakes_are_reported_at_once(tmp_path):
    file = tmp_path / "r.yaml"
    file.write_text("output_dir: x\nreward: {prise: 0.1, price: -0.5}\ngrpo: {steps: 12.7, num_generations: '8'}\nseed: true\n")
    with pytest.raises(InputError) as error:
        load_recipe(GRPORecipe, file, ["lora.r", "model.dtype=float12"])
    text = "\n".join(error.value.problems)
    for part in (
        "'lora.r': an override is written key=value",
        "reward.prise: unknown key; did you mean 'price'?",
        "reward.price = -0.5",
        "grpo.steps = 12.7 (float)",
        "grpo.num_generations = '8' (str)",
        "seed = True (bool)",
        "model.dtype = 'float12' (str): should be 'auto', 'float32' or 'bfloat16'",
    ):
        assert part in text
    assert len(error.value.problems) == 7
    assert all(str(file) in line or "override" in line for line in error.value.problems)


@pytest.mark.parametrize(
    ("schema", "file", "whose", "own"),
    [
        (GRPORecipe, "configs/train/sft.yaml", "train/sft.py", "train/grpo.py"),
        (EvaluationRecipe, "configs/train/own.yaml", "train/grpo.py", "eval/frozen.py"),
        (GRPORecipe, "configs/eval/rounds.yaml", "eval/applications/rounds.py", "train/grpo.py"),
    ],
)
def test_a_recipe_of_another_script_is_named_as_such(schema, file, whose, own):
    with pytest.raises(InputError) as error:
        load_recipe(schema, ROOT / file, ["seed=x"])
    assert error.value.problems == [f"{ROOT / file}: is a recipe of {whose}; run that, or give one of {own}"]


@pytest.mark.parametrize(("text", "value"), [("1e-5", 1e-5), ("2.0e-4", 2e-4), ("1", 1.0), ("3E+0", 3.0), (".5", 0.5)])
def test_numbers_as_people_write_them(text, value):
    assert load_recipe(GRPORecipe, None, ["output_dir=x", f"grpo.learning_rate={text}"]).grpo.learning_rate == value


@given(st.integers(1, 10**6))
def test_integers_stay_integers(number):
    recipe = load_recipe(GRPORecipe, None, ["output_dir=x", f"grpo.steps={number}"])
    assert recipe.grpo.steps == number
    assert type(recipe.grpo.steps) is int


def test_overrides_reach_into_lists():
    path = ROOT / "configs/eval/records.yaml"
    recipe = load_recipe(EvaluationRecipe, path, ["data.0.limit=3", "compressors.2.max_tokens=9"])
    assert recipe.data[0].limit == 3
    assert recipe.compressors[2].max_tokens == 9
    for index in ("4", "²", "9" * 5000):
        with pytest.raises(InputError, match="is a list of 1"):
            load_recipe(EvaluationRecipe, path, [f"data.{index}.limit=3"])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed: 1\nseed: 2\n", "stands twice"),
        ("- a\n", "is a mapping"),
        ("seed: [1\n", "not valid YAML"),
        ("negatives: {random: 0, counterfactual: 0}\noutput_dir: x", "at least one of random"),
        ("grpo: {prompts_per_step: 1, num_generations: 8, micro_batch: 3}\noutput_dir: x", "micro_batch 3 does not divide"),
        ("data: {min_words: 9, max_words: 3}\noutput_dir: x", "min_words 9 is above max_words 3"),
        ("reward: {price: .nan}\noutput_dir: x", "reward.price"),
        ("seed: 1\n", "output_dir: must be given"),
        ("? [a]\n: 1\n", "is no name"),
    ],
)
def test_wrong_files(tmp_path, content, message):
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(InputError, match=message):
        load_recipe(GRPORecipe, tmp_path / "r.yaml")


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match=r"nowhere.yaml: no such recipe"):
        load_recipe(GRPORecipe, Path("nowhere.yaml"))


def test_every_shared_file_is_extended_and_says_what_it_is():
    extended = set()
    for path in FILES:
        named = re.findall(r"^extends: (.+)$", path.read_text(), re.MULTILINE)
        extended |= {(path.parent / name).resolve() for name in named}
    assert set(SHARED) <= extended
    assert all(path.read_text().startswith("# ") for path in SHARED)


def lay_out(folder, **files):
    """Files by name, and the path of the one called recipe."""
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return folder / "recipe.yaml"


def test_a_recipe_says_what_it_changes_of_another(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "first.yaml").write_text(
        "output_dir: first\nprice: 0.5\nseeds: [1, 2]\nnegatives: {random: 3, counterfactual: 2}\n"
        "data: [{name: records, limit: 5}, {name: python-reference, limit: 7}]\n"
        "compressors:\n  - {label: one, kind: lead, sentences: 1}\n  - {label: two, kind: tail, sentences: 2}\n"
    )
    path = lay_out(
        tmp_path,
        second="extends: below/first.yaml\noutput_dir: second\nnegatives: {random: 4}\ndata: [python-reference]\n",
        recipe="extends: second.yaml\nnegatives: {topic: 1}\nseeds: [3]\n"
        "compressors: [two, {label: three, kind: bm25, tokens: 9}]\n",
    )
    recipe = load_recipe(EvaluationRecipe, path, ["compressors.0.sentences=5", "negatives.sibling=6"])
    assert recipe.output_dir == "second"
    assert recipe.price == 0.5
    assert recipe.seeds == [3]
    assert [(d.name, d.limit) for d in recipe.data] == [("python-reference", 7)]
    assert [(c.label, c.kind, c.sentences, c.tokens) for c in recipe.compressors] == [
        ("two", "tail", 5, None),
        ("three", "bm25", None, 9),
    ]
    counts = recipe.negatives.counts
    assert [counts.of(kind) for kind in ("random", "topic", "sibling", "counterfactual")] == [4, 1, 6, 2]
    assert recipe_keys(path) == {"output_dir", "price", "seeds", "negatives", "data", "compressors"}
    assert "extends" not in recipe_yaml(recipe)
    (tmp_path / "saved.yaml").write_text(recipe_yaml(recipe))
    assert load_recipe(EvaluationRecipe, tmp_path / "saved.yaml") == recipe


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"recipe": "extends: nowhere.yaml\n"}, r"recipe.yaml: extends = 'nowhere.yaml': no such recipe file; .* relative"),
        ({"recipe": f"extends: {'x' * 3000}\n"}, r"recipe.yaml: extends = 'x+…: no such recipe file"),
        ({"recipe": "extends: recipe.yaml\n"}, r"recipe.yaml: extends = 'recipe.yaml': comes back"),
        ({"recipe": "extends: a.yaml\n", "a": "extends: recipe.yaml\n"}, r"a.yaml: extends = 'recipe.yaml': comes back"),
        (
            {"recipe": "extends: n0.yaml\n", **{f"n{i}": f"extends: n{i + 1}.yaml\n" for i in range(9)}, "n9": ""},
            "more than 5 files extend each other",
        ),
        ({"recipe": "extends: [a.yaml]\n", "a": "{}"}, r"extends = \['a.yaml'\]: must be the path of a recipe"),
        ({"recipe": "extends: a.yaml\n", "a": "- 1\n"}, r"a.yaml: a recipe is a mapping .* a list"),
        ({"recipe": "extends: a.yaml\n", "a": "seeds: [1\n"}, "a.yaml: not valid YAML"),
        ({"recipe": "negatives: {extends: a.yaml}\noutput_dir: x\n", "a": "{}"}, "negatives.extends: unknown key"),
        (
            {"recipe": "extends: a.yaml\ncompressors: [one, three]\n", "a": "compressors: [{label: one}, {label: two}]\n"},
            r"recipe.yaml: compressors: 'three' is no label in .*a.yaml; there are: one, two",
        ),
        (
            {"recipe": "extends: a.yaml\ncompressors: [one, one]\n", "a": "compressors: [{label: one}]\n"},
            r"recipe.yaml: compressors: 'one' stands twice",
        ),
    ],
)
def test_what_cannot_be_extended_is_told_in_one_line_with_exit_code_2(tmp_path, files, message, capsys):
    path = lay_out(tmp_path, **files)
    with pytest.raises(InputError, match=message) as error:
        load_recipe(EvaluationRecipe, path)
    assert len(error.value.problems) == 1 or "unknown key" in message
    assert exit_code(lambda: load_recipe(EvaluationRecipe, path) and 0) == 2
    assert "Traceback" not in capsys.readouterr().err


MANY = 100


DRAWN = {}


def with_negatives(asked, counts, seed):
    """(the problems of a section, MANY at most, and what is drawn for them): many recipes ask for the same."""
    key = repr((sorted(asked.items()), counts, seed))
    if key not in DRAWN:
        problems = load_data(**{**asked, "limit": min(asked["limit"] or MANY, MANY)}).problems  # more are more of the same
        DRAWN[key] = problems, take_negatives(problems, counts, seed) if counts else None
    return DRAWN[key]


@pytest.mark.parametrize("path", [p for p in RECIPES if p.parent.name != "sweeps"], ids=lambda p: str(p.relative_to(ROOT)))
def test_every_recipe_can_draw_the_negatives_it_asks_for(path):
    recipe = load_recipe(recipe_schema(recipe_keys(path)), path)
    if isinstance(recipe, CompactionRecipe):  # its negatives are versions of histories
        wanted = Wanted(recipe.turns, recipe.asked, recipe.versions)
        asked = {**recipe.data.model_dump(), "limit": min(recipe.data.limit, MANY)}
        assert len(load_histories(wanted=wanted, **asked).histories) == asked["limit"]
        return
    if isinstance(recipe, ResearchRecipe | LoadRecipe | HardInputsRecipe):
        return  # no compression is scored among others
    sections = recipe.all_data if isinstance(recipe, TrainingRecipe) else recipe.data
    for section in sections if isinstance(sections, list) else [sections]:
        if section.path is not None or DATA_SETS[section.name].needs_path:
            continue  # the user's own file
        if isinstance(recipe, InformationRecipe):
            problems, _ = with_negatives(section.asked, None, 0)
            pool = draw_pool(problems, recipe.documents, recipe.pool, recipe.seed)
            assert len(draw_negatives(pool, Counts(counterfactual=recipe.counterfactuals), recipe.seed)) == len(pool)
            continue
        problems, drawn = with_negatives(section.asked, recipe.negatives.counts, recipe.negatives.seed)
        assert all(len(negatives) == recipe.negatives.total for negatives in drawn.negatives)
        # a blank whose other values all stand in its passage has no counterfactual document
        assert len(drawn.problems) >= 0.9 * len(problems)


def test_labels_of_compressors_must_differ():
    with pytest.raises(InputError, match="stands twice"):
        load_recipe(EvaluationRecipe, None, ["output_dir=x", "compressors=[{label: a}, {label: a}]"])


def test_an_override_of_an_aliased_section_changes_one_place(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("output_dir: x\ncompressors:\n- {label: a, model: &m {name: one}}\n- {label: b, model: *m}\n")
    recipe = load_recipe(EvaluationRecipe, path, ["compressors.1.model.name=two"])
    assert [c.model.name for c in recipe.compressors] == ["one", "two"]


LEAVING = """
import atexit, gc, os, sys, torch, torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from infoagent.config import exit_code

def main():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    wrapped = DistributedDataParallel(torch.nn.Linear(2, 2))
    wrapped.trainer = {"model": wrapped}  # held in a circle
    wrapped(torch.ones(1, 2)).sum().backward()

atexit.register(lambda: print(dist.is_initialized(), any(type(o) is DistributedDataParallel for o in gc.get_objects())))
sys.exit(exit_code(main))
"""


def test_a_process_of_a_launch_leaves_its_group_before_the_interpreter_goes(tmp_path):
    (tmp_path / "leaving.py").write_text(LEAVING)
    done = run_script(str(tmp_path / "leaving.py"), PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stdout) == (0, "False False\n"), done.stderr
