"""`infoagent serve`: a frozen scorer behind HTTP, on a device of its own; or a chat model."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from infoagent.lm.scorer_protocol import TOKEN_VARIABLE, identity_of, vocabulary_hash
from infoagent.types import InputError

if TYPE_CHECKING:
    from infoagent.lm.chat_server import ChatServer
    from infoagent.lm.models import LoadedModel
    from infoagent.lm.scorer_server import ScorerServer

LOOPBACK = ("127.0.0.1", "localhost")


def serve(arguments: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT; what is under way then is finished."""
    from infoagent.lm import models

    mistakes = []
    if not 0 <= arguments.port < 2**16:
        mistakes.append(f"--port {arguments.port}: must be between 0 (a free one) and {2**16 - 1}")
    if arguments.memory_mib < 1:
        mistakes.append(f"--memory-mib {arguments.memory_mib}: must be at least 1")
    if arguments.prefix_cache < 0:
        mistakes.append(f"--prefix-cache {arguments.prefix_cache}: must be 0 (none) or more")
    if arguments.device is not None:
        mistakes += _wrong_device(arguments.device)
    if mistakes:
        raise InputError(mistakes)
    models.resolve(arguments.model, arguments.revision)
    token = os.environ.get(TOKEN_VARIABLE) or None
    try:
        server = (_chats if arguments.generate else _scores)(arguments, token)
    except OSError as error:
        raise InputError(
            f"--host {arguments.host} --port {arguments.port}: cannot be served on: {error.strerror}; choose another"
        ) from None
    if token is None and arguments.host not in LOOPBACK:
        print(f"note: whoever reaches {server.url} may use it; export {TOKEN_VARIABLE} on both sides", file=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    server.close()
    print(f"stopped; {server.worked()} tokens went through the model")


def _scores(arguments: argparse.Namespace, token: str | None) -> ScorerServer:
    from infoagent.lm.scorer_server import ScorerServer
    from infoagent.lm.scoring import Scorer

    server = ScorerServer(arguments.host, arguments.port, token)
    lm, about = _load(arguments)
    scorer = Scorer(lm.model.requires_grad_(False), arguments.memory_mib)
    server.open(scorer, about, int(lm.model.config.get_text_config().vocab_size), lm.context_tokens)
    _say("serving", about, server.url)
    return server


def _chats(arguments: argparse.Namespace, token: str | None) -> ChatServer:
    from infoagent.lm.chat_model import ChatModel
    from infoagent.lm.chat_server import ChatServer

    server = ChatServer(arguments.host, arguments.port, token)
    lm, about = _load(arguments)
    model = ChatModel(lm, arguments.prefix_cache, arguments.memory_mib)
    server.open(model, {**about, "prefix_cache": model.kept_prompts})
    _say("generating with", about, f"{server.url}/v1")
    return server


def _load(arguments: argparse.Namespace) -> tuple[LoadedModel, dict[str, Any]]:
    """The model, and what /health says of it."""
    from infoagent.lm import models
    from infoagent.store import provenance

    lm = models.load(arguments.model, arguments.revision, arguments.dtype, device=arguments.device)
    vocabulary = vocabulary_hash(lm.tokenizer)
    return lm, {
        "model": lm.reference.name,
        "revision": lm.reference.revision,
        "dtype": lm.dtype,
        "device": str(lm.model.device),
        "vocabulary": vocabulary,
        "identity": identity_of(lm.reference.revision, lm.dtype, vocabulary),
        "context_tokens": lm.context_tokens,
        "versions": provenance()["versions"],
    }


def _say(what: str, about: dict[str, Any], url: str) -> None:
    print(f"{what} {about['model']} ({about['revision']}, {about['dtype']}, {about['device']}) at {url}", flush=True)


def _wrong_device(name: str) -> list[str]:
    import torch

    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        return [f"--device {name}: cannot be used ({str(error).splitlines()[0]}); give cpu, cuda, cuda:1 or mps"]
    return []
