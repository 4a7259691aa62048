"""`infoagent compress`: a file in, its compression on stdout, figures on stderr."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from infoagent.cli.text import read_text
from infoagent.types import InputError


def compress(arguments: argparse.Namespace) -> None:
    if arguments.budget < 1:
        raise InputError(f"--budget {arguments.budget}: must be at least 1 token")
    if arguments.temperature < 0:
        raise InputError(f"--temperature {arguments.temperature}: must be at least 0")
    text = read_text(arguments.file)
    from infoagent.lm import models, prompts
    from infoagent.lm.context import fit_to_context
    from infoagent.lm.generation import generate
    from infoagent.types import Problem

    if arguments.adapter is not None and arguments.model is None and models.is_adapter(arguments.adapter):
        arguments.model = models.adapter_base(arguments.adapter)
    name = arguments.model or "smollm2-135m"
    prompt: dict[str, Any] = {"template": "query-v1" if arguments.query else "agnostic-v1", "budget_words": None}
    if arguments.adapter is not None:
        models.check_adapter(arguments.adapter, name)
        if arguments.query:  # the prompt that the adapter was trained with
            prompt |= models.adapter_prompt(arguments.adapter)
    reference = models.resolve(name)
    problem = Problem("input", text, arguments.query or "", document_id="input")
    [problem] = fit_to_context(
        [problem], models.load_tokenizer(reference), models.context_tokens(models.load_config(reference)),
        arguments.budget, arguments.truncate, **prompt, setting="--truncate",
    )  # fmt: skip
    lm = models.load(name, adapter=arguments.adapter)
    ids = prompts.compressor_ids(lm.tokenizer, problem.document, problem.query, **prompt)
    [z] = generate(lm, [ids], [problem.id], arguments.budget, arguments.temperature, arguments.seed)
    print(z.text)
    source = len(prompts.text_ids(lm.tokenizer, text))
    cut = " (cut off at the budget)" if z.finish == "length" else ""
    print(
        f"{source} tokens → {z.rate_tokens}{cut}, {source / max(1, z.rate_tokens):.1f}:1, {z.rate_bytes} bytes, "
        f"{z.seconds:.1f} s, {lm.label}",
        file=sys.stderr,
    )
