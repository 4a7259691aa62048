r"""Right or wrong: the final answer of a piece of mathematics, as the same number or the same expression.

The final answer of a reply is what its last \boxed{…} holds, else what follows the last "answer is", else the right side of
its last equation, else all of it. Two plain quantities are compared as such (infoagent.grading.quantities, without
tolerance); anything else by math-verify (sympy on LaTeX), with its limit of time.
"""

from __future__ import annotations

import logging
import re

from infoagent.grading.quantities import Quantity, find_quantities, parse_quantity, same_quantity
from infoagent.grading.replies import Unreadable, after_cue, gives_up, some

_BOXED = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
LONGEST = 2_000
"""Characters of an expression."""
SECONDS = 5
"""For reading an expression and for comparing two: 9^{9^{9^9}} is soon written."""


def boxed(solution: str) -> str | None:
    r"""What stands in the last \boxed{…} (or \fbox{…}), braces balanced; \boxed 7 holds what stands before the next $.

    An escaped brace (\{) is a sign and not a bracket. None where there is no such place or its brace is never closed.
    """
    found = list(_BOXED.finditer(solution))
    if not found:
        return None
    start = found[-1].end()
    if not solution.startswith("{", start):
        return solution[start:].split("$")[0].strip() or None
    depth = 0
    position = start
    while position < len(solution):
        character = solution[position]
        if character == "\\":
            position += 1
        elif character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return solution[start + 1 : position].strip() or None
        position += 1
    return None


def final_answer(reply: str) -> str:
    """See the module. Raises Unreadable for an empty reply, reasoning that was cut off, and one that gives up."""
    text = reply.rpartition("</think>")[2].strip()
    if "<think>" in text:
        raise Unreadable("the reasoning was cut off")
    if (found := boxed(text)) is not None:
        return found
    said = after_cue(text)
    text = text if said is None else said
    if not text.strip():
        raise Unreadable("empty")
    if gives_up(text):
        raise Unreadable("gives no answer")
    line = text.strip().splitlines()[0 if said is not None else -1]
    return line.rpartition("=")[2].strip().strip("$ ").rstrip(".")


def same_mathematics(answer: str, found: str) -> bool:
    """Whether `found` is the number or expression `answer`. Raises Unreadable where `found` is neither, or several."""
    right = _plain_quantity(answer)
    if right is not None and "\\" not in found:
        whole = _plain_quantity(found)
        read = find_quantities(found, right.family) if whole is None else [whole]
        if len({(q.base, q.family) for q in read}) > 1:
            raise Unreadable(f"several numbers: {some([f'{q.value:g}' for q in read])}")
        if read:
            return same_quantity(read[0], right, 0.0)
        if not any(c.isdigit() for c in found):
            raise Unreadable("holds no number")
    return _same_expression(answer, found)


def _plain_quantity(text: str) -> Quantity | None:
    """None for what an accountant would read as a number and a mathematician as a pair: (1,2)."""
    return parse_quantity(text) if re.match(r"[-+−]?[$€£]?\s?\.?\d", text.strip()) else None


def _same_expression(answer: str, found: str) -> bool:
    if len(found) > LONGEST:
        raise Unreadable(f"an expression of {len(found)} characters")
    from math_verify import parse, verify

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it logs each expression that it cannot read
    gold, own = (parse(rf"\boxed{{{text}}}", parsing_timeout=SECONDS) for text in (answer, found))
    if not own:
        raise Unreadable("holds no number and no expression")
    return bool(gold) and bool(verify(gold, own, timeout_seconds=SECONDS))
