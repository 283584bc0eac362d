#!/bin/sh
# A sweep on several hosts by GNU parallel over ssh, and one run of all shards on this one.
#
#     examples/clusters/parallel.sh hosts.txt 20 --runs 100
#
# hosts.txt has a host a line, as `man parallel` has it under --sshloginfile; `:` is this one. Each
# has a checkout of the same commit where this one is, or in the folder $PIBED, on which `./inv setup`
# was called. What the sweep is given follows the number of shards, each word without a space.

set -eu

hosts=$(readlink -f -- "$1")
shards=$2
shift 2
pibed=${PIBED:-$PWD}
name=parallel-$(date -u +%Y%m%dT%H%M%SZ)

# A host takes a shard at a time, which uses all of its cores; a shard of a host that is lost is
# measured anew, by another one if there is one. One of which a sample is not ok (status 6) has come
# to its end as well. What came of it is packed into this folder.
mkdir -p "results/$name"
cd "results/$name"
parallel --sshloginfile "$hosts" --jobs 1 --retries 3 --joblog "$PWD/joblog" \
	--return "$name-{}.tar" --cleanup \
	"(cd $pibed && rm -rf results/$name/{} &&" \
	"{ ./inv sweep $* --shard {}/$shards --no-report --results results/$name/{} </dev/null >&2 ||" \
	"[ \$? = 6 ]; }) &&" \
	"tar --create --file $name-{}.tar --directory $pibed/results/$name/{} --exclude latest ." \
	::: $(seq "$shards")
for archive in "$name"-*.tar; do
	tar --extract --file "$archive"
	rm -- "$archive"
done
cd ../..
exec ./inv merge "results/$name"/2*-of-"$shards"
