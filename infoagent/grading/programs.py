"""Right or wrong: code that a predictor wrote, by the tests of its problem."""

from __future__ import annotations

import ast
import re
import textwrap
import warnings

from infoagent.grading.answers import Grade
from infoagent.grading.replies import Unreadable
from infoagent.grading.sandbox import Limits, execute
from infoagent.types import Trial

_FENCE = re.compile(r"```(?:[\w+-]*\n)?(.*?)(?:```|\Z)", re.DOTALL)
_CODE_LINE = re.compile(r"(?:from|import|def|async def|class|@)\b|@\w")


def code_grade(
    reply: str,
    trial: Trial,
    limits: Limits = Limits(),  # noqa: B008 (frozen)
    unprotected: bool = False,
) -> Grade:
    """Whether the code of `reply` passes the tests of `trial`, in `infoagent.grading.sandbox`.

    A reply without the function is wrong and unparseable; code that fails its tests, hangs or crashes is wrong, and
    `detail` says how. Raises SandboxFailed where nothing can be run, which says nothing about the reply; `unprotected`
    runs it where the machine cannot keep it apart.
    """
    try:
        code = function_of(reply, trial)
    except Unreadable as error:
        return Grade("code", False, 0.0, None, True, detail=str(error))
    found = execute(_program(code, trial.head), trial.tests, trial.entry_point, trial.head, limits, unprotected)
    detail = found.reason if not found.detail else f"{found.reason}: {found.detail}"
    return Grade("code", found.passed, float(found.passed), code, False, detail=detail)


def _program(code: str, head: str) -> str:
    """Head and code, with what the code has from `__future__` in front: Python takes it nowhere else."""
    first = ""
    if "__future__" in code:
        tree = ast.parse(code)
        future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
        tree.body = [node for node in tree.body if node not in future]
        first, code = "".join(f"{ast.unparse(node)}\n" for node in future), ast.unparse(tree)
    return f"{first}{head}\n{code}\n"


def function_of(reply: str, trial: Trial) -> str:
    """The code of a reply that defines the function: of the last fenced block that does, else of the reply itself from
    its first line of code, as far as it is Python. A bare body is put under the head of the trial, where there is one.

    Raises Unreadable where there is no such code.
    """
    text = reply.rpartition("</think>")[2]
    if "<think>" in text:
        raise Unreadable("the reasoning was cut off")
    blocks = _FENCE.findall(text)
    for block in [*reversed(blocks), text]:
        lines = block.splitlines()
        starts = [i for i, line in enumerate(lines) if _CODE_LINE.match(line)]
        if starts and (code := _longest_python(lines[starts[0] :], trial.entry_point)):
            return code
    if trial.head.strip():
        body = blocks[-1] if blocks else text
        for indented in (body, textwrap.indent(textwrap.dedent(body), "    "), "    " + body.strip()):
            if body.strip() and _defines(trial.head + indented, trial.entry_point):
                return trial.head + indented
    raise Unreadable(f"no code that defines {trial.entry_point}")


def _longest_python(lines: list[str], name: str) -> str:
    """The longest beginning of `lines` that is Python and defines `name`; nothing where none does."""
    for end in range(len(lines), 0, -1):
        code = "\n".join(lines[:end])
        if _defines(code, name):
            return code
    return ""


def _defines(code: str, name: str) -> bool:
    try:
        return name in functions_of(code, "<reply>")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


def functions_of(code: str, file: str) -> set[str]:
    """Names of the functions that stand in `code`, outside of all others. Raises what the compiler does of code that is no
    Python: SyntaxError, ValueError, RecursionError, MemoryError. `file` is what its message calls it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an odd escape in a reply is nobody's warning here
        tree = ast.parse(code, filename=file)
        compile(tree, file, "exec")  # a return outside of a function is told here only
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
