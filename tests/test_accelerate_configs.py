"""The shipped launch configurations, through accelerate's own loader, its launcher's checks and the environment that it
gives to a process; and the SLURM script, with stand-ins for the cluster's commands."""

import os
import re
import subprocess

import pytest
import yaml
from conftest import ROOT

CONFIGS = sorted((ROOT / "accelerate_configs").glob("*.yaml"))
ENGINES = {
    "cpu": "one process", "single_gpu": "one process", "cpu_2proc": "data parallel", "multi_gpu": "data parallel",
    "two_nodes": "data parallel", "cpu_zero2": "ZeRO-2", "zero1": "ZeRO-1", "zero2": "ZeRO-2", "zero3": "ZeRO-3",
    "zero3_offload": "ZeRO-3", "fsdp2": "FSDP 2",
}  # fmt: skip


def test_every_configuration_is_known_here():
    assert {path.stem for path in CONFIGS} == set(ENGINES)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_accelerate_launches_what_the_name_says(path, monkeypatch):
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env, prepare_multi_gpu_env, prepare_simple_launcher_cmd_env

    from infoagent.training.engine import settle_engine

    for name in [name for name in os.environ if name.startswith(("ACCELERATE_", "FSDP_", "MASTER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    content = yaml.safe_load(path.read_text())
    where = ["--main_process_ip", "node1"] if content["num_machines"] > 1 else []
    parsed = launch_command_parser().parse_args(["--config_file", str(path), *where, "train/grpo.py", "r.yaml"])
    arguments, config, _ = _validate_launch_command(parsed)
    assert config.distributed_type.value == content["distributed_type"]
    assert arguments.num_processes == content["num_processes"]
    assert bool(arguments.use_cpu) == path.stem.startswith("cpu")
    assert arguments.mixed_precision == ("no" if path.stem.startswith("cpu") else "bf16")
    if arguments.use_deepspeed:
        pytest.importorskip("deepspeed")
        arguments.deepspeed_fields_from_accelerate_config = ",".join(config.deepspeed_config)
        _, environment = prepare_deepspeed_cmd_env(arguments)
        assert environment["ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE"] == ("cpu" if "offload" in path.stem else "none")
    elif arguments.num_processes > 1:
        environment = prepare_multi_gpu_env(arguments)
    else:
        _, environment = prepare_simple_launcher_cmd_env(arguments)
    if content["num_machines"] > 1:
        assert (arguments.rdzv_endpoint, arguments.nnodes, arguments.nproc_per_node) == ("node1:29500", "2", "8")
    for name, value in environment.items():
        if name.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.setenv(name, value)
    if arguments.num_processes > 1:
        monkeypatch.setenv("WORLD_SIZE", str(arguments.num_processes))
    engine = settle_engine()
    assert (engine.name, engine.processes) == (ENGINES[path.stem], content["num_processes"])


STAND_INS = {
    "scontrol": 'printf "n1\\nn2\\nn3\\n" | head -n "$SLURM_NNODES"',
    # runs the command once for every machine of the step, as srun does, with its number
    "srun": """
        while [[ $1 == --* ]]; do [[ $1 == --nodelist=* ]] && IFS=, read -ra hosts <<< "${1#*=}"; shift; done
        for number in "${!hosts[@]}"; do HOST=${hosts[$number]} SLURM_NODEID=$number "$@"; done""",
    "accelerate": 'echo "$HOST: accelerate $*" >> "$LOG"',
    "trl": 'echo "$HOST: trl $*" >> "$LOG"; sleep 600',
}


@pytest.mark.parametrize("server", [False, True])
def test_the_slurm_script_starts_one_launcher_a_machine(tmp_path, server):
    script = ROOT / "accelerate_configs/slurm.sh"
    subprocess.run(["bash", "-n", str(script)], check=True)
    for name, body in STAND_INS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "SLURM_JOB_NODELIST": "n[1-3]",
        "SLURM_NNODES": "3" if server else "2",
        **({"SERVER_NODES": "1", "MODEL": "m"} if server else {}),
    }
    subprocess.run(["bash", str(script), "r.yaml", "a=b c"], cwd=tmp_path, env=environment, check=True, timeout=300)
    lines = sorted((tmp_path / "log").read_text().splitlines())
    shared = "--num_machines 2 --num_processes 16 --machine_rank {} --main_process_ip n1 --main_process_port 29500"
    more = " vllm.server_base_url=http://n3:8000 vllm.server_patience_seconds=1800" if server else ""  # it has yet to load
    for number, host in enumerate(("n1", "n2")):
        assert lines[number] == (
            f"{host}: accelerate launch --config_file accelerate_configs/multi_gpu.yaml {shared.format(number)} "
            f"train/grpo.py r.yaml{more} a=b c"
        )
    assert lines[2:] == (["n3: trl vllm-serve --model m --host 0.0.0.0 --port 8000"] if server else [])


RECIPE = r"(?P<recipe>configs/train/\S+\.yaml)(?P<settings>[^\n#|`]*)"
LAUNCHES = (
    re.compile(
        r"accelerate launch --config_file accelerate_configs/(?P<config>\w+)\.yaml(?P<options>[^\n]*) train/grpo\.py " + RECIPE
    ),
    re.compile(
        r"(?:SERVER_NODES=(?P<servers>\d)[^\n]*)?sbatch(?: --nodes=(?P<nodes>\d))? accelerate_configs/(?P<config>slurm)\.sh "
        + RECIPE
    ),
)


def documented_launches():
    """(recipe, settings, processes) of every launch command in a README, in a script's or in a recipe's first lines."""
    where = [*ROOT.glob("*/README.md"), ROOT / "README.md", *ROOT.glob("accelerate_configs/*"), *ROOT.glob("configs/train/*.yaml")]
    for text in {re.sub(r"\\\n#?\s*", "", path.read_text()) for path in where}:
        for found in (match.groupdict() for pattern in LAUNCHES for match in pattern.finditer(text)):
            if found["config"] == "slurm":
                processes = 8 * (int(found["nodes"] or 2) - int(found["servers"] or 0))
            else:
                content = yaml.safe_load((ROOT / f"accelerate_configs/{found['config']}.yaml").read_text())
                asked = re.search(r"--num_processes (\d+)", found["options"])
                processes = int(asked[1]) if asked else content["num_processes"]
            yield found["recipe"], [s for s in found["settings"].split() if re.match(r"[\w.]+=", s)], processes


def test_every_documented_launch_has_a_step_that_its_processes_can_share():
    from infoagent.config import load_recipe
    from infoagent.recipes import GRPORecipe
    from infoagent.training.launch import batch_shape

    launches = list(documented_launches())
    assert {("configs/train/gpu.yaml", 1), ("configs/train/gpu.yaml", 16)} <= {(r, p) for r, _, p in launches}
    assert sum(processes == 16 for _, _, processes in launches) == 3  # with and without a server in the script, and in the README
    for recipe, settings, processes in launches:
        micro, accumulation = batch_shape(load_recipe(GRPORecipe, str(ROOT / recipe), settings), processes)
        assert micro >= 1 <= accumulation
