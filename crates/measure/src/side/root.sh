# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes /run/box/rootfs, a root file system as that of `cki-build run`: what the machine's first disk of the user's
# holds, below memory. What follows in the same script runs something in it.
set -eu
box=/run/box disk=
for block in /sys/block/*; do
	[ "$(cat "$block/serial" 2> /dev/null)" != cki-disk0 ] || disk=/dev/${block##*/}
done
mkdir -p $box/lower $box/memory $box/rootfs
mount -t erofs -o ro "$disk" $box/lower
# An overlay needs something below it that is no overlay itself.
mount -t tmpfs memory $box/memory
mkdir $box/memory/upper $box/memory/work
mount -t overlay -o "lowerdir=$box/lower,upperdir=$box/memory/upper,workdir=$box/memory/work" root $box/rootfs
