"""These tests need vLLM, in an environment of its own: make test-vllm."""

import pytest

pytest.importorskip("vllm", reason="vLLM is not installed; make test-vllm")


def pytest_collection_modifyitems(items):
    for item in items:
        if "with_vllm" in item.path.parts:
            item.add_marker(pytest.mark.vllm)
