"""A Compactor whose texts the test writes."""

from infoagent.lm import compacting
from infoagent.lm.long_text import LongCompression


def scripted(tiny_dir, monkeypatch):
    """`writes` is its text, or the exception it raises; `read` what it was given."""
    made = compacting.Compactor(str(tiny_dir), compacting.CompactionSettings(200, 2, ("ORD-17",)), dtype="float32")
    made.writes = "The order costs 40 dollars."
    made.read = []

    def compress_texts(lm, texts, task):
        made.read.append(texts[0])
        if isinstance(made.writes, BaseException):
            raise made.writes
        return [LongCompression(made.writes, 30, 300, 0.1, "stop", 1, 1)]

    monkeypatch.setattr(compacting, "compress_texts", compress_texts)
    return made
