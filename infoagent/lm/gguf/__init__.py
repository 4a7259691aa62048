"""GGUF files as models: read, repaired, and converted once into the user's cache."""

SUFFIX = ".gguf"


def is_gguf(name: str) -> bool:
    """Whether a model's name is the path of such a file."""
    return name.lower().endswith(SUFFIX)
