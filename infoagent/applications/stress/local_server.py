"""`infoagent serve --generate` as a process of its own, for as long as a run needs it."""

from __future__ import annotations

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from infoagent.applications.stress.recipe import LocalServerSection
from infoagent.lm.scoring.protocol import TOKEN_VARIABLE
from infoagent.shipped import module_command, module_environment
from infoagent.types import RunFailed

FAREWELL_SECONDS = 10.0


@contextmanager
def local_server(section: LocalServerSection, prefix_cache: int | None) -> Iterator[str]:
    """Its base URL, up to and including /v1; TOKEN_VARIABLE holds its key meanwhile. Raises RunFailed where it does not
    come up."""
    command = [*module_command("infoagent.cli"), "serve", section.model, "--generate", "--port", "0", "--dtype", section.dtype]
    if prefix_cache is not None:
        command += ["--prefix-cache", str(prefix_cache)]
    with tempfile.TemporaryFile("w+") as errors, _token():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=module_environment())
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if " at http" not in line:
                process.wait()
                errors.seek(0)
                last = (errors.read().strip().splitlines() or ["no message"])[-1]
                raise RunFailed(f"infoagent serve {section.model} --generate: did not start: {last}")
            yield line.rsplit(" at ", 1)[1].strip()
        finally:
            process.terminate()
            try:
                process.communicate(timeout=FAREWELL_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@contextmanager
def _token() -> Iterator[None]:
    """In the environment, where the server and its clients look for it."""
    before = os.environ.get(TOKEN_VARIABLE)
    os.environ[TOKEN_VARIABLE] = secrets.token_urlsafe(24)
    try:
        yield
    finally:
        if before is None:
            del os.environ[TOKEN_VARIABLE]
        else:
            os.environ[TOKEN_VARIABLE] = before
