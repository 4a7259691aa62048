"""Language models: by name, their prompts, generation, and exact log-probabilities."""
