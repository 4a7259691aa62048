"""`infoagent score`: the user's compressions under the user's documents, as a score matrix."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from infoagent.files import check_output_file, check_writable
from infoagent.types import Compression, InputError, Problem


def score(arguments: argparse.Namespace) -> None:
    from infoagent.data.negatives import Counts, find_negatives
    from infoagent.data.sets.own import load_jsonl
    from infoagent.information.scores import OF_A_MATRIX
    from infoagent.lm import models, prompts
    from infoagent.lm.context import fit_to_context
    from infoagent.lm.machine.device import default_device
    from infoagent.lm.scoring.jobs import current_processes
    from infoagent.measurement.pool import Pool, express, score_pool
    from infoagent.measurement.pool_draw import refuse_repeated

    if Path(arguments.out).suffix != ".npz":
        raise InputError(f"--out {arguments.out}: must end in .npz")
    check_output_file(arguments.out, "infoagent score", earlier=OF_A_MATRIX)
    store = arguments.scores or f"{arguments.out}.scores"
    check_writable(store, "--scores")
    if Path(store).is_file():
        raise InputError(f"--scores {store}: is a file; name a directory")
    problems = list(load_jsonl(arguments.documents, "all", "--documents").problems)
    texts = _read_compressions(arguments.compressions, {p.id for p in problems})
    documents = {p.document: p for p in reversed(problems)}  # questions on one text share its column
    documents = {text: documents[text] for text in dict.fromkeys(p.document for p in problems)}
    by_id = {p.id: p for p in problems}
    _check_pool(arguments.documents, documents, {by_id[i].document for i, _ in texts}, arguments.allow_missing)
    refuse_repeated({p.id: text for text, p in documents.items()})
    model = models.find_by_name(arguments.model)
    tokenizer = model.tokenizer
    longest = max(len(prompts.text_ids(tokenizer, text)) for _, text in texts) + 1
    fit_to_context(problems, tokenizer, model.context_tokens, longest, "error", setting=None)
    compressions = [
        Compression(i, text, tuple(prompts.text_ids(tokenizer, text)), "stop", sample=n) for n, (i, text) in enumerate(texts)
    ]
    continuations = express(tokenizer, compressions, own_ids=False, scorer=arguments.model)
    counts = Counts(counterfactual=arguments.counterfactuals, missing=arguments.missing)
    drawn = find_negatives(problems, counts, 0, arguments.quiet, setting="--counterfactuals")

    pool = Pool(
        documents=list(documents.values()),
        problems=[by_id[i] for i, _ in texts],
        versions=dict(zip((p.id for p in problems), drawn.negatives, strict=True)),
        query=arguments.query,
    )
    processes = current_processes(on_cpu=default_device() == "cpu")  # first: it chooses this process's device
    empty = sum(not text.strip() for _, text in texts)
    if empty and processes.index == 0:  # before the hours that scoring may take
        print(
            f"note: {empty} of {len(texts)} compressions are empty, and are scored as such: right where the compressor wrote "
            "nothing; one that failed is no value, leave its line out",
            file=sys.stderr,
        )
    lm = models.load(arguments.model, dtype=arguments.dtype)
    matrix = score_pool(
        lm,
        None,
        pool,
        continuations,
        [f"{i}#{n}" for n, (i, _) in enumerate(texts)],
        prompts.Prompt(),
        store,
        arguments.memory_mib,
        arguments.tokens,
        processes,
        arguments.quiet,
    )
    matrix.about["short"] = dict(drawn.short)
    matrix.about["sampler"] = bool(arguments.sampler)
    if processes.index == 0:
        matrix.save(arguments.out)
        print(arguments.out)
        for line in drawn.lines:
            print(f"note: {line}", file=sys.stderr)
        if len(documents) < len(problems):
            print(f"note: {len(problems)} lines hold {len(documents)} different documents", file=sys.stderr)


def _check_pool(path: str, documents: Mapping[str, Problem], compressed: set[str], allow_missing: bool) -> None:
    if len(documents) < 2:
        raise InputError(f"{path}: holds one document only; information about which document needs at least two")
    missing = [p.id for text, p in documents.items() if text not in compressed]
    if missing and not allow_missing:
        shown = ", ".join(map(repr, missing[:5])) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        raise InputError(
            f"{path}: {len(missing)} of {len(documents)} documents have no compression ({shown}): if they failed, the "
            "rest is a choice and no sample; bring them, or take them as candidates only with --allow-missing"
        )


def _read_compressions(path: str, known: set[str]) -> Sequence[tuple[str, str]]:
    from infoagent.data.reading.schema import IDENTITY, STRING, mistakes_in, reported
    from infoagent.data.reading.tables import file_rows

    file = Path(path)
    if not file.is_file():
        raise InputError(f"--compressions {path}: no such file")
    found: list[tuple[str, str]] = []
    mistakes: list[str] = []
    for line in file_rows(file, ":"):
        row, wrong = line.content, list(mistakes_in(line.content, {"id": IDENTITY, "compression": STRING}))
        mistakes += [f"{line.where}: {mistake}" for mistake in wrong]
        if not wrong and str(row["id"]) not in known:
            mistakes.append(f"{line.where}: id {str(row['id'])!r} is not among the documents")
        elif not wrong:
            found.append((str(row["id"]), row["compression"]))
    if not found and not mistakes:
        mistakes.append(f"{path}: holds no compression")
    if mistakes:
        raise InputError(reported(mistakes, path, "mistakes"))
    return found
