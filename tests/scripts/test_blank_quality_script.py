"""The script that judges cloze questions, on a folder made for it."""

import importlib.util
import json

from conftest import ROOT


def script():
    spec = importlib.util.spec_from_file_location("blank_quality_script", ROOT / "eval" / "bench" / "blank_quality.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_folder_is_judged_and_what_it_left_out_is_kept(tmp_path, capsys):
    for kind in ("manual", "story"):
        (tmp_path / kind).mkdir()
        lines = [f"In the year {1900 + i} the {kind} of number {i} told of {i * 17} tonnes for Carl Linden." for i in range(40)]
        (tmp_path / kind / "a.txt").write_text("\n\n".join(lines))
    (tmp_path / "story" / "b.txt").write_text("Too short.")
    out = tmp_path / "out.json"
    assert script().main([str(tmp_path / "manual"), str(tmp_path / "story"), "--out", str(out)]) == 0
    found = json.loads(out.read_text())["texts"]
    assert list(found) == ["manual", "story"]
    assert all(kind["good"] == 1 for kind in found.values())
    assert found["story"]["left_out"]["words of texts below min_words"] == 2
    assert "manual: good 1.000" in capsys.readouterr().out
