"""A command called in this process."""

import time

from infoagent import cli


def outcome(capsys, *arguments):
    """(exit code, lines on stderr, processor's seconds) of `infoagent ARGUMENTS` in this process."""
    capsys.readouterr()
    start = time.process_time()
    try:
        code = cli.main([str(a) for a in arguments])
    except SystemExit as end:
        code = end.code
    seconds = time.process_time() - start
    return code, [line for line in capsys.readouterr().err.splitlines() if line.strip()], seconds
