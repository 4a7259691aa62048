"""Every regular expression of the package costs time in proportion to its text, on texts made to hurt it.

All patterns are found in the source: those kept in a module, alone or in a table, and those written where they are used.
Each is tried with the methods that it is used with, on long repetitions of its own signs and words."""

import ast
import importlib
import pkgutil
import re
import signal
import time

import pytest
import regex
from conftest import ROOT

import infoagent

SHORT, TIMES = 2_000, 8
SUSPECT_SECONDS = 0.003
"""Of the processor for the short text: ten times what a linear pattern takes. Then one TIMES as long is tried as well."""
MOST_GROWTH, TICKS = 3, 0.02
"""A text TIMES as long takes as long as TIMES short ones; where the time is quadratic, TIMES as long. Timers tick in 4 ms."""
STOP_SECONDS = 2
ON_SHORT_TEXTS = (r"([\w'’]+|[^\w\s])\s*$",)
"""Written in place, on the 24 characters before a word."""
METHODS = ("search", "match", "fullmatch", "finditer", "findall", "sub", "subn", "split")
COMMON = (
    "a", "A", "1", " ", "\n", "\t", ".", ",", "-", "_", "[", "(", "{", '"', "'", "`", "*", ":", "<", "\\", "|", "&", "/", "é", "中",
    "a ", "A ", "Aa ", "1 ", "1,", "1.", "a.", "a-", "aB", "A.", "a_", "  \n", " \n", "- ", "1. ", "[1]", "1-", ". ", "a\n", "()",
    '{"', "```", "a1", "$1", " (", "\n\n", "-1", "1:", "a'", "1 000",
)  # fmt: skip
SHORT_TEXTS = {"_SENTENCE_END": 12, "_ABBREVIATION": 12, "_CAPITAL_BEFORE": 40}
"""By name, patterns that look back from a place, and the characters that they are given."""


def named_patterns():
    """(place, pattern) of all patterns that modules keep, alone or in a table."""
    for module in pkgutil.walk_packages(infoagent.__path__, "infoagent."):
        if module.name.endswith("__main__") or "vllm" in module.name:
            continue
        for name, value in vars(importlib.import_module(module.name)).items():
            held = value.values() if isinstance(value, dict) else value if isinstance(value, tuple | list) else [value]
            for pattern in held:
                if isinstance(pattern, re.Pattern | regex.Pattern):
                    yield name, pattern


def source_patterns():
    """(method, pattern) of all that are written where they are used, and {name: methods} of the named ones."""
    written, uses = [], {}
    for path in sorted((ROOT / "infoagent").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
                continue
            owner = ast.unparse(node.func.value)
            if owner not in ("re", "regex"):
                uses.setdefault(owner.split(".")[-1].split("[")[0], set()).add(node.func.attr)
            elif isinstance(node.args[0], ast.Constant) and node.args[0].value not in ON_SHORT_TEXTS:
                library = re if owner == "re" else regex
                written.append((node.func.attr, library.compile(node.args[0].value)))
    return written, uses


def collected():
    written, uses = source_patterns()
    found = {}
    for method, pattern in written:
        found.setdefault((pattern.pattern, pattern.flags), (pattern, set()))[1].add(method)
    for name, pattern in named_patterns():
        if name not in SHORT_TEXTS:
            found.setdefault((pattern.pattern, pattern.flags), (pattern, set()))[1].update(uses.get(name, {"finditer"}))
    return list(found.values())


def texts(pattern):
    """Functions from a length to a text."""
    own = {c for c in re.sub(r"\\[a-zA-Z]", "", pattern.pattern) if c.isprintable()}
    words = re.findall(r"[A-Za-z]{2,}", re.sub(r"\\.", "", pattern.pattern))[:30]
    units = dict.fromkeys([*COMMON, *sorted(own), *words, *(f"{word} " for word in words)])
    for unit in units:
        for before, after in (("", ""), ("", "!"), ("x", "~\x00")):
            yield lambda size, unit=unit, before=before, after=after: before + unit * (size // len(unit)) + after


def run(pattern, method, text):
    if method in ("sub", "subn"):
        return getattr(pattern, method)("", text)
    found = getattr(pattern, method)(text)
    return list(found) if method == "finditer" else found


class TooLong(Exception):
    pass


def seconds(pattern, method, text, times=1):
    start = time.process_time()
    for _ in range(times):
        run(pattern, method, text)
    return time.process_time() - start


def grows(pattern, method, text):
    """Whether a long text takes more time than its short pieces, asked twice: what else the machine does adds to a time."""
    short, long = text(SHORT), text(SHORT * TIMES)
    return all(seconds(pattern, method, long) > MOST_GROWTH * seconds(pattern, method, short, TIMES) + TICKS for _ in range(2))


def slow_text(pattern, methods):
    """The first text that the pattern takes too long on, as (method, text); None where there is none."""

    def stop(*_):
        raise TooLong

    suspect = SUSPECT_SECONDS
    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, STOP_SECONDS)
    try:
        for text in texts(pattern):
            for method in sorted(methods):
                signal.setitimer(signal.ITIMER_VIRTUAL, STOP_SECONDS)
                try:
                    short = seconds(pattern, method, text(SHORT))
                    if short > suspect:
                        if grows(pattern, method, text):
                            return method, text(SHORT)
                        suspect = 1.2 * short  # slow and linear; another text is suspect where it is slower still
                except TooLong:
                    return method, text(SHORT)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
    return None


def test_all_patterns_of_the_package_are_linear():
    patterns = collected()
    assert len(patterns) > 200
    assert sum(isinstance(pattern, regex.Pattern) for pattern, _ in patterns) > 20
    slow = []
    for pattern, methods in patterns:
        if found := slow_text(pattern, methods):
            slow.append(f"{found[0]} of {pattern.pattern[:200]!r} on {found[1][:12]!r}…")
    assert not slow, "\n".join(slow)


@pytest.mark.parametrize("quadratic", [r"\s*\n", r"(a+)+b", r"\d+(?:,\d+)*x", r"[ \t]+$"])
def test_patterns_that_are_not_are_found(quadratic, monkeypatch):
    """Of the test itself: each of these costs the square of its text, or worse."""
    monkeypatch.setitem(globals(), "STOP_SECONDS", 0.5)
    assert slow_text(re.compile(quadratic), {"finditer"}) is not None
