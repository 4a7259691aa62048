"""Tokens and chains as text and HTML."""

import math

import numpy as np

from infoagent.information import estimate_mi
from infoagent.information.analysis import analyse
from infoagent.information.scores import ScoreMatrix
from infoagent.reporting.information import information_lines, known, token_html, token_lines

FOUND = {"nats": [1.25, -0.5, 0.0], "posterior": [0.9, 0.8, 0.8], "identified_after": None, "total_nats": 0.75}


def analysed(log_probs, **more):
    matrix = ScoreMatrix(np.array(log_probs), np.arange(len(log_probs)), about={"estimand": "I(X;Z|Q)"}, **more)
    return analyse(matrix).to_dict()


def test_every_token_carries_its_number():
    lines = token_lines("p#0", ["Paris", "\n", "<b>"], FOUND, colour=False)
    assert lines == ["p#0: 0.75 nats, never identifies its document", "  Paris(+1.25)⏎(-0.50)<b>(+0.00)"]
    coloured = token_lines("p#0", ["Paris", "\n", "<b>"], {**FOUND, "identified_after": 2}, colour=True)
    assert "identifies its document after 2 tokens" in coloured[0]
    assert coloured[1].count("\x1b[48;5;") == 3


def test_html_is_escaped_and_coloured_by_sign():
    page = token_html("<p>", ["Paris", "\n", "<b>"], FOUND)
    assert "&lt;p&gt;" in page
    assert "&lt;b&gt;</span>" in page
    assert page.count("rgba(58,143,92") == 1
    assert 'title="-0.50 nats"' in page


def test_clipping_is_in_the_printed_line_only():
    found = analysed([[-5.0, -1.0], [-1.0, -5.0]])
    assert found["infonce_nats"] < 0
    shown, clipped = (information_lines(found, clip)[2] for clip in (False, True))
    assert f"{found['infonce_nats']:.4f} nats" in shown
    assert " 0.0000 nats" in clipped


def test_a_file_without_nan_reads_back_as_it_was():
    found = analysed([[-1.0, -5.0], [-5.0, -1.0]])
    assert known({"leave_one_out_nats": None, "chain": {"fact": None}, "ci_nats": [None, 1.0]})["chain"]["fact"] is None
    assert math.isnan(known({"leave_one_out_nats": None})["leave_one_out_nats"])
    assert found["infonce_nats"] == estimate_mi([[-1.0, -5.0], [-5.0, -1.0]], [0, 1]).infonce_nats
    assert found["chain"]["topic"] is None
    assert not any("chain of difficulty" in line for line in information_lines(found))
