"""The teacher: best-of-n over proposals from any source, by the reward of all trainers.

A policy that never samples the fact gets no signal from its own group: all rewards are alike. The reward scores any text, so the
group may hold pieces of the document, what another run wrote, and what deletions make of the best so far. No answer is needed: the
counterfactual versions say what is asked.

    group = samples of the policy + proposals that a unigram critic keeps
    repeat: score what is new; best = argmax reward; new = its shortenings, the critic's choice     while the best improves
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from infoagent.baselines.extracting import compress_extractive
from infoagent.lm.prompts import end_of_turn_id, text_ids
from infoagent.proposals.critic import UnigramCritic, most_telling
from infoagent.proposals.shortening import shortenings
from infoagent.proposals.sources import GIVEN, SHORTENED, SOURCES, YARDSTICK, Proposal, propose
from infoagent.recipes.sft import ProposalsSection, SamplingSection
from infoagent.records.files import grid_of, read_records
from infoagent.records.grid import compressions_of
from infoagent.reward.metrics import ScoredCompression
from infoagent.reward.mi_reward import MIReward
from infoagent.training.preparation import Prepared
from infoagent.types import ANCHORS, Compression, InputError, Mistakes, Negative, Problem

LOOKED_AT = 50
"""Problems that a source is tried on before a model loads."""

Scored = tuple[str, ScoredCompression]
"""(origin, text with its reward)"""
Asked = tuple[str, str]
"""(id, question) of a problem."""


@dataclass
class Proposer:
    """Puts proposals beside the policy's samples. `most_tokens`: longer texts are not proposed; those of a source that is always read
    are scored, to be compared with, and never chosen."""

    section: ProposalsSection
    most_tokens: int
    given: Mapping[Asked, Sequence[str]] = field(default_factory=dict)
    """What other runs wrote."""
    too_long: int = 0
    """Proposals that were left out for their length in this round."""

    def score(self, reward: MIReward, index: int, samples: Sequence[tuple[str, Compression]]) -> list[Scored]:
        """The policy's samples, each with its origin, and the proposals of a problem, with their rewards. A proposal that has several
        origins stands under the first, and under none where the policy wrote it as well. Samples are draws: all of them stand."""
        problem, negatives = reward.problems[index], reward.negatives[index]
        critic = UnigramCritic([problem.document, *(n.document for n in negatives)], problem.query)
        price = reward.price.price
        told = {z.text for _, z in samples}
        new = [p for p in self.proposals(problem, negatives, critic, price) if p.text not in told]
        fresh = [*samples, *self._compressions(reward, problem, new)]
        scored: list[Scored] = []
        best: ScoredCompression | None = None
        for rounds_left in reversed(range(self.section.shorten_rounds + 1)):
            scored += scored_together(reward, index, fresh)  # in one call: the documents are read once for all of them
            told |= {z.text for _, z in fresh}
            before, best = best, self._best(scored)
            if best is None or best is before or not rounds_left:
                break
            shorter = [text for text in shortenings(best.compression.text) if text not in told]
            chosen = most_telling(shorter, critic, price, self.section.shorten_keep)
            fresh = self._compressions(reward, problem, [Proposal(shorter[i], SHORTENED) for i in chosen])
        if self.section.yardstick and best is not None and self._fits(best.compression):
            scored += scored_together(reward, index, [(YARDSTICK, self._yardstick(reward, problem, best.compression.rate_tokens))])
        return [(origin, replace(s, compression=replace(s.compression, sample=i))) for i, (origin, s) in enumerate(scored)]

    def proposals(self, problem: Problem, negatives: Sequence[Negative], critic: UnigramCritic, price: float) -> list[Proposal]:
        """Those that the scorer reads: all of the sources that ask for it and all that are given, and of the others the
        critic's choice. No text stands twice."""
        everything = propose(problem, negatives, self.section.sources)
        always = [p for p in everything if SOURCES[p.origin].always]
        told = {p.text for p in always}
        given = dict.fromkeys(self.given.get((problem.id, problem.query), ()))  # several runs may have written one text
        always += [Proposal(text, GIVEN) for text in given if text not in told]
        others = [p for p in everything if not SOURCES[p.origin].always and p.text not in given]
        if self.section.keep is not None:
            others = [others[i] for i in most_telling([p.text for p in others], critic, price, self.section.keep)]
        return [*always, *others]

    def _fits(self, text: Compression) -> bool:
        return text.rate_tokens <= self.most_tokens

    def _best(self, scored: Sequence[Scored]) -> ScoredCompression | None:
        """Of the texts that may be chosen, or, where there is none, of the longer ones: what is left of them may be short enough."""
        live = [s for _, s in scored if s.reward is not None and not s.gated]
        return max([s for s in live if self._fits(s.compression)] or live, key=lambda s: s.reward or 0.0, default=None)

    def _yardstick(self, reward: MIReward, problem: Problem, tokens: int) -> Compression:
        def count(text: str) -> int:
            return len(text_ids(reward.tokenizer, text))

        text = compress_extractive("bm25", problem, sentences=None, tokens=max(1, tokens), count_tokens=count, seed=0)
        ids = tuple(text_ids(reward.tokenizer, text))
        return Compression(problem.id, text, ids, "stop", stop_id=end_of_turn_id(reward.tokenizer))

    def _compressions(self, reward: MIReward, problem: Problem, new: Sequence[Proposal]) -> list[tuple[str, Compression]]:
        end = end_of_turn_id(reward.tokenizer)
        texts = []
        for proposal in new:
            text = Compression(problem.id, proposal.text, tuple(text_ids(reward.tokenizer, proposal.text)), "stop", stop_id=end)
            if not self._fits(text) and not (proposal.origin in SOURCES and SOURCES[proposal.origin].always):
                self.too_long += 1
                continue
            texts.append((proposal.origin, text))
        return texts


def scored_together(reward: MIReward, index: int, texts: Sequence[tuple[str, Compression]]) -> list[Scored]:
    """Texts of a problem, each with its origin, and their rewards."""
    scored = reward.score(index, [z for _, z in texts]) if texts else []
    return [(origin, s) for (origin, _), s in zip(texts, scored, strict=True)]


def proposer_of(sampling: SamplingSection, prepared: Prepared) -> Proposer | None:
    """What a recipe asks for; None without proposals. Raises InputError, a line each, for a source that yields nothing for the
    first problems, and for a run that holds nothing on any problem."""
    section = sampling.proposals
    if section is None:
        return None
    mistakes = Mistakes()
    looked = list(zip(prepared.problems, prepared.negatives, strict=True))[:LOOKED_AT]
    for name in section.sources:
        if looked and not any(propose(problem, versions, [name]) for problem, versions in looked):
            mistakes.add(
                f"sampling.proposals.sources: {name!r} yields no text for any of the first {len(looked)} problems; leave it out"
            )
    given: dict[Asked, list[str]] = {}
    wanted = {(problem.id, problem.query) for problem in prepared.problems}
    for directory in section.given:
        with mistakes.of("sampling.proposals.given: "):
            of_wanted = [(asked, text) for asked, text in _texts_of(directory) if asked in wanted]
            if not of_wanted:
                raise InputError(
                    f"{directory!r} holds no text on any of the {len(prepared.problems)} problems; run it on the same data"
                )
            for asked, text in of_wanted:
                given.setdefault(asked, []).append(text)
    mistakes.end()
    return Proposer(section, sampling.max_completion_tokens, given)


def _texts_of(directory: str) -> list[tuple[Asked, str]]:
    """What an evaluation's compressors wrote, anchors aside. Raises InputError where it has no records."""
    held = [r for r in compressions_of(grid_of(read_records(directory))) if r.compressor.kind not in ANCHORS]
    return [((r.problem_id, r.query), r.text) for r in held if r.is_ok and r.text and r.query is not None]
