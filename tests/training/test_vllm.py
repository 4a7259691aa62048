"""vLLM in training: what is refused before a model loads, and weights that reach it without touching the base."""

import contextlib
import copy
import json
import random
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest
import torch
from hostile import RawServer, hostile, http
from peft import LoraConfig, get_peft_model
from tiny import tiny_model
from trl.generation.vllm_generation import VLLMGeneration

from infoagent.recipes import GRPORecipe
from infoagent.recipes.sections import VllmSection
from infoagent.training import vllm_checks as vllm_plan
from infoagent.training.grpo_trainer import trainer_arguments
from infoagent.training.vllm_checks import check_vllm, server_mistake
from infoagent.training.vllm_weights import ExactBase, merged_parameters
from infoagent.types import InputError

GOOD = '{"vllm_config": {"weight_transfer_config": {"backend": "nccl"}, "model_config": {"logprobs_mode": "%s"}}}'


def recipe(**more):
    vllm = {"enabled": True, **more.pop("vllm", {})}
    return GRPORecipe.model_validate({"output_dir": "unused", "vllm": vllm, **more})


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(vllm_plan, "default_device", lambda: "cuda")
    monkeypatch.setattr(vllm_plan.importlib.util, "find_spec", lambda name: object())


@contextlib.contextmanager
def server(answers):
    """Answers by path: (status, body)."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answers[self.path.split("?")[0]]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{made.server_port}"
    finally:
        made.shutdown()
        made.server_close()


def test_nothing_is_asked_for_where_it_is_off():
    check_vllm(recipe(vllm={"enabled": False}, lora={"dora": True}), 1)


def test_every_reason_against_it_is_a_line(monkeypatch):
    monkeypatch.setattr(vllm_plan.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(vllm_plan, "default_device", lambda: "cpu")
    made = recipe(lora={"dora": True}, vllm={"tensor_parallel_size": 4})
    with pytest.raises(InputError) as found:
        check_vllm(made, 6)
    parts = ["not installed", "needs a CUDA device", "lora.dora", "must divide the number of processes, 6"]
    for line, part in zip(found.value.problems, parts, strict=True):
        assert part in line


def test_a_machine_that_can_is_let_pass(gpu):
    check_vllm(recipe(vllm={"tensor_parallel_size": 2}), 4)


def test_a_server_that_is_down_is_said_at_once(gpu):
    with server({}) as url:
        pass  # its port is free again
    with pytest.raises(InputError, match=rf"server_base_url = '{url}': no answer \(ConnectError.*trl vllm-serve"):
        check_vllm(recipe(vllm={"mode": "server", "server_base_url": url}), 1)


@pytest.mark.parametrize(
    ("health", "info", "said"),
    [
        (200, (200, GOOD % "processed_logprobs"), None),
        (503, (200, GOOD % "processed_logprobs"), "/health says 503"),
        (200, (404, ""), "takes no weights (/server_info says 404)"),
        (200, (200, GOOD.replace('{"backend": "nccl"}', "null") % "processed_logprobs"), "no engine that takes weights"),
        (200, (200, GOOD % "raw_logprobs"), "its log-probabilities (raw_logprobs) are not those it samples from"),
    ],
)
def test_a_server_must_be_one_that_a_trainer_can_use(health, info, said):
    with server({"/health": (health, ""), "/server_info": info}) as url:
        found = server_mistake(VllmSection(server_base_url=url))
    assert found is None if said is None else said in found


@pytest.mark.parametrize("seed", range(2))
def test_a_server_that_answers_anything_is_fit_or_a_line(seed):
    """100 hostile replies each."""
    rng, good = random.Random(seed), json.loads(GOOD % "processed_logprobs")

    def answer(path, body):
        return http(200, {}, b"") if path == "/health" else hostile(rng, good, "a-key-of-nobody").sent

    with RawServer(answer) as raw:
        section = VllmSection(server_base_url=raw.url, server_patience_seconds=0)
        found = [server_mistake(section) for _ in range(100)]
    assert None in found
    assert len({line.split("': ")[1][:12] for line in found if line is not None}) > 2
    assert all(len(line.splitlines()) == 1 for line in found if line is not None)


def test_a_server_that_is_starting_is_waited_for(monkeypatch):
    monkeypatch.setattr(vllm_plan, "PAUSE_SECONDS", 0.05)
    with server({}) as url:
        port = int(url.rsplit(":", 1)[1])
    late = []

    def start():
        Handler = type("H", (BaseHTTPRequestHandler,), {"log_message": lambda *_: None})

        def answer(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write((GOOD % "processed_logprobs").encode())

        Handler.do_GET = answer
        late.append(HTTPServer(("127.0.0.1", port), Handler))
        late[0].serve_forever()

    threading.Timer(0.5, start).start()
    assert server_mistake(VllmSection(server_base_url=url, server_patience_seconds=20)) is None
    late[0].shutdown()
    late[0].server_close()


def test_draws_are_weighted_and_from_the_plain_distribution(monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    made = trainer_arguments(recipe(grpo={"temperature": 0.7}), quiet=True)
    assert made.vllm_importance_sampling_correction is True
    assert (made.temperature, made.top_p, made.top_k, made.min_p) == (0.7, 1.0, 0, None)
    assert made.repetition_penalty == 1.0
    assert made.generation_kwargs is None
    trainer_arguments(recipe(grpo={"algorithm": "rloo"}), quiet=True)  # knows no such correction


def adapted(dtype):
    model = get_peft_model(tiny_model(64).to(dtype), LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False))
    return model, {name: value.clone() for name, value in model.state_dict().items()}


def trls_own(model):
    """The walk over a PEFT model in TRL 1.16, on this model."""
    made = object.__new__(VLLMGeneration)
    made.model = model
    made._dist = SimpleNamespace(gather_params=lambda _: contextlib.nullcontext(), is_fsdp=False)
    return made


def test_vllm_gets_what_trl_would_send_under_the_same_names():
    model, _ = adapted(torch.bfloat16)
    expected = [(name, value.clone()) for name, value in trls_own(copy.deepcopy(model))._iter_named_params()]
    found = list(merged_parameters(model))
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(found, expected, strict=True))
    plain = model.merge_and_unload().state_dict()  # PEFT's own merge, another third
    assert {name for name, _ in found} == plain.keys() - {"lm_head.weight"}
    assert all(torch.equal(value, plain[name]) for name, value in found)


def test_the_frozen_base_stays_what_it_was():
    model, before = adapted(torch.bfloat16)
    for _ in range(3):
        for _ in merged_parameters(model):
            pass
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for _ in trls_own(model)._iter_named_params():
        pass
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert changed, "TRL's own way is exact by now: ExactBase can go"
    assert all(".base_layer." in name for name in changed)


@pytest.mark.parametrize(("use_vllm", "fsdp", "replaced"), [(True, False, True), (True, True, False), (False, False, False)])
def test_a_trainer_syncs_exactly_unless_it_is_sharded(use_vllm, fsdp, replaced):
    class Trainer:
        def __init__(self):
            self.model, _ = adapted(torch.float32)
            self.use_vllm, self.is_fsdp_enabled = use_vllm, fsdp
            self.accelerator = SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=None))
            self.vllm_generation = trls_own(self.model)

    trainer = type("Made", (ExactBase, Trainer), {})()
    assert ("_iter_named_params" in vars(trainer.vllm_generation)) is replaced
    if replaced:
        names = [name for name, _ in trainer.vllm_generation._iter_named_params()]
        assert names == [name for name, _ in merged_parameters(trainer.model)]


def test_weights_in_four_bits_are_refused_by_the_recipe():
    """So that a dry run and a plan say it as well, where no GPU is."""
    with pytest.raises(ValueError, match=r"vllm.enabled with lora.quantize '4bit': .* drop one"):
        recipe(lora={"quantize": "4bit"})
