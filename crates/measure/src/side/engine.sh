# SPDX-License-Identifier: MIT OR Apache-2.0
# engine.sh CONFIG ENGINE...: has the container engine ENGINE (runc, crun, runsc with options) run the container that
# CONFIG, the text of a config.json, describes. Its root file system is made as that of `cki-build run`: what the
# machine's first disk of the user's holds, below memory. Nothing comes to standard output but what the container's
# program writes.
set -eu
config=$1 box=/run/box disk=
shift
for block in /sys/block/*; do
	[ "$(cat "$block/serial" 2> /dev/null)" != cki-disk0 ] || disk=/dev/${block##*/}
done
mkdir -p $box/lower $box/memory $box/rootfs
mount -t erofs -o ro "$disk" $box/lower
# An overlay needs something below it that is no overlay itself.
mount -t tmpfs memory $box/memory
mkdir $box/memory/upper $box/memory/work
mount -t overlay -o "lowerdir=$box/lower,upperdir=$box/memory/upper,workdir=$box/memory/work" root $box/rootfs
printf '%s' "$config" > $box/config.json
exec "$@" run --bundle $box work
