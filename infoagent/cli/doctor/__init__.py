"""`infoagent doctor`: what this machine has, what is missing or wrong, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from infoagent.cli.doctor.findings import WRONG, Finding, judge
from infoagent.cli.doctor.machine import look

__all__ = ["examine"]


def examine(as_json: bool = False, imports: bool = False, named_bfloat16: Sequence[str] = ()) -> int:
    """Print one finding a line, or all as JSON; 1 if something that every run needs is missing or wrong, else 0.
    `named_bfloat16`: places of recipes that name this type."""
    findings = judge(look(imports, named_bfloat16))
    wrong = any(f.state == WRONG for f in findings)
    if as_json:
        print(json.dumps({"healthy": not wrong, "findings": [asdict(f) for f in findings]}, indent=2))
    else:
        print("\n".join(_line(f) for f in findings))
    return int(wrong)


def _line(finding: Finding) -> str:
    return f"{finding.state:8} {finding.name:15} {finding.found}" + (f"; {finding.advice}" if finding.advice else "")
