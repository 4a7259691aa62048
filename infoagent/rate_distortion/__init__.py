"""Trade-offs between rate and what is kept. NumPy and SciPy only."""

from infoagent.rate_distortion.pareto import pareto_front

__all__ = ["pareto_front"]
