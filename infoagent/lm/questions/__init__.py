"""Question generation: a model writes questions for documents that bring none."""
