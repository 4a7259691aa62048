"""`python in_turn.py SCRIPT CASES`: the script's main on each list of arguments of CASES, a JSON list, one behind the other in
this process. Prints a JSON list of [exit code, stdout, stderr]."""

import contextlib
import io
import json
import runpy
import sys

from infoagent.config import exit_code

main = runpy.run_path(sys.argv[1])["main"]
ends = []
for arguments in json.loads(sys.argv[2]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
        code = exit_code(lambda given=arguments: main(given))
    ends.append([code, out.getvalue(), errors.getvalue()])
print(json.dumps(ends))
