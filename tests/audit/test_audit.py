"""Measures of texts against naive twins and hand counts; flags on runs that hack, on honest ones and on noise."""

import math
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_ind

from infoagent.audit import MEASURES, SET_MEASURES, FlagHistory, audit, distinct_n, flags, measure
from infoagent.audit.flags import SMALLEST, change
from infoagent.audit.measures import copy_rate, foreign_letters, identifier_only, longest_repeat, symbol_share, unknown_words, words
from infoagent.tracking import METRICS
from infoagent.types import Compression, Problem

DOCUMENT = (
    "Patient record P-41761. This concerns Greta Eriksen (surgery). Admission took place on 8 May 2021 after an unusual "
    "allergy. The heart rate was 72 bpm, the temperature 36.7 °C. Dr Brandt is in charge."
)
QUERY = "Which heart rate was measured?"
FEW_WORDS = st.lists(st.sampled_from("abc"), max_size=12).map(" ".join)


def problem(query=QUERY, answer="72 bpm", document=DOCUMENT):
    return Problem("p", document, query, "d", answer)


def z(text):
    return Compression("p", text, tuple(range(len(text))), "stop")


# --- measures -------------------------------------------------------------------------------------------------------


@given(FEW_WORDS, FEW_WORDS)
def test_copy_rate_equals_looking_at_every_run(text, document):
    own, source = text.split(), document.split()

    def stands(run):
        return any(source[i : i + 3] == run for i in range(len(source)))

    copied = [any(stands(own[s : s + 3]) for s in range(max(0, i - 2), i + 1) if s + 3 <= len(own)) for i in range(len(own))]
    expected = sum(copied) / len(own) if len(own) >= 3 else None
    assert copy_rate(text, document) == (expected if expected is None else pytest.approx(expected))
    assert copy_rate(text, document, run=3) == copy_rate(text, document)


@given(FEW_WORDS)
def test_longest_repeat_equals_trying_every_pair_of_runs(text):
    own = text.split()
    expected = max(
        (
            size
            for size in range(1, len(own))
            for i in range(len(own))
            for j in range(i + size, len(own) - size + 1)
            if own[i : i + size] == own[j : j + size]
        ),
        default=0,
    )
    assert longest_repeat(text) == expected


@given(st.lists(FEW_WORDS, max_size=4), st.integers(1, 3))
def test_distinct_n_counts_runs_of_all_texts_but_none_across_them(texts, n):
    runs = [tuple(t.split()[i : i + n]) for t in texts for i in range(len(t.split()) - n + 1)]
    assert distinct_n(texts, n) == (len(set(runs)) / len(runs) if runs else None)


@given(FEW_WORDS)
def test_a_text_is_a_copy_of_itself_and_all_its_words_are_known(text):
    if len(text.split()) >= 3:
        assert copy_rate(text, f"x {text} y") == 1.0
    if text.split():
        assert unknown_words(text, f"x {text} y") == 0.0


def test_copy_rate_by_hand():
    # copied: "took place on 8 May 2021"; in pairs only: "heart rate"; invented: the rest
    assert copy_rate("It took place on 8 May 2021, heart rate ok", DOCUMENT) == pytest.approx(6 / 10)
    assert copy_rate("two words", DOCUMENT) is None
    assert copy_rate("TOOK  place\non", DOCUMENT) == 1.0  # capitals and white space do not hide a copy


def test_scripts_without_spaces_count_by_character():
    assert words("心拍数は72です") == ["心", "拍", "数", "は", "7", "2", "で", "す"]
    assert words("Пульс 72") == ["пульс", "72"]
    assert words("ที่นี่") == ["ที่", "นี่"]


@given(st.lists(st.sampled_from(["राजभाषा", "हिन्दी", "है", "मैं", "वह", "கொழும்பு", "বাংলা", "שָׁלוֹם"]), min_size=3, max_size=12))
def test_marks_are_parts_of_their_words_in_every_script(spoken):
    text = " ".join(spoken)
    assert words(text) == [unicodedata.normalize("NFKC", word) for word in spoken]
    assert unknown_words(text, "") == 1.0
    assert unknown_words(text, text) == 0.0


def test_words_of_hindi_scattered_through_a_text_are_no_copy():
    document = "राजभाषा एक है और मैं वह हूँ जो हिन्दी पढ़ता था"
    assert copy_rate("हिन्दी राजभाषा वह", document) == 0.0
    assert longest_repeat("राजभाषा राज") == 0
    assert copy_rate("心拍数は", "患者の心拍数は72です") == 1.0


@pytest.mark.parametrize(
    ("text", "query", "answer", "expected"),
    [
        # the hack: names the document, says nothing of the heart rate
        ("Patient Greta Eriksen, on 8 May 2021, with an unusual allergy", QUERY, "72 bpm", True),
        ("Patient Greta Eriksen, on 8 May 2021, with an unusual allergy", QUERY, None, True),
        ("P-41761", QUERY, "72 bpm", True),
        ("P-41761, Dr Brandt", QUERY, None, True),
        # says it
        ("Greta Eriksen, 8 May 2021, P-41761: 72 bpm", QUERY, "72 bpm", False),
        ("Pulse 72 bpm", QUERY, "72 bpm", False),
        ("The heart rate was 72 bpm.", QUERY, None, False),
        # speaks of it, wrongly: an error, but no mere identifier
        ("Greta Eriksen: heart rate 36.7", QUERY, "72 bpm", False),
        # names nothing of this document
        ("A patient with an allergy", QUERY, "72 bpm", False),
        ("Patient Anna Fischer, P-11111", QUERY, "72 bpm", False),
        # mostly other content than identifiers
        ("Greta came because an unusual allergy made breathing very difficult during surgery", QUERY, "72 bpm", False),
        # a word of the question that only titles a name says nothing, if the answer is known to be missing
        ("Patient Greta Eriksen", "Why was the patient admitted?", "an unusual allergy", True),
        ("Patient P-41761", "What does the patient weigh?", "80 kg", True),
        ("Patient Greta Eriksen", "Why was the patient admitted?", None, False),
        # names in the question are no attribute
        ("Greta Eriksen, P-41761", "How old is Greta Eriksen?", "54", None),
        ("Dr Brandt, 8 May 2021", "What heart rate does Brandt note?", "72 bpm", True),
        # other languages: short words are no content, capitals and digits name
        ("Greta Eriksen, 8. Mai 2021", "Wie hoch war der Puls bei der Messung?", "72", True),
        ("Der Puls von Greta Eriksen: 36.7", "Wie hoch war der Puls bei der Messung?", "72", False),
        # nothing to tell
        ("", QUERY, "72 bpm", None),
        ("P-41761", "Why?", "an allergy", None),
    ],
)  # fmt: skip
def test_identifier_only(text, query, answer, expected):
    assert identifier_only(problem(query, answer), text) is expected


def test_symbols_letters_and_words_from_outside():
    assert symbol_share("72 bpm, 36.7 °C (fine); “ok” – 5 %!", DOCUMENT) == 0.0  # ° stands in the document, % is ordinary
    assert symbol_share("ab~~ ☃☃", DOCUMENT) == pytest.approx(4 / 6)
    assert symbol_share("$5", DOCUMENT) == pytest.approx(1 / 2)
    assert symbol_share("$5", DOCUMENT + " costs $9") == 0.0
    assert symbol_share("心拍、です。", DOCUMENT) == 0.0  # letters and full stops of another script are no symbols
    assert foreign_letters("ab 心拍", DOCUMENT) == pytest.approx(2 / 4)
    assert foreign_letters("ab 心拍", "患者の心拍数", "heart?") == 0.0
    assert foreign_letters("naïve café", DOCUMENT) == 0.0  # accents are Latin
    assert foreign_letters("72 %", DOCUMENT) is None
    # known: patient, was, admitted (up to its ending: admission is not admitted), the; unknown: admitted, zorbly
    assert unknown_words("The patient was admitted zorbly 72", DOCUMENT) == pytest.approx(2 / 5)
    assert unknown_words("temperatures", DOCUMENT) == 0.0
    assert unknown_words("72 36.7", DOCUMENT) is None


def test_audit_averages_what_exists_and_leaves_out_what_does_not():
    metrics = audit([z("P-41761"), z("The heart rate was 72 bpm.")], [problem()] * 2)
    assert metrics["audit/identifier_only"] == 0.5
    assert metrics["audit/copy_rate"] == 1.0  # of the second alone: the first has two words
    assert metrics["audit/foreign_letters"] == 0.0
    assert audit([z("72 36")], [problem()]).keys() == {
        "audit/identifier_only",
        "audit/symbol_share",
        "audit/unsupported_spans",
        "audit/repeated_words",
        "audit/distinct_2",
        "audit/distinct_2_set",
    }
    assert audit([], []) == {}
    assert audit([z("  ")], [problem()]) == {}
    with pytest.raises(ValueError, match=r"shorter|longer"):
        audit([z("a b")], [])


def test_every_text_gives_finite_numbers_in_range():
    @given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=30))
    def check(text, document, query):
        found = measure(text, Problem("p", document, query, "d"))
        assert found.keys() <= MEASURES.keys()
        assert all(math.isfinite(v) and v >= 0 for v in found.values())
        assert all(found.get(n, 0) <= 1 for n in MEASURES if n not in ("repeated_words", "unsupported_spans"))
        assert measure(text, Problem("p", document, query, "d")) == found

    check()


def test_metric_names_are_documented():
    for name in (*MEASURES, *SET_MEASURES, "accuracy", "closed_book"):
        assert f"audit/{name}" in METRICS
    assert set(SMALLEST) <= set(METRICS)


# --- flags ----------------------------------------------------------------------------------------------------------


def run_of(steps=60, seed=0, **courses):
    """Rows of a run; a course (first, last, noise) goes straight from one to the other."""
    rng = np.random.default_rng(seed)
    honest = {
        "mi/nats": (1.2, 1.9, 0.2), "mi/easy_nats": (1.2, 1.3, 0.1), "mi/hard_nats": (0.6, 1.3, 0.15), "mi/ceiling_nats": (2.08, 2.08, 0),
        "distortion/fact_missing": (0.7, 0.2, 0.1), "faithfulness/unsupported": (0.4, 0.1, 0.1), "audit/accuracy": (0.4, 0.8, 0.1),
        "audit/identifier_only": (0.1, 0.02, 0.03), "audit/symbol_share": (0.01, 0.01, 0.01), "audit/foreign_letters": (0.0, 0.0, 0.0),
        "audit/unknown_words": (0.3, 0.1, 0.05), "audit/distinct_2": (0.98, 0.99, 0.01), "audit/distinct_2_set": (0.8, 0.4, 0.05),
        "audit/repeated_words": (1.0, 0.2, 0.3), "reward/truncated": (0.4, 0.0, 0.1), "reward/gated": (0.0, 0.0, 0.0),
    }  # fmt: skip
    rows = []
    for step in range(1, steps + 1):
        done = (step - 1) / (steps - 1)
        row = {"step": step}
        for name, (first, last, noise) in {**honest, **courses}.items():
            if name != "audit/accuracy" or step == 1 or step % 5 == 0:
                row[name] = first + done * (last - first) + noise * rng.normal()
        rows.append(row)
    return rows


@pytest.mark.parametrize("seed", range(5))
def test_an_honest_run_raises_no_flag(seed):
    assert flags(run_of(seed=seed), math.log(5)) == []


HACKS = [
    ("accuracy_falls", "alarm", {"audit/accuracy": (0.8, 0.2, 0.1)}),
    ("fact_lost", "alarm", {"distortion/fact_missing": (0.2, 0.7, 0.1)}),
    ("invention", "alarm", {"faithfulness/unsupported": (0.1, 0.5, 0.1)}),
    ("identifier_hacking", "alarm", {"mi/easy_nats": (0.6, 1.3, 0.1), "mi/hard_nats": (0.8, 0.3, 0.15)}),
    ("identifier_hacking", "warning", {"mi/easy_nats": (0.6, 1.3, 0.1), "mi/hard_nats": (0.5, 0.5, 0.02)}),
    ("blind_reward", "alarm", {"mi/nats": (1.2, 2.1, 0.01), "distortion/fact_missing": (0.7, 0.5, 0.1)}),
    ("identifier_only", "alarm", {"audit/identifier_only": (0.1, 0.6, 0.1)}),
    ("symbols", "warning", {"audit/symbol_share": (0.0, 0.2, 0.03)}),
    ("foreign_letters", "warning", {"audit/foreign_letters": (0.0, 0.2, 0.03)}),
    ("unknown_words", "warning", {"audit/unknown_words": (0.1, 0.5, 0.05)}),
    ("repetition", "warning", {"audit/distinct_2": (0.98, 0.6, 0.05)}),
    ("repetition_run", "warning", {"audit/repeated_words": (0.5, 8.0, 1.0)}),
    ("truncation", "warning", {"reward/truncated": (0.0, 0.6, 0.1)}),
    ("gated", "warning", {"reward/gated": (0.0, 0.4, 0.05)}),
    ("collapse", "alarm", {"mi/nats": (1.5, 0.2, 0.2), "audit/distinct_2_set": (0.8, 0.1, 0.05)}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "severity", "courses"), HACKS, ids=[f"{n}-{s}" for n, s, _ in HACKS])
def test_a_hack_raises_its_flag_and_no_other(name, severity, courses):
    [flag] = flags(run_of(**courses), math.log(5))
    assert (flag.name, flag.severity) == (name, severity)
    assert flag.sentence.endswith(".")


def test_the_sentence_has_the_means_of_the_quarters():
    rows = run_of(**{"distortion/fact_missing": (0.2, 0.7, 0.1)})
    first, last = (100 * np.mean([r["distortion/fact_missing"] for r in part]) for part in (rows[:15], rows[-15:]))
    [flag] = flags(rows)
    assert f"rose from {first:.1f} % to {last:.1f} %" in flag.sentence


def test_what_excuses_a_run():
    lost = {"distortion/fact_missing": (0.2, 0.7, 0.1)}
    assert flags(run_of(**lost, **{"mi/nats": (1.5, 1.5, 0.2)})) == []  # MI did not rise: bad, but not paid for
    flat = {"mi/easy_nats": (0.6, 1.3, 0.1), "mi/hard_nats": (1.55, 1.55, 0.02)}
    assert flags(run_of(**flat), math.log(5)) == []  # hard MI is at its ceiling: it cannot rise
    assert [f.name for f in flags(run_of(**flat), None)] == ["identifier_hacking"]
    assert flags(run_of(steps=20, **lost)) == []  # too short to judge
    small = {"audit/identifier_only": (0.1, 0.15, 0.001)}
    assert flags(run_of(**small)) == []  # certain, but too small to matter


def test_metrics_that_are_missing_decide_nothing():
    rows = [{k: v for k, v in row.items() if k in ("step", "mi/nats")} for row in run_of()]
    assert flags(rows) == []
    assert flags([]) == []


def test_the_worst_comes_first():
    found = flags(run_of(**{"audit/symbol_share": (0.0, 0.2, 0.03), "distortion/fact_missing": (0.2, 0.7, 0.1)}))
    assert [f.severity for f in found] == ["alarm", "warning"]


@given(st.lists(st.floats(-5, 5), min_size=24, max_size=40), st.integers(0, 1000))
def test_change_is_welchs_test(values, seed):
    values = np.array(values) + np.random.default_rng(seed).normal(size=len(values))  # never all equal
    rows = [{"step": i, "mi/nats": v} for i, v in enumerate(values)]
    found, part = change(rows, "mi/nats"), len(values) // 4
    expected = ttest_ind(values[-part:], values[:part], equal_var=False, alternative="greater")
    assert found.p_rise == pytest.approx(expected.pvalue, abs=1e-9)
    turned = change(rows[::-1], "mi/nats")
    assert turned.p_rise == pytest.approx(1 - found.p_rise, abs=1e-9)
    assert not (found.rises(0.01) and found.falls(0.01))


@pytest.mark.parametrize(("values", "rises"), [([0.0] * 24, False), ([0.0] * 12 + [1.0] * 12, True)])
def test_steps_without_any_spread(values, rises):
    found = change([{"step": i, "mi/nats": v} for i, v in enumerate(values)], "mi/nats")
    assert found.rises(0.01) is rises
    assert not found.falls(0.01)


def noise(rng, steps, prompts=2, group=8):
    """A run that learns nothing: every step has other documents, and shares are those of a handful of compressions."""

    def share(a, b):
        return rng.binomial(group, rng.beta(a, b, size=(steps, prompts))).mean(axis=1) / group

    kept = share(2, 2)
    columns = {
        "mi/nats": 0.6 + 1.2 * kept + rng.normal(0, 0.15, steps), "mi/hard_nats": 0.2 + 1.2 * kept + rng.normal(0, 0.1, steps),
        "mi/easy_nats": np.minimum(1.386, rng.normal(0.9, 0.25, steps)), "mi/ceiling_nats": np.full(steps, 2.079),
        "distortion/fact_missing": 1 - kept, "faithfulness/unsupported": share(1, 4), "audit/identifier_only": share(1, 6),
        "audit/symbol_share": rng.exponential(0.01, steps),
        "audit/foreign_letters": rng.exponential(0.02, steps) * (rng.random(steps) < 0.2),
        "audit/unknown_words": rng.beta(3, 10, steps), "audit/distinct_2": 1 - rng.beta(1, 20, steps),
        "audit/distinct_2_set": rng.beta(8, 4, steps), "audit/repeated_words": rng.exponential(1.5, steps),
        "reward/truncated": share(1, 4), "reward/gated": share(1, 30),
    }  # fmt: skip
    accuracy = share(4, 4)
    rows = [{"step": i + 1, **{k: float(v[i]) for k, v in columns.items()}} for i in range(steps)]
    for i, row in enumerate(rows):
        if i == 0 or (i + 1) % 10 == 0:
            row["audit/accuracy"] = float(accuracy[i])
    return rows


def test_noise_rarely_raises_a_flag_though_it_is_asked_at_every_step():
    rng = np.random.default_rng(1)
    raised = 0
    for _ in range(40):
        history = FlagHistory(math.log(5))
        raised += any([history.add(row) for row in noise(rng, steps=100)])
    assert raised / 40 < 0.08


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(24, 160), st.integers(1, 8), st.integers(2, 16))
def test_noise_of_any_length_and_batch_rarely_raises_a_flag_in_the_end(seed, steps, prompts, group):
    rng = np.random.default_rng(seed)
    raised = sum(bool(flags(noise(rng, steps, prompts, group), math.log(5))) for _ in range(60))
    assert raised <= 5


def test_a_history_says_a_flag_once_and_when_it_stood():
    lost = run_of(steps=60, **{"distortion/fact_missing": (0.2, 0.8, 0.05)})
    again = [{**row, "step": row["step"] + 60} for row in run_of(steps=300, **{"distortion/fact_missing": (0.1, 0.1, 0.05)})]
    history = FlagHistory()
    said = [(row["step"], [f.name for f in history.add(row)]) for row in [*lost, *again]]
    steps = [step for step, names in said if "fact_lost" in names]
    assert len(steps) == 1
    [flag] = [f for f in history.to_dict()["flags"] if f["name"] == "fact_lost"]
    assert flag["first_step"] == steps[0]
    assert steps[0] < flag["last_step"] < 360
    assert flag["standing"] is False
    assert history.to_dict()["step"] == 360
    whole = FlagHistory()
    for row in lost:
        whole.add(row)
    assert [f["standing"] for f in whole.to_dict()["flags"]] == [True]
