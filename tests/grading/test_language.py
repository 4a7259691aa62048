"""Whether a text keeps its document's language: on sentences whose language is known, and not on what tells nothing."""

import numpy as np
import pytest

from infoagent.data.registry import load_data
from infoagent.data.sets.hard_languages import LANGUAGES, WORDINGS, foreign_document
from infoagent.grading.language import keeps_language, language_of
from infoagent.pricing.objectives import Objective
from infoagent.pricing.parts import Price, Sample, reward_parts
from infoagent.types import Compression, Problem

ENGLISH = "The destination of the ship is a harbour in the north, and the crew will arrive before the winter."


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_remark_is_in_the_language_of_a_report_without_it_and_english_is_not(language):
    wording = WORDINGS[language]
    for number in range(5):
        report = foreign_document(language, np.random.default_rng(number), 1).document
        for filler in wording.fillers:
            rest = report.replace(filler, "")
            assert keeps_language(filler, rest) is not False
        assert keeps_language(" ".join(wording.fillers), report.replace(wording.fillers[0], "")) is True
        assert keeps_language(ENGLISH, report) is False
        for other in set(LANGUAGES) - {language}:
            assert keeps_language(" ".join(WORDINGS[other].fillers), report) is False


def test_english_records_are_in_english_and_their_own_sentences_keep_it():
    for problem in load_data("records", split="train", limit=30, min_words=80, max_words=100).problems:
        assert language_of(problem.document) == "en"
        assert keeps_language(problem.document[-120:], problem.document) is True
        assert keeps_language(ENGLISH, problem.document) is True
        assert keeps_language(" ".join(WORDINGS["es"].fillers), problem.document) is False


def test_names_and_numbers_tell_nothing_and_what_is_copied_is_kept():
    report = foreign_document("ru", np.random.default_rng(1), 1).document
    for text in ("", "20", "Hansen", "Hansen, 12.11.2026", "…", "Albatross 4312"):
        assert keeps_language(text, report) is None
    assert keeps_language("The Dorado arrives on Monday in Riga.", "20 30") is None
    mixed = report + " On the hull stands: Good winds for every honest sailor."
    assert keeps_language("Good winds for every honest sailor.", mixed) is True


def part(text, document, query):
    sample = Sample(Problem("p", document, query, "p"), Compression("p", text, (1, 2), "stop"), 0.0)
    return reward_parts(sample, Price(0.0, parts={"language": 0.5}), Objective()).get("language")


def test_the_part_costs_its_weight_and_leaves_questions_in_another_language_alone():
    german = foreign_document("de", np.random.default_rng(2), 1)
    assert part(ENGLISH, german.document, german.query) == -0.5
    assert part(WORDINGS["de"].fillers[0], german.document, german.query) == 0.0
    assert part("Hansen", german.document, german.query) is None
    assert part(ENGLISH, german.document, german.query_en) is None
