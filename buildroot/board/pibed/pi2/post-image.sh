#!/bin/sh
# Applies the device-tree overlays: post-image.sh IMAGES DEVICE_TREE OVERLAY...
set -eu

images=$1
name=$2
shift 2
checkout=$(dirname "$0")/../../../..
tools=$PIBED_LINUX_DIR/scripts/dtc

find "$PIBED_LINUX_DIR/arch/arm/boot/dts" -name "$name.dtb" -exec cp {} "$images/board.dtb" \;
for overlay; do
	"$tools/dtc" -q -@ -O dtb -o "$images/overlay.dtbo" "$checkout/kernel/dts/$overlay.dtso"
	"$tools/fdtoverlay" -i "$images/board.dtb" -o "$images/merged.dtb" "$images/overlay.dtbo"
	mv "$images/merged.dtb" "$images/board.dtb"
	rm "$images/overlay.dtbo"
done
