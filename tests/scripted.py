"""Models of a grid that write what a test says."""

from infoagent.evaluation.models import ModelPool
from infoagent.lm.control_tokens import meant_ids
from infoagent.types import Compression


def install(monkeypatch, text_of, whole=False):
    """Models write text_of(prompt, name, number of the call), as far as the tokens reach, or `whole` and ended by
    token 0. Returns the prompts as they come."""
    calls = []

    def writer(pool, section, engine="hf"):
        tokenizer = pool.tokenizer(section)

        def write(prompts, names, max_tokens, temperature, seed, sample=0, schema=None):
            found = []
            for prompt, name in zip(prompts, names, strict=True):
                calls.append(tokenizer.decode(prompt))
                ids = tuple(meant_ids(tokenizer, text_of(calls[-1], name, len(calls) - 1)))
                ids = ids if whole else ids[:max_tokens]
                finish = "stop" if whole or len(ids) < max_tokens else "length"
                stop_id = 0 if whole else None
                found.append(Compression(name, tokenizer.decode(ids), ids, finish, sample, 0.5, stop_id))
            return found

        return write

    monkeypatch.setattr(ModelPool, "writer", writer)
    return calls
