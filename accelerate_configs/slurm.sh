#!/bin/bash
# A GRPO run on several machines under SLURM, one launcher a machine:
#
#   sbatch accelerate_configs/slurm.sh configs/train/gpu.yaml model.name=Qwen/Qwen2.5-7B-Instruct [key=value ...]
#
# CONFIG=zero2 sbatch … takes another of accelerate_configs/ than multi_gpu. output_dir must be on a disk that all
# machines see; a job that was killed goes on from its last complete checkpoint when it is submitted again.
#
# With vLLM on one machine more, which runs `trl vllm-serve` while the others train:
#
#   SERVER_NODES=1 MODEL=Qwen/Qwen2.5-7B-Instruct sbatch --nodes=3 accelerate_configs/slurm.sh configs/train/gpu.yaml \
#       model.name=Qwen/Qwen2.5-7B-Instruct vllm.enabled=true vllm.mode=server
#SBATCH --job-name=infoagent
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --exclusive
#SBATCH --time=24:00:00
#SBATCH --output=slurm-%j.log
set -euo pipefail

CONFIG=${CONFIG:-multi_gpu}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
SERVER_NODES=${SERVER_NODES:-0}
PORT=${PORT:-29500}
mapfile -t HOSTS < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
TRAIN_NODES=$((SLURM_NNODES - SERVER_NODES))
HEAD=${HOSTS[0]}
SETTINGS=("$@")

if [ "$SERVER_NODES" -gt 0 ]; then
    SERVER=${HOSTS[$TRAIN_NODES]}
    srun --nodes=1 --ntasks=1 --nodelist="$SERVER" \
        trl vllm-serve --model "${MODEL:?the model that vLLM serves}" --host 0.0.0.0 --port 8000 &
    SERVER_STEP=$!
    trap 'kill "$SERVER_STEP"' EXIT
    # it loads its weights while the trainers start; behind the recipe and before the user's settings, which override these
    SETTINGS=("$1" "vllm.server_base_url=http://$SERVER:8000" vllm.server_patience_seconds=1800 "${@:2}")
fi

# $SLURM_NODEID is a machine's own number, so it must be read there and not here
TRAIN_HOSTS=$(IFS=,; echo "${HOSTS[*]:0:$TRAIN_NODES}")
srun --nodes="$TRAIN_NODES" --ntasks="$TRAIN_NODES" --nodelist="$TRAIN_HOSTS" bash -c '
    accelerate launch --config_file "accelerate_configs/$0.yaml" --num_machines "$1" --num_processes "$2" \
        --machine_rank "$SLURM_NODEID" --main_process_ip "$3" --main_process_port "$4" train/grpo.py "${@:5}"
' "$CONFIG" "$TRAIN_NODES" "$((TRAIN_NODES * GPUS_PER_NODE))" "$HEAD" "$PORT" "${SETTINGS[@]}"
