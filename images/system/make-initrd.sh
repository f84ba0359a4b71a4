# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the system disk's initial file system: bash make-initrd.sh OUT INIT MODULES MODULE
#
# MODULES is a directory with a kernel's modules and modules.boot, the list of those that INIT loads; MODULE is ours.
# Reproducible as images/host/make-initrd.sh is.
out=$PWD/$1 init=$2 modules=$3 module=$4

umask 022
mkdir initrd-root
cd initrd-root
mkdir -p bin dev lib64 lib/modules proc run sbin sys sysroot
install -m 755 "$init" init
install -m 755 /usr/bin/busybox bin/busybox
install -m 755 /usr/sbin/dmsetup sbin/dmsetup
for library in $(ldd /usr/sbin/dmsetup | grep -o '/[^ ]*'); do
	mkdir -p "./$(dirname "$library")"
	cp -L --no-preserve=mode,timestamps "$library" "./$library"
	chmod 755 "./$library"
done
cp -r --no-preserve=mode,timestamps "$modules"/* lib/modules/
cp --no-preserve=mode,timestamps "$module" lib/modules/*/

find . -exec touch -h -d @1 {} +
find . -mindepth 1 -printf '%P\0' | LC_ALL=C sort -z |
	cpio --null --create --format=newc --reproducible --owner=0:0 --quiet > "$out"
cd ..
rm -r initrd-root
