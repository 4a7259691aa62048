"""Chat templates: a chat as token ids, the token that ends an assistant's turn, and the date that a template prints.

A template is a program of the model's authors. What is asked of it here is only what it prints: the roles and control
tokens around the texts. Texts themselves are hidden from it as far as they look like control tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from infoagent.lm.control_tokens import control_tokens, meant_ids
from infoagent.store import template_date
from infoagent.types import InputError

Chat = Sequence[Mapping[str, str]]
PROBES = ("Probequestion", "Probereply")
"""Texts that no template knows, by which it is seen where a template puts what it is given."""
_PARTS: WeakKeyDictionary[Any, tuple[str, bool]] = WeakKeyDictionary()
_ENDS: WeakKeyDictionary[Any, tuple[str, int, int]] = WeakKeyDictionary()


def chat_template_ids(tokenizer: Any, messages: Chat, **switches: Any) -> list[int]:
    """Token ids of a chat up to and including the assistant's header. Control tokens in the messages are plain text.

    `switches` are variables of the template. Raises InputError for a model without a template, and for a template that
    leaves out what it is given.
    """
    control, hidden = control_tokens(tokenizer), list[str]()
    if not any(control.stand_in(m["content"]) for m in messages):
        return meant_ids(tokenizer, render(tokenizer, messages, add_generation_prompt=True, **switches))
    marked = [{**m, "content": control.hide(_behind_thought(tokenizer, m), hidden)} for m in messages]
    return control.encode(render(tokenizer, marked, add_generation_prompt=True, **switches), hidden)


def _behind_thought(tokenizer: Any, message: Mapping[str, str]) -> str:
    """Templates of thinking models drop the thoughts of earlier turns by their closing marks, which are hidden here."""
    content = message["content"]
    marks = template_marks(tokenizer)
    if message["role"] != "assistant" or marks is None or marks[1] not in content:
        return content
    return content.rpartition(marks[1])[2].lstrip()


MARKS = (("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"))
"""What opens and closes a thought; the first is taken for models that are asked in words."""


def template_marks(tokenizer: Any) -> tuple[str, str] | None:
    """What opens and closes a thought of this model, read off its chat template; None for one without a thinking mode."""
    template = tokenizer.chat_template or ""
    return next((marks for marks in MARKS if marks[1] in template), None)


def render(tokenizer: Any, messages: Chat, **variables: Any) -> str:
    """What the template prints, dated by `template_date`."""
    if not tokenizer.chat_template:
        raise InputError(f"model {tokenizer.name_or_path!r}: its tokenizer has no chat template; use an instruction-tuned model")
    return _render(tokenizer, messages, _wants_parts(tokenizer), **variables)


def _render(tokenizer: Any, messages: Chat, in_parts: bool, **variables: Any) -> str:
    chat: list[dict[str, Any]] = [dict(m) for m in messages]
    if in_parts:
        chat = [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in chat]
    variables["strftime_now"] = template_date().strftime  # a template's own clock would print another day tomorrow
    return str(tokenizer.apply_chat_template(chat, tokenize=False, **variables))


def _wants_parts(tokenizer: Any) -> bool:
    """Whether the template takes a text as a list of parts, as those of models that see do: such a one drops a plain
    string in silence, and the document with it."""
    template = str(tokenizer.chat_template)
    known = _PARTS.get(tokenizer)
    if known is None or known[0] != template:
        known = _PARTS[tokenizer] = template, _probe_parts(tokenizer)
    return known[1]


def _probe_parts(tokenizer: Any) -> bool:
    from jinja2 import TemplateError

    cause = "it leaves out what the user says"
    for in_parts in (False, True):
        try:
            said = _render(tokenizer, [{"role": "user", "content": PROBES[0]}], in_parts, add_generation_prompt=True)
        except (TemplateError, TypeError, AttributeError) as error:
            cause = (str(error).strip() or type(error).__name__).splitlines()[0]
            continue
        if PROBES[0] in said:
            return in_parts
    raise InputError(
        f"model {tokenizer.name_or_path!r}: its chat template takes no chat of one user ({cause}); give the model another "
        "one as chat_template.jinja"
    )


def end_of_turn_id(tokenizer: Any) -> int:
    """The token that ends an assistant's turn: the first control token behind what the assistant said.

    Read off the chat template as it prints a closed turn, or, where it leaves the last one open, one that is gone on
    from (GLM ends its turns by the user's header); else the tokenizer's EOS. Raises InputError where there is none, and
    for a template that does not print what the assistant says.
    """
    template = str(tokenizer.chat_template)
    known = _ENDS.get(tokenizer)
    if known is None or known[:2] != (template, len(tokenizer)):
        known = _ENDS[tokenizer] = template, len(tokenizer), _find_end(tokenizer)
    return known[2]


def _find_end(tokenizer: Any) -> int:
    user, assistant = ({"role": r, "content": c} for r, c in zip(("user", "assistant"), PROBES, strict=True))
    control = control_tokens(tokenizer)
    for chat in ([user, assistant], [user, assistant, user]):
        behind = _behind(tokenizer, chat)
        if (found := control.pattern.search(behind)) is not None:
            return control.ids[found[0]]
    if tokenizer.eos_token_id is None:
        raise InputError(f"model {tokenizer.name_or_path!r}: neither its template nor its tokenizer has an end of turn")
    return int(tokenizer.eos_token_id)


def _behind(tokenizer: Any, chat: Chat) -> str:
    """What the template prints behind the assistant's reply, up to the next text."""
    from jinja2 import TemplateError

    try:
        said = render(tokenizer, chat)
    except (TemplateError, TypeError, AttributeError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
    else:
        if said.count(PROBES[1]) == 1:
            return said.partition(PROBES[1])[2].partition(PROBES[0])[0]
        cause = f"it prints a reply {said.count(PROBES[1])} times"
    raise InputError(
        f"model {tokenizer.name_or_path!r}: its chat template does not say where an assistant's turn ends ({cause}); give "
        "the model another one as chat_template.jinja"
    )
