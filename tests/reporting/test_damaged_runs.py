"""Reports of runs whose files are damaged, or would be replaced: one line, exit code 2, and the run stays as it is."""

import json
import random
import shutil
from pathlib import Path

import pytest
from called import outcome
from test_page import write_run


def mutated(value, draw, chance=0.02):
    """JSON with some of its parts gone or replaced by what stands elsewhere in JSON."""
    if draw.random() < chance:
        return draw.choice([None, [], {}, "", "x", -1, 0, 1e308, True, [[]], {"value": None}, "\x1b[2J"])
    if isinstance(value, dict):
        return {k: mutated(v, draw, chance) for k, v in value.items() if draw.random() > chance}
    return [mutated(v, draw, chance) for v in value if draw.random() > chance] if isinstance(value, list) else value


def damage_one(directory, draw):
    """Damage one file of a run, its bytes or what they say; the name of the file."""
    file = draw.choice(sorted(p for p in directory.iterdir() if p.suffix in (".json", ".jsonl")))
    content = file.read_bytes()
    if draw.random() < 0.3:
        at = draw.randrange(len(content))
        content = draw.choice([content[:at], content[:at] + bytes([draw.randrange(256)]) * 9 + content[at + 3 :], b"", b"[]"])
    elif file.suffix == ".json":
        content = json.dumps(mutated(json.loads(content), draw, draw.choice([0.003, 0.02, 0.2]))).encode()
    else:
        rows = [mutated(json.loads(line), draw, draw.choice([0.01, 0.1])) for line in content.splitlines()]
        content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file.write_bytes(content)
    return file.name


def reports_of_damaged_runs(capsys, run, tmp_path, seeds):
    wrong, told = [], 0
    for seed in seeds:
        target = tmp_path / "damaged"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run, target)
        name = damage_one(target, random.Random(seed))
        before = {p.name: p.read_bytes() for p in target.iterdir() if p.is_file()}
        code, lines, _ = outcome(capsys, "report", target, "--out", tmp_path / "report.html")
        told += code == 2
        if (code or 0) not in (0, 2) or (code == 2 and (len(lines) != 1 or "\x1b" in lines[0])):
            wrong.append((seed, name, code, lines))
        assert {p.name: p.read_bytes() for p in target.iterdir() if p.is_file()} == before
    assert not wrong
    assert told > len(seeds) / 5


def test_a_damaged_run_is_reported_or_refused_in_a_line(capsys, tmp_path):
    reports_of_damaged_runs(capsys, write_run(tmp_path / "run"), tmp_path, range(25))


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_five_hundred_damaged_runs_are_reported_or_refused_in_a_line(capsys, tmp_path):
    reports_of_damaged_runs(capsys, write_run(tmp_path / "run"), tmp_path, range(100, 600))


def test_a_report_never_replaces_what_it_reads(capsys, tmp_path):
    run = write_run(tmp_path / "run")
    before = {p.name: p.read_bytes() for p in Path(run).iterdir()}
    for name in ("run", "summary", "records", "analysis", "pairs", "mine"):
        (Path(run) / "mine.json").write_text("{}")
        code, lines, _ = outcome(capsys, "report", run, "--out", Path(run) / f"{name}.html")
        (Path(run) / "mine.json").unlink()
        if f"{name}.json" in before or name == "mine":
            assert code == 2, name
            assert f"{name}.json: is there and was not written by infoagent report" in lines[0]
            assert {p.name: p.read_bytes() for p in Path(run).iterdir() if p.name in before} == before
    ours = tmp_path / "report.html"
    for _ in range(2):  # its own earlier output it replaces
        assert outcome(capsys, "report", run, "--out", ours)[0] in (0, None)
