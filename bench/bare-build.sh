#!/bin/sh
# The bare commands of a build, without pibed: sources unpacked, kernel, BusyBox,
# module and workload made, in the folder OUT.
#
# usage: bare-build.sh DOWNLOADS CHECKOUT OUT

set -eu

downloads=$1
checkout=$2
out=$3
jobs=$(nproc)
cross=arm-linux-gnueabihf-

export LC_ALL=C XZ_DEFAULTS=--threads=0
mkdir -p "$out/linux" "$out/kernel" "$out/objects" "$out/module"

dpkg-deb --extract "$downloads"/linux-source-6.1/*.deb "$out/package"
tar --extract --file="$out"/package/usr/src/linux-source-6.1.tar.xz --directory="$out/linux" \
	--strip-components=1
rm -r "$out/package"
dpkg-source --no-check -x "$downloads"/busybox/*.dsc "$out/busybox"

cat "$checkout"/kernel/fragments/base.config "$checkout"/kernel/fragments/pi2.config \
	>"$out/kernel/wanted.config"
cd "$out/linux"
set -- make O="$out/kernel" -j"$jobs" ARCH=arm CROSS_COMPILE=$cross
"$@" KCONFIG_ALLCONFIG="$out/kernel/wanted.config" allnoconfig
"$@" zImage bcm2836-rpi-2-b.dtb modules
cp "$checkout"/module/*.[ch] "$checkout"/module/Kbuild "$out/module"
"$@" M="$out/module" modules

cd "$out/busybox"
set -- make O="$out/objects" -j"$jobs" CROSS_COMPILE=$cross
"$@" allnoconfig
fragment=$checkout/buildroot/board/pibed/pi2/busybox.config
sed -n 's/^\(CONFIG_[A-Z0-9_]*\)=.*/\1/p' "$fragment" |
	sed 's/.*/\/^# & is not set$\/d; \/^&=\/d/' >"$out/drop.sed"
sed -i -f "$out/drop.sed" "$out/objects/.config"
cat "$fragment" >>"$out/objects/.config"
yes '' | "$@" oldconfig
"$@" busybox
"$@" CONFIG_PREFIX="$out/root" install

${cross}gcc -O0 -static -o "$out/dense_mm" "$checkout/module/user/dense_mm.c"
