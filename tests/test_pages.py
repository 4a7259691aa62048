"""Every README: its links lead somewhere, its commands are there, its tables say what the JSON says."""

import re
import shlex
import shutil
import subprocess

import pytest
from conftest import ROOT, run_script
from test_house import FLOORS

from infoagent.cli import main
from infoagent.reporting.json_tables import markdown_table
from infoagent.types import InputError

FOLDERS = ("train", "eval", "infoagent", "accelerate_configs", "configs", "tests")
PAGES = [ROOT / "README.md", *sorted(page for folder in FOLDERS for page in (ROOT / folder).rglob("README.md"))]
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)


def named(page):
    return str(page.relative_to(ROOT))


# ---- links -------------------------------------------------------------------------------------------------------


def anchors_of(page):
    """The names that a Markdown renderer gives to headings."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_and_pictures_lead_to_files_and_headings(page):
    text = re.sub(r"`[^`]*`", "", COMMENT.sub("", FENCE.sub("", page.read_text())))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{named(page)}: {target}"
        assert not anchor or anchor in anchors_of(file), f"{named(page)}: {target}; there are {sorted(anchors_of(file))}"


def test_the_first_page_is_read_in_three_minutes():
    assert len((ROOT / "README.md").read_bytes()) <= 10_000


# ---- commands ----------------------------------------------------------------------------------------------------


def commands_of(page):
    """Command lines of a page: in blocks, with continued lines joined, and between backquotes."""
    text = COMMENT.sub("", page.read_text())
    blocks = "\n".join(FENCE.findall(text)).replace("\\\n", " ")
    yield from (re.sub(r"\s+#.*", "", line.removeprefix("$ ")).strip() for line in blocks.splitlines())
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", FENCE.sub("", text)))


COMMANDS = sorted({command for page in PAGES for command in commands_of(page)})
SCRIPT = re.compile(r"(?:^|\s)((?:train|eval)/[\w/]+\.py)(.*)")
NESTED = ("data", "config", "models")


def calls():
    """(program, arguments) of every call; a program is a script, or `infoagent` and the name of its command."""
    for command in COMMANDS:
        if match := SCRIPT.search(command):
            yield match[1], match[2]
        elif match := re.match(r"infoagent ([a-z]+)(.*)", command):
            name, rest = match[1], match[2]
            words = rest.split()
            if name in NESTED and words and re.fullmatch(r"\[?[a-z|]+", words[0]):
                for second in words[0].lstrip("[").split("|"):
                    yield f"infoagent {name} {second}", rest
            else:
                yield f"infoagent {name}", rest


def flags(arguments):
    return set(re.findall(r"(?<![\w-])--[a-z][\w-]*", re.split(r"[;|)]| infoagent |\$\(", arguments)[0]))


PROGRAMS = {program: set() for program, _ in calls()}
for program, arguments in calls():
    PROGRAMS[program] |= flags(arguments)


@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_programs_are_there_and_know_the_options_that_pages_name(program, capsys):
    if program.startswith("infoagent "):
        with pytest.raises(SystemExit) as ended:
            main([*program.split()[1:], "--help"])
        assert ended.value.code == 0
        said = capsys.readouterr().out
    else:
        result = run_script(program, "--help")
        assert result.returncode == 0, result.stderr
        said = result.stdout
    unknown = {flag for flag in PROGRAMS[program] if not re.search(rf"{flag}(?![\w-])", said)}
    assert not unknown, f"{program} does not know {unknown}"


def recipes():
    """Recipes with the overrides that pages give them."""
    for command in COMMANDS:
        match = SCRIPT.search(command)
        words = shlex.split(match[2].replace("…", "")) if match else []
        for place, word in enumerate(words):
            if re.fullmatch(r"configs/(train|eval)/\w+\.yaml", word):
                yield word, *[w for w in words[place + 1 :] if re.fullmatch(r"[\w.]+=[^=]*", w)]


@pytest.mark.parametrize("recipe", sorted(set(recipes())), ids=" ".join)
def test_recipes_load_with_the_overrides_that_pages_give_them(recipe, capsys):
    assert main(["config", "check", *recipe]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("target", sorted({c.split()[1] for c in COMMANDS if re.fullmatch(r"make [\w-]+", c)}))
def test_make_knows_the_targets(target):
    if shutil.which("make") is None:
        pytest.skip("no make")
    result = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_files_that_pages_name_are_there():
    roots = "|".join(FOLDERS)
    for page in PAGES:
        text = COMMENT.sub("", page.read_text())
        for path in re.findall(rf"(?<![\w/.-])((?:{roots})/[\w./-]+\.(?:py|yaml|json|jsonl|md|sh|png|svg))", text):
            assert (ROOT / path).exists() or "NAME" in path, f"{named(page)}: {path}"


def test_promises_name_modules_and_tests_that_are_there():
    rows = [line.split(" | ") for line in (ROOT / "tests" / "README.md").read_text().splitlines() if " | `" in line]
    assert len(rows) > 15
    for promise, kept, tests, *_ in rows:
        for name in re.findall(r"`([\w.]+)`", kept):
            path = ROOT / "infoagent" / name.replace(".", "/")
            # a module, or what stands in one
            there = [p.with_suffix(".py").exists() or p.is_dir() for p in (path, path.parent) if p != ROOT / "infoagent"]
            assert any(there), f"{promise}: {name}"
        for name in re.findall(r"`([\w/]+)`", tests):
            assert (ROOT / "tests" / f"{name}.py").exists(), f"{promise}: {name}"


# ---- what pages repeat -------------------------------------------------------------------------------------------


def test_every_table_is_what_its_json_says():
    result = run_script("eval/results/pages.py", "--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_a_number_that_somebody_changed_is_found_and_written_anew(tmp_path):
    (tmp_path / "n.json").write_text('{"kept": {"value": 0.5, "low": 0.25, "high": 0.75}, "left": null}')
    recipe = 'columns: {"": $row, kept: "{n.json > kept:[] .2f}", left: "{1 - n.json > left?:.0%}"}\nrows: [all]\n'
    page = tmp_path / "README.md"
    page.write_text(f"# Page\n\n<!-- table\n{recipe}-->\n| kept |\n<!-- end -->\n\n| another | table |\n")
    assert run_script("eval/results/pages.py", "--check", page).returncode == 1
    assert run_script("eval/results/pages.py", page).returncode == 0
    assert "| all | 0.50 [0.25, 0.75] | – |\n<!-- end -->\n\n| another | table |\n" in page.read_text()
    assert run_script("eval/results/pages.py", "--check", page).returncode == 0


@pytest.mark.parametrize(
    ("field", "shown"),
    [
        ("{n.json > half:.0%}", "50 %"),
        ("{1 - n.json > part:± .2f}", "0.75 ± 0.10"),
        ("{n.json > part:[] +.1f}", "+0.2 [+0.1, +0.3]"),
        ("{n.json > estimate:± .2f}", "−0.10 ± 0.20"),
        ("{n.json > open:± .1f}", "1.0 (interval unknown)"),
        ("{n.json > rows > 0:2 > x:.1f}", "1.5"),
        ("{n.json > rows > label=b > x} of {n.json > rows > count}", "2.0 of 3"),
        ("{n.json > rows > -1 > label}", "c"),
        ("{n.json > nothing or n.json > sure}", "yes"),
        ("{n.json > nothing?}", "–"),
        ("{n.json > counted:[] .1f}", "7.0"),
    ],
)
def test_forms_of_a_number(tmp_path, field, shown):
    (tmp_path / "n.json").write_text(
        '{"half": 0.5, "part": {"value": 0.25, "low": 0.15, "high": 0.35}, "sure": true,'
        ' "estimate": {"infonce_nats": -0.1, "ci_nats": [-0.3, 0.1]}, "open": {"value": 1, "low": null, "high": null},'
        ' "counted": {"value": 7},'
        ' "rows": [{"label": "a", "x": 1.0}, {"label": "b", "x": 2.0}, {"label": "c", "x": 6.0}]}'
    )
    table = markdown_table(f"columns: {{number: '{field}'}}\nrows: [only]\n", tmp_path)
    assert table.splitlines()[2] == f"| {shown} |"


def test_a_row_for_each_element_of_a_list(tmp_path):
    (tmp_path / "n.json").write_text('{"claims": [{"says": "more", "n": 3}, {"says": "less"}]}')
    table = markdown_table(
        'columns: {claim: "{n.json > claims > $row > says}", n: "{n.json > claims > $row > n?}"}\nrows: n.json > claims\n', tmp_path
    )
    assert table.splitlines()[2:] == ["| more | 3 |", "| less | – |"]


@pytest.mark.parametrize(
    "recipe", ["rows: [x]", "columns: {a: '{n.json > gone}'}\nrows: [x]", "columns: {a: b}\nrows: n.json > gone", "- ["]
)
def test_a_recipe_without_its_number_is_a_line(tmp_path, recipe):
    (tmp_path / "n.json").write_text("{}")
    with pytest.raises(InputError, match=re.escape(str(tmp_path))):
        markdown_table(recipe, tmp_path)


def test_the_list_of_floors_is_the_one_that_is_enforced():
    block = "```\n" + "\n".join(floor.replace(" ", " · ") for floor in FLOORS) + "\n```"
    assert block in (ROOT / "infoagent" / "README.md").read_text(), f"infoagent/README.md should say\n{block}"
