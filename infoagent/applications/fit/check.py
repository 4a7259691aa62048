"""Stage 0: what the documents hold, whether the stages can work with them, and what each will ask of this machine.

Read with the loaders of every other command. No model is loaded: its tokenizer and its configuration are.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from infoagent.applications.fit.launching import launch_mistakes, read_launch
from infoagent.applications.fit.recipes import FitPlan
from infoagent.applications.fit.settings import FitSettings, data_source
from infoagent.config import checked_recipe
from infoagent.data.negative_kinds import is_hard
from infoagent.data.negatives import Counts, find_negatives
from infoagent.data.registry import DATA_SETS, load_data
from infoagent.data.sets.own import read_texts
from infoagent.grading.language import language_of
from infoagent.lm.models import check_adapter, context_tokens, load_config, load_tokenizer, resolve
from infoagent.lm.prompts import Prompt, compressor_ids, text_ids
from infoagent.recipes import DataSection, EvaluationRecipe, GRPORecipe, SFTRecipe
from infoagent.training.trainable import check_trainable
from infoagent.training.validation_checks import validation_data
from infoagent.types import InputError, Problem, ProblemSet

LEAST_DOCUMENTS = 2
"""Of a split: an interval needs two."""
SPELLED = 1.05
"""Tokens a character. A vocabulary that takes more tokens than characters for a text has no pieces for its script and spells
it byte by byte: what the base never met in training it cannot write."""


@dataclass(frozen=True)
class SplitFound:
    """One split: documents and questions, and how many questions have enough negatives."""

    documents: int
    questions: int
    usable: int


@dataclass(frozen=True)
class Found:
    """What stage 0 says of the documents."""

    name: str
    revision: str
    path: str | None
    kind: str
    """"cloze": made here, "stored": of a file of `infoagent questions`, "own": the data's."""
    splits: dict[str, SplitFound]
    tokens: tuple[int, float, int]
    """Fewest, median and most of a document."""
    tokens_per_character: float
    languages: dict[str, int]
    """Documents by language; "not told" where the text does not say."""
    left_out: dict[str, int]
    random: int
    counterfactual: int
    """Negatives that every split has, as many as are asked for at the most."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def lines(self) -> list[str]:
        documents, questions = (sum(getattr(s, what) for s in self.splits.values()) for what in ("documents", "questions"))
        made = {
            "cloze": "made by blanking a span of a sentence, without a model; a model's own are asked better: `infoagent questions`, "
            "then data.questions=FILE",
            "stored": "from the file of data.questions",
            "own": "the data's own",
        }
        least, middle, most = self.tokens
        told = ", ".join(f"{language} {number}" for language, number in self.languages.items())
        return [
            f"documents: {documents} of {self.name}{'' if self.path is None else f' ({self.path})'}, {least}-{most} tokens, "
            f"median {middle:g}; {self.tokens_per_character:.2f} tokens a character; languages: {told}",
            f"questions: {questions}, {made[self.kind]}",
            *(f"left out, {cause}: {number}" for cause, number in self.left_out.items()),
            "split, no file, group or document in two of them: "
            + "; ".join(
                f"{name} {s.documents} documents, {s.usable} of {s.questions} questions" for name, s in self.splits.items()
            ),
            f"negatives: {self.counterfactual} with the asked fact changed, at most {self.random} other documents",
        ]


def check(settings: FitSettings) -> tuple[FitPlan, Found]:
    """The plan of the stages, and what the documents hold.

    Raises InputError, a line for each mistake: documents that are too few to split, too long for the model, without a
    fact to ask for, or in a script that the base cannot write; a budget that is no compression; an adapter of another
    base; recipes that do not hold with the user's values.
    """
    launch = read_launch(settings.launch_config)
    plan = FitPlan(settings, data_source(settings.documents))
    if "path" in plan.source and settings.out.resolve().is_relative_to(plan.source["path"]):
        raise InputError(f"--out {settings.out}: lies in DOCUMENTS, and would be read as one of them; name a directory outside")
    sft = checked_recipe(SFTRecipe, plan.warm_start(), "warm-start")
    grpo = checked_recipe(GRPORecipe, plan.train(None), "train")
    evaluation = checked_recipe(EvaluationRecipe, plan.evaluate(None, settings.budget), "evaluate")
    if settings.adapter is not None:
        check_adapter(settings.adapter, settings.model)
    check_trainable(sft.all_data)
    if refused := launch_mistakes(settings.launch, launch, grpo):
        raise InputError(refused)
    # a new set is asked for in one piece first: what is wrong with it is no matter of its splits
    whole = None if DATA_SETS[sft.data.name].generated else _whole(sft.data, settings.documents)
    sections = {"train": [sft.data], "validation": validation_data(grpo), "test": evaluation.data}
    sets = {name: _split(found[0], whole) for name, found in sections.items() if found}  # train.validation=null: two splits
    asked = sft.negatives.counterfactual
    hard = {name: _hard(data, asked, sft.negatives.seed) for name, data in sets.items()}
    least = {"train": max(LEAST_DOCUMENTS, grpo.grpo.prompts_per_step), "validation": LEAST_DOCUMENTS, "test": LEAST_DOCUMENTS}
    number = most_for_all(hard, least, asked)
    kept = {name: [p for p, n in zip(data.problems, hard[name], strict=True) if n >= number] for name, data in sets.items()}
    found_splits = {name: SplitFound(len(data.documents), len(data), len(kept[name])) for name, data in sets.items()}
    mistakes = _too_few(settings.documents, sft.data, found_splits, kept, least, asked > 0 and number == 0)
    others = min(len({p.document_id for p in problems}) for problems in kept.values()) - 1
    plan = replace(plan, counterfactual=number, random=max(1, others), train_problems=len(kept["train"]) or 1)
    texts = list(dict.fromkeys(p.document for data in sets.values() for p in data.problems))
    lengths, said = _read_by(settings, sft, texts, [p for data in sets.values() for p in data.problems])
    mistakes += said
    if mistakes:
        raise InputError(mistakes)
    first = sets["train"]
    return plan, Found(
        name=first.name,
        revision=first.revision if whole is None else whole.revision,
        path=sft.data.path,
        kind="stored" if sft.data.questions else "cloze" if "questions" in DATA_SETS[sft.data.name].takes else "own",
        splits=found_splits,
        tokens=(min(lengths), median(lengths), max(lengths)),
        tokens_per_character=sum(lengths) / sum(map(len, texts)),
        languages=dict(Counter(language_of(text) or "not told" for text in texts).most_common()),
        left_out=dict((first if whole is None else whole).left_out),
        random=plan.random,
        counterfactual=number,
    )


def _whole(section: DataSection, documents: str) -> ProblemSet:
    """All of a set. Raises InputError where it is for evaluation only, or where no question can be made."""
    everything = {**section.asked, "split": "all", "limit": None}
    if section.name == "text":
        texts = read_texts(section.path, section.min_words, section.max_words, section.skip_bad_files, "DOCUMENTS")
        if not texts.passages:
            raise InputError(
                f"DOCUMENTS {documents!r}: {texts.files} files hold no passage of {texts.words[0]} words; bring longer ones, or "
                "lower data.min_words"
            )
        if section.questions is None:
            try:
                return load_data(**everything)
            except InputError as error:  # the files were read before, so that nothing can be asked; its own words say what else
                raise InputError(
                    f"DOCUMENTS {documents!r}: no question can be made of {len(texts.passages)} passages, for none has a fact (a "
                    "name, number, date or term) with another of its kind; bring other documents, or your own questions as JSONL "
                    f"({'; '.join(error.problems)})"
                ) from error
    data = load_data(**everything)
    if data.benchmark is not None:
        raise InputError(f"DOCUMENTS {documents!r}: is for evaluation only, {data.benchmark}; train on other documents")
    return data


def _split(section: DataSection, whole: ProblemSet | None) -> ProblemSet:
    """One split; an empty one of a set that is right as a whole."""
    try:
        return load_data(**section.asked)
    except InputError:
        if whole is None:
            raise
        return replace(whole, split=section.split, problems=())


def _hard(data: ProblemSet, asked: int, seed: int) -> list[int]:
    """How many counterfactual documents each problem has, up to `asked`."""
    if not asked or not data.problems:
        return [0] * len(data)
    with draws_unsaid():
        found = find_negatives(data.problems, Counts(counterfactual=asked, missing="fewer"), seed, quiet=True)
    return [sum(is_hard(n) for n in drawn) for drawn in found.negatives]


def most_for_all(hard: dict[str, list[int]], least: dict[str, int], asked: int) -> int:
    """The most counterfactual documents, up to `asked`, that half of each split's problems with any have, and enough of
    them; 1 where there are some, 0 where there are none."""
    for number in range(asked, 0, -1):
        enough = {name: sum(n >= number for n in found) for name, found in hard.items()}
        if all(2 * enough[name] >= sum(n > 0 for n in hard[name]) and enough[name] >= least[name] for name in hard):
            return number
    return int(any(n for found in hard.values() for n in found))


def _too_few(
    documents: str,
    section: DataSection,
    splits: dict[str, SplitFound],
    kept: dict[str, list[Problem]],
    least: dict[str, int],
    without_facts: bool,
) -> list[str]:
    if without_facts:
        return [
            f"DOCUMENTS {documents!r}: no fact can be changed in any of them, so nothing tells a text that keeps it from one that "
            "does not; bring answers that stand in the documents, choices or `negatives`, or pay for which document it is alone: "
            "negatives.counterfactual=0"
        ]
    short = [n for n in splits if len({p.document_id for p in kept[n]}) < LEAST_DOCUMENTS or len(kept[n]) < least[n]]
    if not short:
        return []
    told = ", ".join(f"{name} {len({p.document_id for p in kept[name]})}" for name in splits)
    wholes = "files" if section.name == "text" else "documents or groups"
    return [
        f"DOCUMENTS {documents!r}: too few to split into documents for training, for choosing a checkpoint and for the comparison: "
        f"with a question and its negatives there are {told}, and each needs {LEAST_DOCUMENTS} (train {least['train']}); bring more "
        f"{wholes}, some ten or more"
    ]


def _read_by(
    settings: FitSettings, recipe: SFTRecipe, texts: Sequence[str], problems: Sequence[Problem]
) -> tuple[list[int], list[str]]:
    """(tokens of each document under the model's own vocabulary, what is wrong with them)."""
    reference = resolve(recipe.model.name, recipe.model.revision)
    tokenizer = load_tokenizer(reference)
    if settings.adapter is not None:
        from infoagent.lm.adapter_fit import check_fit  # it brings torch

        check_fit(settings.adapter, reference)
    lengths = [len(text_ids(tokenizer, text)) for text in texts]
    if not lengths:
        return [], []
    where, mistakes = f"DOCUMENTS {settings.documents!r}", []
    spelled = [n / len(text) > SPELLED for n, text in zip(lengths, texts, strict=True)]
    if 2 * sum(spelled) > len(texts):
        mistakes.append(
            f"{where}: {sum(spelled)} of {len(texts)} documents are in a script that {recipe.model.name} cannot write: its vocabulary "
            f"takes more than {SPELLED} tokens a character for them; name a --model of that language"
        )
    if settings.budget >= median(lengths):
        mistakes.append(
            f"--budget {settings.budget}: is no compression of documents of {median(lengths):g} tokens (the median); ask for fewer"
        )
    prompt, longest = Prompt.of(recipe.prompt, thinking=False), max((p.query for p in problems), key=len, default="")
    around = len(compressor_ids(tokenizer, "", longest, prompt)) + settings.longest
    context = context_tokens(load_config(reference))
    too_long = [n for n in lengths if n + around > context]
    if too_long and recipe.data.truncate == "error":
        mistakes.append(
            f"{where}: {len(too_long)} of {len(texts)} documents do not fit into the context of {recipe.model.name} ({context} tokens, "
            f"of which question and reply take {around}; the longest has {max(too_long)}); split them, set data.truncate to head, "
            "tail or middle, or name a --model with a longer context"
        )
    return lengths, mistakes


@contextmanager
def draws_unsaid() -> Iterator[None]:
    """Without the warnings of draws of negatives whose counts are printed."""
    logger = logging.getLogger("infoagent.data.negatives")
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
