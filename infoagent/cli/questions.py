"""`infoagent questions`: a model writes questions and reference answers for documents that bring none."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infoagent.files import check_writable
from infoagent.parsing import whole_number
from infoagent.types import InputError

if TYPE_CHECKING:
    from infoagent.data.questions import SourceDocument
    from infoagent.lm.questions.writing import Wanted, Write


def questions(arguments: argparse.Namespace) -> int:
    counts = _counts(arguments)
    from infoagent.grading import states_fact
    from infoagent.lm.questions.files import failures_path
    from infoagent.lm.questions.writing import Wanted, write_questions

    wanted = Wanted(counts, temperature=arguments.temperature, seed=arguments.seed, batch_size=arguments.batch_size)
    documents, revision = _documents(arguments)
    writer = _served_writer if arguments.endpoint else _local_writer
    header, write = writer(arguments, wanted, documents, revision)
    done = write_questions(documents, arguments.out, header, wanted, write, states_fact, arguments.quiet)
    print(arguments.out)
    print(
        f"{done.stored} questions written for {len(documents)} documents, {done.before} were there before, {done.failed} failed",
        file=sys.stderr,
    )
    if done.paid_usd:
        print(f"{done.paid_usd:.4g} $ were paid for this file, in all calls", file=sys.stderr)
    for cause, count in done.causes.most_common():
        print(f"rejected {count} ×: {cause}", file=sys.stderr)
    if done.failed:
        print(f"what was replied: {failures_path(arguments.out)}; the same command tries again", file=sys.stderr)
    return 1 if done.failed else 0


def _local_writer(
    arguments: argparse.Namespace, wanted: Wanted, documents: list[SourceDocument], revision: str
) -> tuple[dict[str, Any], Write]:
    """The header of the file, and a model of this machine; it is loaded once everything else is right."""
    from infoagent.lm import models
    from infoagent.lm.questions.files import check_file
    from infoagent.lm.questions.writing import check_lengths, local_writer, question_header

    model = models.find_by_name(arguments.model).pinned
    header = question_header(model.reference.name, model.reference.revision, wanted, arguments.data_name, revision)
    check_file(arguments.out, header)
    check_lengths(documents, wanted, model.tokenizer, model.context_tokens, arguments.max_tokens)
    lm = models.load(arguments.model, dtype=arguments.dtype)
    return header, local_writer(lm, arguments.max_tokens, arguments.temperature)


def _served_writer(
    arguments: argparse.Namespace, wanted: Wanted, documents: list[SourceDocument], revision: str
) -> tuple[dict[str, Any], Write]:
    """The header of the file, and a model behind an endpoint, within the spending limit of all calls on the file."""
    from infoagent.costs import price_of
    from infoagent.lm.endpoint.client import Endpoint, EndpointSettings
    from infoagent.lm.endpoint.spending import SpendingLimit, Usage
    from infoagent.lm.questions.files import check_file, open_files
    from infoagent.lm.questions.writing import question_header, served_writer
    from infoagent.recipes.cost_sections import PriceSection

    settings = EndpointSettings(
        arguments.endpoint,
        arguments.model,
        arguments.api_key_env or None,
        concurrency=wanted.batch_size,
        max_tokens=arguments.max_tokens,
        temperature=arguments.temperature,
    )
    own = {}
    if arguments.price is not None:
        own[arguments.model] = PriceSection(input=arguments.price[0], output=arguments.price[1])
    price = price_of(arguments.model, None, own)

    def usd(usage: Usage) -> float:
        return float(price.usd(usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens))

    header = question_header(arguments.model, settings.url, wanted, arguments.data_name, revision)
    check_file(arguments.out, header)
    Endpoint(settings).check()  # before a file is begun
    budget = SpendingLimit(arguments.spending_limit, open_files(arguments.out, header).paid_usd)
    return header, served_writer(Endpoint(settings, usd, budget))


def _counts(arguments: argparse.Namespace) -> dict[str, int]:
    """How many questions of each kind a document gets: `extractive:2,email` with --per-document for the others."""
    from infoagent.data.questions import KINDS

    mistakes = []
    if not arguments.out.endswith(".jsonl"):
        mistakes.append(f"--out {arguments.out}: must end in .jsonl")
    else:
        check_writable(arguments.out, "--out")
    if Path(arguments.out).is_dir():
        mistakes.append(f"--out {arguments.out}: is a directory; name a file")
    counts: dict[str, int] = {}
    for part in arguments.kinds.split(","):
        kind, sign, number = part.strip().partition(":")
        if kind not in KINDS:
            mistakes.append(f"--kinds {part[:40]!r}: is unknown; allowed are {', '.join(KINDS)}, each with :N for N of it")
        elif kind in counts:
            mistakes.append(f"--kinds {arguments.kinds[:200]}: {kind} stands twice; write {kind}:N for N of it")
        elif not (count := whole_number(number) if sign else arguments.per_document):
            mistakes.append(f"--kinds {part[:40]!r}: after the colon stands how many a document gets, at least 1")
        else:
            counts[kind] = count
    if mistakes:
        raise InputError(mistakes)
    return counts


def _check_source(name: str, path: str | None) -> None:
    """Raise InputError, in the words of this command, where a recipe's would tell of data.name and data.path."""
    from infoagent.data.registry import find_set

    known = find_set(name, "--data-name")
    if path is not None and not known.needs_path:
        raise InputError(f"--path {path!r}: --data-name {name} is built in and takes no path; drop one of them")
    if path is not None and not Path(path).expanduser().exists():
        raise InputError(f"--path {path!r}: no such file or folder")
    if path is None and known.needs_path and (known.hub is None or known.hub.revision is None):
        raise InputError(f"--path: --data-name {name} is read from a file or folder; name it")


def _documents(arguments: argparse.Namespace) -> tuple[list[SourceDocument], str]:
    """Every document of the data once, or --limit of them drawn by --seed, and the revision of the data."""
    from infoagent.data.questions import SourceDocument
    from infoagent.data.registry import load_data
    from infoagent.data.sets.own import as_documents, read_texts

    if arguments.data_name == "text":
        texts = read_texts(arguments.path, arguments.min_words, arguments.max_words, arguments.skip_bad_files, "--path")
        found, revision = as_documents(texts.passages), texts.revision
        if not found:
            raise InputError(f"--path {arguments.path}: no passage of {texts.words[0]}-{texts.words[1]} words; lower --min-words")
    else:
        _check_source(arguments.data_name, arguments.path)
        data = load_data(arguments.data_name, arguments.path, "all", min_words=arguments.min_words, max_words=arguments.max_words)
        problems = {p.document: p for p in reversed(data.problems)}
        found = [SourceDocument(p.document_id, text, p.group, p.part_of) for text, p in reversed(problems.items())]
        revision = data.revision
    if arguments.limit is not None:
        import numpy as np

        order = np.random.default_rng(arguments.seed).permutation(len(found))[: arguments.limit]
        found = [found[int(i)] for i in sorted(order)]
    return found, revision
