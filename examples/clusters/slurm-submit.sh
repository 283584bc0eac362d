#!/bin/sh
# A sweep as a job array of Slurm, and a job behind it that makes one run of all shards.
#
#     cd pibed && SHARDS=20 examples/clusters/slurm-submit.sh --runs 100
#
# The checkout and ~/.cache/pibed lie where all nodes see them. What the sweep is given follows the
# name of this script; sbatch's own options are taken from the variables SBATCH_… (man sbatch).
# Where a shard is missing the merge says which.

set -eu

here=$(dirname -- "$(readlink -f -- "$0")")
shards=${SHARDS:-10}
results=$PWD/results

# Once, rather than by every node at the same time.
./inv build
mkdir -p "$results"
array=$(sbatch --parsable --array="1-$shards" --output="$results/slurm-%A-%a.log" \
	"$here/slurm-shard.sh" "$@")
merge=$(sbatch --parsable --dependency="afterany:$array" \
	--output="$results/slurm-%j-merge.log" \
	--wrap="./inv merge results/slurm-$array/2*-of-$shards")
printf 'shards: job %s; merge: job %s, whose log says where the run is\n' "$array" "$merge"
