# SPDX-License-Identifier: MIT OR Apache-2.0
# What base.sh and packages.sh have in common: dpkg in a root of its own. They run under fakeroot, in a user
# namespace of a single uid that may chroot, and set $root before they read this.

# Owners other than root are not ours to give: fakeroot remembers them, inside
# the chroot too, where its library must be found.
export LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/libfakeroot
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
# fakeroot can: here archives do keep their owners.
unset TMPDIR TAR_OPTIONS

log=/build/dpkg.log

enter() { # before the first package
	mkdir -p "$root$LD_LIBRARY_PATH" "$root/proc" "$root/dev"
	cp $LD_LIBRARY_PATH/*.so* "$root$LD_LIBRARY_PATH/"
	# No service starts while an image is made.
	printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	mount --rbind /dev "$root/dev"
	mount --rbind /proc "$root/proc"
}

leave() { # after the last one
	umount -l "$root/dev"
	umount -l "$root/proc"
	rm -r "${root:?}$LD_LIBRARY_PATH" "$root/usr/sbin/policy-rc.d"
	# What holds times, or the order of the installation, and is made anew anyway.
	rm -rf "$root/var/cache/debconf"/*-old "$root/var/lib/dpkg"/*-old \
		"$root/var/cache/ldconfig" "$root/etc"/*- "$root/tmp" "$root/run"
	# Directories of logs belong to services, which may not be able to make them.
	find "$root/var/log" ! -type d -delete
	mkdir -p "$root/tmp" "$root/run" "$root/root" "$root/sys"
	chmod 1777 "$root/tmp"
	: > "$root/etc/machine-id"
}

# dpkg's thousand lines matter only when it fails. The whole log comes first, and last, what decided.
install() { # OPTION...
	dpkg --root="$root" --log=/dev/null --force-unsafe-io \
		--force-confdef --force-confold "$@" >> $log 2>&1 || {
		cat $log
		echo "dpkg could not install these packages; the lines that say why:"
		grep -B 6 -E '^dpkg: (error|dependency|.*problem)' $log | tail -n 30
		exit 1
	}
}

# All dates in an image are one. This comes before packages are configured,
# because what they compile then (Python's .pyc) names the dates of its sources.
date_files() {
	# These are true without fakeroot, which makes each look at a file ten times as slow.
	env -u LD_PRELOAD find "$root" \( -path "$root/dev" -o -path "$root/proc" \) -prune -o \
		! -newermt "@$SOURCE_DATE_EPOCH" -newermt "@$((SOURCE_DATE_EPOCH - 1))" -o \
		-exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

# The sandbox refuses set-user-ID bits, which leaves such programs (chfn, su) with no
# mode at all but in fakeroot's books: scripts that call them need a real one.
show_modes() {
	find "$root" \( -path "$root/dev" -o -path "$root/proc" \) -prune -o \
		-type f -perm /6000 -exec env -u LD_PRELOAD chmod 755 {} +
}

# Every entry of the root with all that is to be seen of it from outside, by name, each ended by a NUL byte.
# Contents are not among it, nor times, which are all one in an image.
list() {
	(cd "$root" && find . -mindepth 1 -printf '%p\t%y %m %U %G %l\0' | LC_ALL=C sort -z)
}

# mkfs.erofs takes the one date from SOURCE_DATE_EPOCH.
pack() { # DIRECTORY IMAGE
	mkfs.erofs --quiet -U 00000000-0000-0000-0000-000000000001 "$2" "$1"
}
