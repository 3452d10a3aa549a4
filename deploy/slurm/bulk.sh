#!/usr/bin/env bash
#SBATCH --job-name=denoise
#SBATCH --array=0-15
#SBATCH --cpus-per-task=2
#SBATCH --mem=1G
#SBATCH --time=04:00:00
#SBATCH --requeue

# One shard of a bulk run an array task: sbatch deploy/slurm/bulk.sh
# DENOISE: how to start the program; SEEDS and OUT: what to make and where to put it.
set -euo pipefail

DENOISE=${DENOISE:-"deno run -A mod.ts"}
SEEDS=${SEEDS:-0-49999}
OUT=${OUT:-pictures}
: "${SLURM_ARRAY_TASK_ID:?run this with sbatch, or set SLURM_ARRAY_TASK_ID}"
# To run a few tasks again, say how long the whole array was: SHARDS=16 FIRST=0 sbatch --array=3,7 …
SHARDS=${SHARDS:-${SLURM_ARRAY_TASK_COUNT:-16}}
FIRST=${FIRST:-${SLURM_ARRAY_TASK_MIN:-0}}

# shellcheck disable=SC2086  # DENOISE is a command with its arguments
exec $DENOISE sample --seeds "$SEEDS" --shard "$((SLURM_ARRAY_TASK_ID - FIRST))/$SHARDS" \
  --out "$OUT/" --resume --quiet
