"""Run directories → one self-contained HTML page, and the same numbers as JSON.

Texts of documents and models are data: escaped in the page, put in by textContent in the viewer, and a content security
policy lets no script run but the page's own.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infoagent.files import WRITTEN_BY, read_json, read_jsonl, write_json, write_text
from infoagent.records.json_form import as_json
from infoagent.records.summaries import read_analysis, read_summaries, read_summary_file, unknown_as_nan
from infoagent.reporting import curves, evaluation_tables, overview, plots, tables
from infoagent.reporting import frontier as frontiers_of
from infoagent.reporting.audit import run_flags, training_audit
from infoagent.reporting.evaluation import analysis_part, data_parts
from infoagent.reporting.information import information_lines, token_html
from infoagent.reporting.viewer import as_script_json, samples_of
from infoagent.store import read_if_run
from infoagent.types import InputError

SHOWN_SAMPLES = 200


def collect(directories: Sequence[str]) -> dict[str, Any]:
    """What the run directories hold: evaluations, comparisons, training runs, frontiers.

    Raises InputError for a directory that is no run.
    """
    evaluations, comparisons, trainings, measurements, frontiers, mistakes = [], [], [], [], [], []
    for name in directories:
        directory = Path(name)
        run_file = directory / "run.json"
        drawn = sorted(directory.glob("frontier-*.json"))
        frontiers += [{"directory": name, **unknown_as_nan(read_json(file))} for file in drawn]
        if drawn and not run_file.is_file():
            continue  # the directory of a sweep: its runs have their own
        if not run_file.is_file():
            mistakes.append(f"{name}: no run directory, it holds no run.json; give an output_dir of train/ or eval/")
            continue
        run = read_if_run(directory)
        if (directory / "summary.json").is_file():
            found = {"summaries": read_summaries(directory), "analysis": read_analysis(directory, needed=False)}
            evaluations.append({"directory": name, "run": run, **found})
            if (directory / "comparison.json").is_file():
                comparisons += unknown_as_nan(read_json(directory / "comparison.json", kind=list))
        elif (directory / "information.json").is_file():
            found = read_json(directory / "information.json")
            measurements.append({"directory": name, "run": run, **found})
        elif (directory / "metrics.jsonl").is_file():
            metrics = read_jsonl(directory / "metrics.jsonl")
            trainings.append({"directory": name, "run": run, "metrics": metrics, "flags": run_flags(name, run, metrics)})
        elif not drawn:
            mistakes.append(f"{name}: the run has not written results yet (no summary.json, information.json or metrics.jsonl)")
    if mistakes:
        raise InputError(mistakes)
    return {
        "evaluations": evaluations,
        "comparisons": comparisons,
        "trainings": trainings,
        "measurements": measurements,
        "frontiers": frontiers,
    }


def render(directories: Sequence[str], baselines: Sequence[str] = (), samples: int = SHOWN_SAMPLES) -> str:
    """The page as HTML. `baselines` are kept summary.json files, laid below the curves; `samples` compressions go into
    the viewer."""
    import jinja2

    content = collect(directories)
    lacking = "holds no summaries; give the summary.json of an evaluation"
    below = {file: read_summary_file(file, f"--baseline {file}: {lacking}") for file in baselines}
    here = Path(__file__).parent
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(here), autoescape=True, undefined=jinja2.StrictUndefined)
    own = [s for e in content["evaluations"] for s in e["summaries"]]
    styles = plots.styles_of([*own, *(s for held in below.values() for s in held.summaries)])
    budget_columns, budget_rows = overview.best_at_budgets(content)
    script = (here / "page.js").read_text(encoding="utf-8")
    evaluated = [e["directory"] for e in content["evaluations"]]
    shown = samples_of(evaluated, samples) if evaluated else {"samples": [], "documents": {}, "left_out": 0}
    return environment.get_template("page.html").render(
        css=(here / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        tiles=overview.tiles(content),
        headlines=overview.headlines(content),
        budget_columns=budget_columns,
        budget_rows=budget_rows,
        failures=[line for e in content["evaluations"] for line in overview.failures(e["summaries"])],
        baselines=[{"file": file, "commit": held.commit, "started": held.started} for file, held in below.items()],
        viewer=as_script_json(shown) if shown["samples"] else "",
        left_out=shown["left_out"],
        columns=tables.COLUMNS,
        evaluations=[part for e in content["evaluations"] for part in data_parts(e, below, styles)],
        analyses=[analysis_part(e) for e in content["evaluations"] if e["analysis"].get("sets")],
        answer_columns=evaluation_tables.ANSWER_COLUMNS,
        information_columns=evaluation_tables.INFORMATION_COLUMNS,
        cost_columns=evaluation_tables.COST_COLUMNS,
        front_columns=evaluation_tables.FRONT_COLUMNS,
        adherence_columns=tables.ADHERENCE_COLUMNS,
        without_z_columns=tables.WITHOUT_Z_COLUMNS,
        fit_columns=curves.FIT_COLUMNS,
        bd_columns=curves.BD_COLUMNS,
        regression_columns=evaluation_tables.REGRESSION_COLUMNS,
        comparison_columns=tables.COMPARISON_COLUMNS,
        comparisons=[{**c, "rows": tables.comparison_rows(c["values"])} for c in content["comparisons"]],
        frontier_columns=frontiers_of.COLUMNS,
        frontiers=[
            {
                "directory": f["directory"],
                "title": f["title"],
                "rows": frontiers_of.frontier_rows(f),
                "notes": frontiers_of.frontier_notes(f),
                "plot": frontiers_of.frontier_svg(f),
            }
            for f in content["frontiers"]
        ],
        trainings=[
            {
                "directory": t["directory"],
                "steps": t["metrics"][-1]["step"] if t["metrics"] else 0,
                "plot": plots.training(t["metrics"]),
                "audit": training_audit(t["directory"], t["run"], t["metrics"]),
            }
            for t in content["trainings"]
        ],
        measurements=[
            {
                "title": f"{m['label']} on {m['data']['name']} ({m['data']['split']}, preset {m['preset']})",
                "lines": "\n".join(information_lines(m["analysis"], m["print_clipped"])),
                "warnings": m["analysis"]["warnings"],
                "plot": plots.measured_at_k(m["analysis"]),
                "tokens": [
                    [
                        token_html(f"{e['id']}, among {among}:", e["tokens"], e[among])
                        for among in ("pool", "counterfactuals")
                        if among in e
                    ]
                    for e in m["examples"]
                ],
            }
            for m in content["measurements"]
        ],
        runs=[
            {
                "directory": r["directory"],
                "commit": r["run"]["commit"],
                "started": r["run"]["started"],
                "machine": r["run"]["machine"],
                "command": r["run"]["command"],
                "versions": ", ".join(f"{k} {v}" for k, v in r["run"]["versions"].items()),
                "data": ", ".join(f"{k} {v}" for k, v in r["run"].get("data_revisions", {}).items()),
                "drawn": "; ".join(overview.drawn_lines(r["run"].get("drawn", []))),
                "prices": " ".join(map(str, r["run"].get("price_snapshot", {}).values())),
                "seeds": ", ".join(map(str, r["run"].get("seeds", []))),
                "recipe": json.dumps(r["run"]["recipe"], indent=2, ensure_ascii=False),
            }
            for r in (*content["evaluations"], *content["trainings"], *content["measurements"])
        ],
    )


def write_report(
    directories: Sequence[str], page: Path, numbers: Path, baselines: Sequence[str] = (), samples: int = SHOWN_SAMPLES
) -> None:
    """Write the page, and its numbers as JSON."""
    write_text(page, render(directories, baselines, samples))
    write_json(numbers, {WRITTEN_BY: "infoagent report", **as_json(collect(directories))})
