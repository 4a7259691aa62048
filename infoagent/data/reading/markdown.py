"""Markdown and HTML to plain text: the paragraphs that a reader sees, under their headings.

Blocks and links are found by `markdown-it` (CommonMark, with tables), tags by Python's HTML parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_BLOCKS = (
    "address article aside blockquote body br caption center dd details div dl dt figcaption figure footer form h1 h2 h3 h4 "
    "h5 h6 head header hr html li main nav ol p picture pre section summary table tbody tfoot thead tr ul"
)
_BLOCK_TAGS = frozenset(_BLOCKS.split())
_CELL_TAGS = ("td", "th")
_UNSEEN_TAGS = ("script", "style", "template")
_WRAPPERS = ("em", "strong", "s")


def markdown_paragraphs(text: str) -> list[str]:
    """Paragraphs of Markdown.

    Front matter, comments, tags and the definitions of links are dropped. A heading becomes the first line of the
    paragraph after it, so that a passage cut there knows its topic. A code block stays as it is, fences included, in an item of
    a list indented behind its mark; a list and a table keep their lines. A link or an image becomes its text, HTML the text that it shows.
    """
    lines = _without_front_matter(re.split(r"\r?\n", text.removeprefix("\ufeff")))
    tokens = _parser().parse("\n".join(lines))
    paragraphs: list[str] = []
    headings: list[str] = []
    for kind, content in _blocks(tokens, lines):
        if kind == "heading":
            headings += [content] if content else []
        elif content:
            paragraphs.append("\n".join([*headings, content]))
            headings = []
    if headings:
        paragraphs.append("\n".join(headings))
    return paragraphs


_NO_SECTION = re.compile(r"<!\[(?!(?:cdata|temp|ignore|include|rcdata|if|else|endif)\b)", re.IGNORECASE)
"""What HTMLParser takes for a marked section of a kind that there is not, and raises AssertionError: text, such as a look-behind."""


def html_text(content: str) -> str:
    """What a piece of HTML shows: its text, a line for each block (of `pre` its own lines), an image's description for the
    image."""
    reader = _Reader()
    reader.feed(_NO_SECTION.sub("&lt;![", content))
    reader.close()
    lines = ("".join(line) if kept else " ".join("".join(line).split()) for line, kept in reader.lines)
    return "\n".join(line.rstrip() for line in lines if line.strip())


class _Reader(HTMLParser):
    """Collects what is shown, with a line break at each border of a block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[tuple[list[str], bool]] = [([], False)]
        """The pieces of each line, and whether its white space is shown as it is."""
        self._unseen = 0
        self._as_written = 0

    def _show(self, text: str) -> None:
        for number, piece in enumerate(text.split("\n")):
            if number:
                self.lines.append(([], self._as_written > 0))
            self.lines[-1][0].append(piece)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._as_written += tag == "pre"
        if tag in _UNSEEN_TAGS:
            self._unseen += 1
        elif tag in _BLOCK_TAGS or tag in _CELL_TAGS:
            self._show("\n" if tag in _BLOCK_TAGS else " ")
        elif tag == "img":
            self._show(f" {dict(attrs).get('alt') or ''} ".replace("\n", " "))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _UNSEEN_TAGS:
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag == "pre":
            self._as_written = max(0, self._as_written - 1)
        if tag in _UNSEEN_TAGS:
            self._unseen = max(0, self._unseen - 1)
        elif tag in _BLOCK_TAGS:
            self._show("\n")

    def handle_data(self, data: str) -> None:
        if not self._unseen:
            self._show(data if self._as_written else data.replace("\n", " "))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    # imported late: most data sets hold no Markdown
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark").enable(["table", "strikethrough"])


def _blocks(tokens: Sequence[Token], lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """("heading" or "text", content) of the outermost blocks, a list or a table as one."""
    at = 0
    while at < len(tokens):
        end = _end(tokens, at)
        token, inside = tokens[at], tokens[at:end]
        if token.type == "fence" and token.map:
            yield "text", "\n".join(lines[token.map[0] : token.map[1]]).rstrip()
        elif token.type == "blockquote_open":
            yield from _blocks(inside[1:-1], lines)
        elif token.type == "heading_open":
            yield "heading", " ".join(_shown(inside).split())
        else:
            yield "text", _shown(inside)
        at = end


def _end(tokens: Sequence[Token], start: int) -> int:
    """The position behind the block that begins at `start`."""
    depth = 0
    for at in range(start, len(tokens)):
        depth += tokens[at].nesting
        if depth <= 0:
            return at + 1
    return len(tokens)


def _shown(tokens: Sequence[Token]) -> str:
    """The text of a block: lines of a list with their marks, rows of a table with bars, a paragraph on one line."""
    lines: list[str] = []
    cells: list[str] = []
    marks: list[str] = []
    depth = 0
    for token in tokens:
        if token.type in ("bullet_list_open", "ordered_list_open"):
            depth += 1
        elif token.type in ("bullet_list_close", "ordered_list_close"):
            depth -= 1
        elif token.type == "list_item_open":
            marks = ["  " * (depth - 1) + token.info + token.markup + " "]
        elif token.type in ("th_open", "td_open"):
            cells.append("")
        elif token.type == "tr_close":
            lines.append("| " + " | ".join(cells) + " |")
            cells = []
        elif token.type in ("fence", "code_block"):
            fence = [token.markup] if token.type == "fence" else []
            code = [*(mark + token.info for mark in fence), *token.content.rstrip("\n").split("\n"), *fence]
            mark, marks = "".join(marks), []
            lines += [f"{' ' * len(mark) if number else mark}{line}".rstrip() for number, line in enumerate(code)]
        elif token.type in ("inline", "html_block"):
            content = _inline(token) if token.type == "inline" else html_text(token.content)
            if cells:
                cells[-1] = " ".join(content.split())
            elif content.strip():
                lines.append("".join(marks) + (content if token.type == "html_block" and not marks else content.strip()))
                marks = []
    return "\n".join(lines)


def _inline(token: Token) -> str:
    """A line of Markdown as text: emphasis keeps its marks, code its backticks, links and images their words."""
    parts: list[str] = []
    hidden = 0
    for child in token.children or ():
        kind = child.type
        if kind == "html_inline":
            tag = re.match(r"</?\s*([A-Za-z0-9]+)", child.content)
            name = tag.group(1).lower() if tag else ""
            if name in _UNSEEN_TAGS:
                hidden += -1 if child.content.startswith("</") else 1
            elif name == "img":
                parts.append(html_text(child.content))
            elif name in _BLOCK_TAGS:
                parts.append("\n" if name == "br" else " ")
        elif hidden <= 0:
            parts.append(_words(child))
    first, *others = "".join(parts).split("\n")
    if not others:
        return first
    return "\n".join([first.rstrip(" \t"), *(line.strip(" \t") for line in others[:-1]), others[-1].lstrip(" \t")])


def _words(child: Any) -> str:
    if child.type == "softbreak":
        return " "
    if child.type == "hardbreak":
        return "\n"
    if child.type == "code_inline":
        return f"{child.markup}{child.content}{child.markup}"
    if child.type == "image":
        return _inline(child)
    if child.type.removesuffix("_open").removesuffix("_close") in _WRAPPERS:
        return str(child.markup)
    return str(child.content)


def _without_front_matter(lines: list[str]) -> list[str]:
    # as pandoc tells it: a mark before a blank line is a rule across the page
    if len(lines) > 1 and lines[0].rstrip() in ("---", "+++") and lines[1].strip():
        ends = ("---", "...") if lines[0].rstrip() == "---" else ("+++",)
        for number, line in enumerate(lines[1:], start=1):
            if line.rstrip() in ends:
                return lines[number + 1 :]
    return lines
