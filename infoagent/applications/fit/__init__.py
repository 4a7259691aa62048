"""From documents to a trained adapter: warm start, reinforcement learning, comparison, report, one after the other."""
