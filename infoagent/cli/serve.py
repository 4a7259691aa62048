"""`infoagent serve`: a frozen scorer behind HTTP, on a device of its own; or a chat model."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from infoagent.lm.scoring.protocol import TOKEN_VARIABLE, identity_of, read_token, vocabulary_hash
from infoagent.types import InputError

if TYPE_CHECKING:
    from infoagent.lm.models import LoadedModel
    from infoagent.lm.scoring.server import ScorerServer
    from infoagent.lm.serving.chat_server import ChatServer
    from infoagent.lm.serving.json_server import JsonServer

ServerT = TypeVar("ServerT", bound="JsonServer")


def serve(arguments: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT; what is under way then is finished, where that takes a few seconds."""
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
    given = None if arguments.no_token else read_token()
    token = None if arguments.no_token else given or secrets.token_urlsafe(24)
    server = (_chats if arguments.generate else _scores)(arguments, token)
    if token is None:
        print(f"note: every program that reaches {server.url} may use it", file=sys.stderr)
    elif given is None:
        print(f"connect with: export {TOKEN_VARIABLE}={token}", flush=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    has_ended = server.close()
    print(f"stopped; {server.worked()} tokens went through the model", flush=True)
    if not has_ended:  # a pass of the model, for which the end of the interpreter would wait
        os._exit(0)


def _scores(arguments: argparse.Namespace, token: str | None) -> ScorerServer:
    from infoagent.lm.scoring.exact import Scorer
    from infoagent.lm.scoring.server import ScorerServer

    server = _held(ScorerServer, arguments, token)
    lm, about = _load(arguments)
    scorer = Scorer(lm.model.requires_grad_(False), arguments.memory_mib)
    server.open(scorer, about, int(lm.model.config.get_text_config().vocab_size), lm.context_tokens)
    _say("serving", about, server.url)
    return server


def _chats(arguments: argparse.Namespace, token: str | None) -> ChatServer:
    from infoagent.lm.serving.chat_model import ChatModel
    from infoagent.lm.serving.chat_server import ChatServer

    server = _held(ChatServer, arguments, token)
    lm, about = _load(arguments)
    model = ChatModel(lm, arguments.prefix_cache, arguments.memory_mib)
    server.open(model, {**about, "prefix_cache": model.kept_prompts})
    _say("generating with", about, f"{server.url}/v1")
    return server


def _held(kind: type[ServerT], arguments: argparse.Namespace, token: str | None) -> ServerT:
    """A server that has its port, before a model loads."""
    try:
        return kind(arguments.host, arguments.port, token, arguments.allow_host)
    except (OSError, UnicodeError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or "no name of a machine"
        raise InputError(
            f"--host {arguments.host} --port {arguments.port}: cannot be served on: {reason}; choose another"
        ) from None


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
