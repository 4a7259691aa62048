"""vLLM's offline engine: generation, scoring, adapters, and whether it computes the same model."""
