"""Open-loop load on a chat server: when jobs arrive, how one is sent, and what the times say. No torch."""

from infoagent.applications.stress.load.client import Lost, Served, StreamClient
from infoagent.applications.stress.load.generator import Timed, closed_loop, open_loop, poisson_arrivals
from infoagent.applications.stress.load.levels import JobTimes, describe_level

__all__ = [
    "JobTimes", "Lost", "Served", "StreamClient", "Timed", "closed_loop", "describe_level", "open_loop",
    "poisson_arrivals",
]  # fmt: skip
