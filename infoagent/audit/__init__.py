"""Hacking audit: what a reward does not see in the texts that it pays for, and rules that say when a run cheats."""

from infoagent.audit.flags import Flag, FlagHistory, flags
from infoagent.audit.measures import MEASURES, SET_MEASURES, audit, distinct_n, measure

__all__ = ["MEASURES", "SET_MEASURES", "Flag", "FlagHistory", "audit", "distinct_n", "flags", "measure"]
