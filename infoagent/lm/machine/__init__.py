"""Hardware of this machine: floating-point types, measured rates, and what torch lacks on a CPU."""
