# SPDX-License-Identifier: MIT OR Apache-2.0
# install.sh ROOT IMAGE DEB...: installs Debian packages into ROOT and packs it.
# Runs under fakeroot, in a user namespace of a single uid that may chroot.
root=$1 image=$2
shift 2

# Owners other than root are not ours to give: fakeroot remembers them, inside
# the chroot too, where its library must be found.
export LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu/libfakeroot
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
# fakeroot can: here archives do keep their owners.
unset TMPDIR TAR_OPTIONS

mkdir -p "$root"
for d in bin sbin lib lib64; do
	mkdir -p "$root/usr/$d"
	ln -s "usr/$d" "$root/$d"
done

# Maintainer scripts need programs of other packages before dpkg has had a turn
# to install those; so everything is laid out first, as debootstrap does.
for deb in "$@"; do
	dpkg-deb --fsys-tarfile "$deb" | tar -C "$root" --keep-directory-symlink -xf -
done

mkdir -p "$root$LD_LIBRARY_PATH" "$root/var/lib/dpkg" "$root/proc" "$root/dev"
cp $LD_LIBRARY_PATH/*.so* "$root$LD_LIBRARY_PATH/"
: > "$root/var/lib/dpkg/status"
: > "$root/var/lib/dpkg/available"
# No service starts while an image is made.
printf '#!/bin/sh\nexit 101\n' > "$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
mount --rbind /dev "$root/dev"
mount --rbind /proc "$root/proc"

# dpkg's thousand lines matter only when it fails.
install() {
	dpkg --root="$root" --log=/dev/null --force-unsafe-io --force-depends \
		--force-confdef --force-confold "$@" >> /build/dpkg.log 2>&1 || {
		cat /build/dpkg.log
		exit 1
	}
}
# The accounts that other packages' scripts name are base-passwd's.
for first in base-passwd base-files; do
	for deb in "$@"; do
		case ${deb#/nix/store/*-} in
		"${first}"_*) install --install "$deb" ;;
		esac
	done
done
install --unpack "$@"
# All dates in the image are one. This comes before the packages are configured,
# because what they compile then (Python's .pyc) names the dates of its sources.
find "$root" \( -path "$root/dev" -o -path "$root/proc" \) -prune -o \
	-exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
# The sandbox refuses set-user-ID bits, which leaves such programs (chfn, su) with no
# mode at all but in fakeroot's books: scripts that call them need a real one.
find "$root" \( -path "$root/dev" -o -path "$root/proc" \) -prune -o \
	-type f -perm /6000 -exec env -u LD_PRELOAD chmod 755 {} +
install --configure --pending

umount -l "$root/dev"
umount -l "$root/proc"
rm -r "${root:?}$LD_LIBRARY_PATH" "$root/usr/sbin/policy-rc.d"

# What holds times, or the order of the installation, and is made anew anyway.
rm -rf "$root/var/log" "$root/var/cache/debconf"/*-old "$root/var/lib/dpkg"/*-old \
	"$root/var/cache/ldconfig" "$root/etc"/*- "$root/tmp" "$root/run"
mkdir -p "$root/var/log" "$root/tmp" "$root/run" "$root/root" "$root/sys"
chmod 1777 "$root/tmp"
: > "$root/etc/machine-id"

# mkfs.erofs takes the one date from SOURCE_DATE_EPOCH.
mkfs.erofs --quiet -U 00000000-0000-0000-0000-000000000001 "$image" "$root"
