#!/bin/sh
#SBATCH --job-name=pibed
#SBATCH --cpus-per-task=2
#SBATCH --mem-per-cpu=1500M
#SBATCH --time=04:00:00
#SBATCH --requeue
# One shard, as a task of a job array that slurm-submit.sh makes. A task that Slurm starts again,
# on whichever node, goes on with what it has measured.

set -eu

shard=$SLURM_ARRAY_TASK_ID-of-$SLURM_ARRAY_TASK_COUNT
results=results/slurm-$SLURM_ARRAY_JOB_ID
jobs=$SLURM_CPUS_PER_TASK

for manifest in "$results"/2*-"$shard"/manifest.json; do
	if [ -f "$manifest" ]; then
		exec ./inv sweep --resume "$(dirname -- "$manifest")" --jobs "$jobs" --no-report
	fi
done
exec ./inv sweep "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --jobs "$jobs" \
	--no-report --results "$results"
