"""The `infoagent` command. Heavy imports happen inside the commands that need them."""

from __future__ import annotations

import argparse
import json
import math
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infoagent import __version__
from infoagent.config import exit_code, load_recipe, recipe_yaml
from infoagent.types import Compression, InputError


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(argv)
    return exit_code(lambda: arguments.run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="infoagent", description="Measure, train and prove context compressors.")
    parser.add_argument("--version", action="version", version=f"infoagent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    compress = commands.add_parser("compress", help="compress a file; the compression on stdout, figures on stderr")
    compress.add_argument("file", help="text file, or - for standard input")
    compress.add_argument("--query", help="what the compression must let a reader answer (default: keep the facts)")
    compress.add_argument("--model", default=None, help="embedded model, hub id or directory (default: smollm2-135m)")
    compress.add_argument("--adapter", help="a trained checkpoint")
    compress.add_argument("--budget", type=int, default=60, help="at most so many tokens (default 60)")
    compress.add_argument("--temperature", type=float, default=0.0, help="0 is greedy (default)")
    compress.add_argument("--seed", type=int, default=0)
    compress.add_argument("--truncate", choices=["error", "head", "tail", "middle"], default="error")
    compress.set_defaults(run=_compress)

    score = commands.add_parser("score", help="log-probabilities of compressions under documents, as .npz")
    score.add_argument("--documents", required=True, help="JSONL with id, document, query")
    score.add_argument("--compressions", required=True, help="JSONL with id (of its document's line) and compression")
    score.add_argument("--model", default="smollm2-135m")
    score.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    score.add_argument("--out", required=True, help="the .npz to write")
    score.add_argument("--quiet", action="store_true", help="no progress bar")
    score.set_defaults(run=_score)

    mi = commands.add_parser("mi", help="mutual information from a matrix of scores")
    mi.add_argument("scores", help=".npz with arrays log_probs (C, K) in nats and source (C,)")
    mi.add_argument("--json", action="store_true")
    mi.add_argument("--drop-failed", action="store_true", help="leave out compressions with a NaN cell, and count them")
    mi.set_defaults(run=_mi)

    data = commands.add_parser("data", help="data sets").add_subparsers(dest="action", required=True, metavar="ls|show")
    data.add_parser("ls", help="every data set by name").set_defaults(run=_data_ls)
    show = data.add_parser("show", help="what a data set holds")
    show.add_argument("name")
    show.add_argument("overrides", nargs="*", metavar="data.key=value", help="e.g. data.path=my.jsonl data.split=test")
    show.add_argument("--json", action="store_true")
    show.set_defaults(run=_data_show)

    models = commands.add_parser("models", help="embedded models; `models prepare NAME` converts one now")
    models.add_argument("action", nargs="?", choices=["ls", "prepare"], default="ls")
    models.add_argument("name", nargs="?", default="smollm2-135m")
    models.set_defaults(run=_models)

    report = commands.add_parser("report", help="one self-contained HTML page from run directories")
    report.add_argument("runs", nargs="+", metavar="RUN", help="output_dir of train/ or eval/ scripts")
    report.add_argument("--out", required=True, help="the .html to write; its numbers go beside it as .json")
    report.set_defaults(run=_report)

    config = commands.add_parser("config", help="check a recipe, or show it with its defaults")
    config.add_argument("action", choices=["check", "show"])
    config.add_argument("recipe")
    config.add_argument("overrides", nargs="*", metavar="key=value")
    config.set_defaults(run=_config)

    commands.add_parser("doctor", help="what this machine has and what is missing").set_defaults(run=_doctor)
    return parser


def _compress(arguments: argparse.Namespace) -> None:
    if arguments.budget < 1:
        raise InputError(f"--budget {arguments.budget}: must be at least 1 token")
    if arguments.temperature < 0:
        raise InputError(f"--temperature {arguments.temperature}: must be at least 0")
    text = _read_text(arguments.file)
    from infoagent.lm import models, prompts
    from infoagent.lm.context import fit_to_context
    from infoagent.lm.generation import generate
    from infoagent.types import Problem

    if arguments.adapter is not None and arguments.model is None and models.is_adapter(arguments.adapter):
        arguments.model = models.adapter_base(arguments.adapter)
    name = arguments.model or "smollm2-135m"
    prompt: dict[str, Any] = {"template": "query-v1" if arguments.query else "agnostic-v1", "budget_words": None}
    if arguments.adapter is not None:
        models.check_adapter(arguments.adapter, name)
        if arguments.query:  # the prompt that the adapter was trained with
            prompt |= models.adapter_prompt(arguments.adapter)
    reference = models.resolve(name)
    problem = Problem("input", text, arguments.query or "", document_id="input")
    [problem] = fit_to_context(
        [problem], models.load_tokenizer(reference), models.context_tokens(models.load_config(reference)),
        arguments.budget, arguments.truncate, **prompt, setting="--truncate",
    )  # fmt: skip
    lm = models.load(name, adapter=arguments.adapter)
    ids = prompts.compressor_ids(lm.tokenizer, problem.document, problem.query, **prompt)
    [z] = generate(lm, [ids], [problem.id], arguments.budget, arguments.temperature, arguments.seed)
    print(z.text)
    source = len(prompts.text_ids(lm.tokenizer, text))
    cut = " (cut off at the budget)" if z.finish == "length" else ""
    print(
        f"{source} tokens → {z.rate_tokens}{cut}, {source / max(1, z.rate_tokens):.1f}:1, {z.rate_bytes} bytes, "
        f"{z.seconds:.1f} s, {lm.label}",
        file=sys.stderr,
    )


def _read_text(name: str) -> str:
    try:
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(f"{name}: no such file; give a text file, or - for standard input") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 at byte {error.start}; save it as UTF-8") from error
    if not text.strip():
        raise InputError(f"{name}: the document is empty")
    return text


def _score(arguments: argparse.Namespace) -> None:
    import numpy as np

    from infoagent.data.own import load_jsonl
    from infoagent.lm import models, prompts
    from infoagent.lm.context import fit_to_context
    from infoagent.lm.scoring import Scorer, continuation_ids

    if Path(arguments.out).suffix != ".npz":
        raise InputError(f"--out {arguments.out}: must end in .npz")
    problems = list(load_jsonl(arguments.documents, "all").problems)
    texts = _read_compressions(arguments.compressions, {p.id for p in problems})
    documents = list(dict.fromkeys(p.document for p in problems))
    by_id = {p.id: p for p in problems}
    reference = models.resolve(arguments.model)
    tokenizer = models.load_tokenizer(reference)
    longest = max(len(prompts.text_ids(tokenizer, text)) for _, text in texts) + 1
    fit_to_context(problems, tokenizer, models.context_tokens(models.load_config(reference)), longest, "error")
    lm = models.load(arguments.model, dtype=arguments.dtype)
    end = prompts.end_of_turn_id(lm.tokenizer)
    rows_of: dict[str, list[int]] = {}
    for row, (identity, _) in enumerate(texts):
        rows_of.setdefault(by_id[identity].query, []).append(row)
    log_probs_CK = np.full((len(texts), len(documents)), np.nan)
    scorer = Scorer(lm.model)
    from tqdm.auto import tqdm

    with tqdm(total=len(rows_of) * len(documents), desc="score", unit="prefix", disable=arguments.quiet) as bar:
        for (
            query,
            rows,
        ) in rows_of.items():  # every column of a row stands under the row's own query: I(X;Z|Q)
            continuations = [
                continuation_ids(Compression(i, text, tuple(prompts.text_ids(lm.tokenizer, text)), "stop"), end)
                for i, text in (texts[row] for row in rows)
            ]
            prefixes = [prompts.compressor_ids(lm.tokenizer, document, query) for document in documents]
            log_probs_CK[rows] = scorer.score(prefixes, continuations, bar.update)
    source = np.array([documents.index(by_id[identity].document) for identity, _ in texts])
    Path(arguments.out).parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        arguments.out, log_probs=log_probs_CK, source=source, compression_ids=np.array([i for i, _ in texts]),
        model=np.array(f"{reference.name}@{reference.revision}"), estimand=np.array("I(X;Z|Q), query of the compression"),
    )  # fmt: skip
    print(arguments.out)


def _read_compressions(path: str, known: set[str]) -> list[tuple[str, str]]:
    file = Path(path)
    if not file.is_file():
        raise InputError(f"--compressions {path}: no such file")
    found: list[tuple[str, str]] = []
    mistakes: list[str] = []
    for number, line in enumerate(_read_text(path).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            mistakes.append(f"{path}:{number}: not valid JSON: {error.msg} at column {error.colno}")
            continue
        if (
            not isinstance(row, dict)
            or not isinstance(row.get("id"), str)
            or not isinstance(row.get("compression"), str)
        ):
            mistakes.append(f"{path}:{number}: needs the strings 'id' and 'compression'")
        elif row["id"] not in known:
            mistakes.append(f"{path}:{number}: id {row['id']!r} is not among the documents")
        else:
            found.append((row["id"], row["compression"]))
    if not found and not mistakes:
        mistakes.append(f"{path}: holds no compression")
    if mistakes:
        raise InputError(mistakes[:20])
    return found


def _mi(arguments: argparse.Namespace) -> None:
    import warnings

    import numpy as np

    from infoagent.information import estimate_mi

    path = Path(arguments.scores)
    if not path.is_file():
        raise InputError(f"{path}: no such file; `infoagent score` writes one")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = [name for name in ("log_probs", "source") if name not in arrays]
            if missing:
                raise InputError(f"{path}: has no array {missing[0]!r}; it holds {', '.join(arrays) or 'nothing'}")
            log_probs, source = arrays["log_probs"], arrays["source"]
            estimand = str(arrays["estimand"]) if "estimand" in arrays else "not named in the file"
    except (ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path}: not an .npz file of arrays: {error}") from error
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimate = estimate_mi(log_probs, source, drop_failed=arguments.drop_failed)
        except ValueError as error:
            raise InputError(f"{path}: {str(error).replace('with drop_failed', 'with --drop-failed')}") from error
    notes = [*estimate.warnings, *(str(w.message) for w in caught)]
    if arguments.json:
        fields = {**estimate.to_dict(), "warnings": notes, "estimand": estimand}
        print(json.dumps(_finite(fields), indent=2, allow_nan=False))
        return
    low, high = estimate.ci_nats
    print(f"estimand                {estimand}")
    print(f"compressions, documents {estimate.n_compressions}, {estimate.n_documents}")
    print(f"InfoNCE (lower bound)   {estimate.infonce_nats:.4f} nats, 95 % [{low:.4f}, {high:.4f}]")
    print(f"leave-one-out (upper)   {estimate.leave_one_out_nats:.4f} nats, only if the scorer is the sampler")
    print(f"midpoint                {estimate.midpoint_nats:.4f} nats")
    print(f"ceiling log K           {estimate.ceiling_nats:.4f} nats, headroom {estimate.headroom_nats:.4f}")
    print(f"saturation              {estimate.saturation:.1%}")
    print("at K                    " + ", ".join(f"{k}: {v:.3f}" for k, v in estimate.at_k.items()))
    for note in notes:
        print(f"warning: {note}", file=sys.stderr)


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: null, where a warning says which it is."""
    if isinstance(value, dict):
        return {key: _finite(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _data_ls(_: argparse.Namespace) -> None:
    from infoagent.data.registry import DATA_SETS

    for data in DATA_SETS.values():
        print(f"{data.name:18} {'data.path=…  ' if data.needs_path else 'built in     '}{data.description}")


def _data_show(arguments: argparse.Namespace) -> None:
    from dataclasses import asdict

    from infoagent.config import Section
    from infoagent.data.registry import load_data
    from infoagent.recipes import DataSection

    class Shown(Section):
        data: DataSection

    recipe = load_recipe(Shown, None, [f"data.name={arguments.name}", "data.split=all", *arguments.overrides])
    data = load_data(**recipe.data.model_dump(exclude={"truncate"}))
    content: dict[str, Any] = {
        "name": data.name,
        "revision": data.revision,
        "split": data.split,
        "problems": len(data),
        "documents": len(data.documents),
        "groups": len(data.groups),
        "first": [asdict(p) for p in data.problems[:3]],
    }
    if arguments.json:
        print(json.dumps(content, indent=2, ensure_ascii=False))
        return
    words = [len(p.document.split()) for p in data.problems]
    print(f"{data.name} ({data.split}), revision {data.revision}")
    print(f"{len(data)} problems, {len(data.documents)} documents, {len(data.groups)} groups")
    print(f"{min(words)}-{max(words)} words a document")
    for problem in data.problems[:3]:
        print(
            f"\n{problem.id}  [{problem.group}]\n{problem.document}\n? {problem.query}\n= {problem.answer}  of {list(problem.choices)}"
        )


def _models(arguments: argparse.Namespace) -> None:
    from infoagent.lm.embedded import EMBEDDED, is_prepared, model_directory, prepare

    if arguments.action == "prepare":
        if arguments.name not in EMBEDDED:
            raise InputError(f"models prepare {arguments.name!r}: is not embedded; embedded are {', '.join(EMBEDDED)}")
        print(prepare(EMBEDDED[arguments.name]))
        return
    for model in EMBEDDED.values():
        state = f"ready in {model_directory(model)}" if is_prepared(model) else f"not prepared; {model.install_command}"
        print(f"{model.name:14} {model.description}\n{'':14} {model.revision}, {state}")
    print("any hub id (owner/name) or local directory works by its name as well")


def _report(arguments: argparse.Namespace) -> None:
    if Path(arguments.out).suffix not in (".html", ".htm"):
        raise InputError(f"--out {arguments.out}: must end in .html")
    from infoagent.reporting.page import write_report

    page, numbers = write_report(arguments.runs, arguments.out)
    print(f"{page}\n{numbers}")


def _config(arguments: argparse.Namespace) -> None:
    from infoagent.config import recipe_keys
    from infoagent.recipes import recipe_schema

    recipe = load_recipe(recipe_schema(recipe_keys(arguments.recipe)), arguments.recipe, arguments.overrides)
    if arguments.action == "show":
        print(recipe_yaml(recipe), end="")
    else:
        print(f"{arguments.recipe}: a valid {type(recipe).__name__}")


def _doctor(_: argparse.Namespace) -> int:
    from infoagent.doctor import examine

    return examine()


if __name__ == "__main__":
    sys.exit(main())
