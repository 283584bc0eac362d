#!/bin/sh
# Makes of Buildroot's target folder what the guests of pibed are: everything is
# linked statically, and init loads modules by their path.
set -eu

target=$1

for module in "$target"/lib/modules/*/*/*.ko; do
	mv "$module" "$target/lib/modules/"
done
find "$target/lib/modules" -mindepth 1 -maxdepth 1 -type d -exec rm -r {} +

# The toolchain's shared libraries, which no program here is linked with.
find "$target/lib" "$target/usr/lib" -maxdepth 1 -name '*.so*' -delete
