"""Histories with known facts: what a version changes, where a fact stands, and what a user's file must look like."""

import json

import pytest

from infoagent.data.counterfactual.documents import span_pattern
from infoagent.data.reading.chat_logs import MESSAGES, SPEAKERS
from infoagent.data.sets.histories import Wanted, load_histories
from infoagent.types import InputError

WANTED = Wanted(turns=6, asked=2, versions=3)
NAMES = ("Anna Lind", "Bo Ek", "Carl Dahl", "Dora Berg", "Egil Holm", "Frida Sund", "Gustav Falk", "Hanna Strand")


def talk(number, turns=6, **more):
    """A conversation whose turns tell who bought what; every number stands in one turn only."""
    messages = []
    for t in range(turns):
        lot = 1000 * (number + 1) + 37 * t
        messages += [
            {"role": "user", "content": f"Please note that {NAMES[(number + t) % 8]} has bought lot number {lot} today."},
            {"role": "assistant", "content": "Noted."},
        ]
    return {"id": f"talk{number}", "turns": messages, **more}


def write(path, rows):
    path.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture(scope="module")
def seeded():
    return load_histories("records", WANTED, limit=12, seed=3)


def test_a_version_of_a_seeded_history_differs_in_one_fact_of_one_turn(seeded):
    for history in seeded.histories:
        assert [p.turn for p in history.probes] == [0, 1]
        assert len({turn.split("concerns ")[1].split(" (")[0] for turn in history.turns}) == 6, "six subjects"
        for probe in history.probes:
            assert [t for t, text in enumerate(history.turns) if probe.answer in text] == [probe.turn]
            assert probe.query.split(":")[0].removeprefix("About ") in history.turns[probe.turn]
            changed = [history.version(probe, v) for v in range(4)]
            assert changed[0] == history.turns
            assert len(set(changed)) == 4
            for version in changed[1:]:
                assert [a == b for a, b in zip(version, history.turns, strict=True)].count(False) == 1
                assert probe.answer not in "\n".join(version)
                before, after = history.turns[probe.turn].split(probe.answer)
                assert version[probe.turn].startswith(before)
                assert version[probe.turn].endswith(after)
            assert probe.answer in probe.choices
            assert len(set(probe.choices)) == 4
            assert not any(c in "\n".join(history.turns) for c in probe.choices if c != probe.answer)


def test_a_seeded_history_depends_on_its_number_and_the_seed_alone(seeded):
    again = load_histories("records", WANTED, limit=3, seed=3)
    assert again.histories == seeded.histories[:3]
    assert again.revision == seeded.revision
    assert load_histories("records", WANTED, limit=3, seed=4).histories[0].turns != again.histories[0].turns


def test_own_conversations_are_asked_by_blanks_with_exact_versions(tmp_path):
    rows = [talk(n) for n in range(8)] + [talk(8, turns=5)]
    found = load_histories("conversations", WANTED, path=write(tmp_path / "t.jsonl", rows))
    assert found.left_out == {"fewer than 6 turns": 1}
    assert sorted(h.id for h in found.histories) == [f"talk{n}" for n in range(8)]
    for history in found.histories:
        assert history.turns[0].startswith("User: Please note that")
        assert history.turns[0].endswith("\nAssistant: Noted.")
        for probe in history.probes:
            assert "____" in probe.query
            assert probe.answer not in probe.query
            for version in probe.versions:
                assert version != history.turns[probe.turn]
                assert not span_pattern(probe.answer).search(version)


def test_own_probes_are_held_to_what_they_say(tmp_path):
    good = {"turn": 1, "question": "Which lot?", "answer": "1037", "choices": ["1037", "5", "6"]}
    path = write(tmp_path / "t.jsonl", [talk(0, probes=[good]), talk(1), talk(2)])
    histories = {h.id: h for h in load_histories("conversations", WANTED, path=path).histories}
    [probe] = histories["talk0"].probes
    assert (probe.turn, probe.query, probe.answer, probe.choices) == (1, "Which lot?", "1037", ("1037", "5", "6"))
    assert probe.versions[0].startswith(histories["talk0"].turns[1].replace("1037", "5"))
    bad = [
        talk(0, probes=[{**good, "turn": 4}]),
        talk(1, probes=[{**good, "answer": "Noted"}, {**good, "answer": "2037", "choices": ["1", "2"]}]),
        talk(1),
        {"id": "x", "turns": [{"role": "robot", "content": "hello"}]},
        {"id": "y", "turns": []},
        {"id": "z"},
    ]
    path = write(tmp_path / "bad.jsonl", bad)
    with pytest.raises(InputError) as error:
        load_histories("conversations", WANTED, path=path)
    assert error.value.problems == [
        f"{path}: row 1: field 'probes[0].turn': 4 is not asked about; allowed are 0 to 1 (`asked` of the recipe, and the "
        "turns that are there)",
        f"{path}: row 2: field 'probes[0].answer': 'Noted' must stand in turn 1 alone, it stands in turns 0, 1, 2, 3, 4, 5",
        f"{path}: row 2: field 'probes[0].choices': must be two or more different texts with the answer among them",
        f"{path}: row 2: field 'probes[1].choices': must be two or more different texts with the answer among them",
        f"{path}: row 3: field 'id': 'talk1' stands already at {path}: row 2; ids must differ",
        f"{path}: row 4: field 'turns[0].role': must be one of {', '.join(SPEAKERS)}, got str 'robot'",
        f"{path}: row 5: field 'turns': must be a list of at least 1, this one has 0",
        f"{path}: row 6: no messages; a conversation has them in one of the fields {', '.join(MESSAGES)}",
    ]


def test_wildchat_users_become_histories_turn_by_turn(tmp_path):
    rows = []
    for number in range(20):
        messages = [m for m in talk(number, turns=2)["turns"]]
        rows.append(
            {
                "conversation_hash": f"h{number:02d}",
                "timestamp": f"2023-04-09T{number:02d}:00:00+00:00",
                "turn": 4,
                "language": "English",
                "conversation": messages,
            }
        )
    found = load_histories("wildchat", WANTED, path=write(tmp_path / "w.jsonl", rows))
    assert sorted(h.id for h in found.histories) == ["user-0000", "user-0001"]
    second = next(h for h in found.histories if h.id == "user-0001")
    assert [turn.split("lot number ")[1].split()[0] for turn in second.turns] == [
        "11000",
        "11037",
        "12000",
        "12037",
        "13000",
        "13037",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "record"}, "'record' is unknown; allowed: records, conversations, wildchat"),
        ({"name": "records", "path": "x"}, "data.name=records is built in"),
        ({"name": "conversations"}, "data.name=conversations needs the file"),
        ({"name": "conversations", "path": "nowhere.jsonl"}, "no such file or folder"),
        ({"name": "conversations", "path": "FILE", "min_words": 3}, "they are the length of a record"),
        ({"name": "conversations", "path": "FILE"}, "none of 3 conversations can be used"),
        ({"name": "records", "max_words": 2}, "data.max_words = 2: 0 records of such a length"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, arguments, message):
    path = write(tmp_path / "t.jsonl", [talk(n, turns=2) for n in range(3)])
    arguments = {k: path if v == "FILE" else v for k, v in arguments.items()}
    with pytest.raises(InputError, match=message):
        load_histories(**{"wanted": WANTED, **arguments})
