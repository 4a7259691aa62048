"""The cost of a model's calls, where parts of it may be unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Cost:
    """Of one call of a model, or of several together. None says that a part is unknown, which is not 0: a model
    behind an API has a price and no known FLOPs, one on this machine FLOPs and, where nobody bills it, a price of 0."""

    gflops_prefill: float | None = None
    gflops_decode: float | None = None
    usd: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{part.name} {value}: a finite number of at least 0, or None where it is unknown")

    @property
    def gflops(self) -> float | None:
        """Reading and writing together; None where either is unknown."""
        return _plus(self.gflops_prefill, self.gflops_decode)

    def known(self) -> dict[str, float]:
        """What is known, by name, `gflops` among it; the rest is absent."""
        values = {part.name: getattr(self, part.name) for part in fields(self)} | {"gflops": self.gflops}
        return {name: value for name, value in values.items() if value is not None}


def _plus(a: float | None, b: float | None) -> float | None:
    """A sum with an unknown part is unknown."""
    return None if a is None or b is None else a + b
