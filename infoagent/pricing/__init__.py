"""The formula of the reward, in pure arithmetic: what a compression earns, what it pays, and the table of its parts."""
