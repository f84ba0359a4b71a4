# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes an initial file system: bash make-initrd.sh OUT INIT [ETC MODULES [BUSYBOX]]
#
# With INIT alone it is a container's: what the program needs comes from its image. A host's has accounts,
# the kernel modules below MODULES (none if that is empty) and, with BUSYBOX, commands too.
#
# Reproducible: names are sorted, and times, owners, inode and device numbers are constant. It stays
# uncompressed, because the emulator copies three megabytes faster than it decompresses one.
out=$PWD/$1 init=$2 etc=${3-} modules=${4-} busybox=${5-}

umask 022
mkdir initrd-root
cd initrd-root
mkdir bin dev etc image lib mnt proc root run runtime sbin sys tmp
install -m 755 "$init" init
if [ -n "$busybox" ]; then
	install -m 755 "$busybox" bin/busybox
	# Where each command belongs (bin, sbin, usr/bin, usr/sbin), from busybox itself.
	bin/busybox --list-full | sed -n -E 's,^(usr/)?(s?bin)/([^/]+)$,\2 \3,p' | while read -r directory name; do
		[ -e "$directory/$name" ] || ln -s /bin/busybox "$directory/$name"
	done
fi
[ -z "$etc" ] || install -m 644 "$etc"/* etc/
[ -z "$modules" ] || cp -r --no-preserve=mode,timestamps "$modules" lib/modules

find . -exec touch -h -d @1 {} +
find . -mindepth 1 -printf '%P\0' | LC_ALL=C sort -z |
	cpio --null --create --format=newc --reproducible --owner=0:0 --quiet > "$out"
cd ..
rm -r initrd-root
