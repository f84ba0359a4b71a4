# SPDX-License-Identifier: MIT OR Apache-2.0
# base.sh DEB...: installs what every Debian system has, and leaves in $out:
#   image.erofs     the lowest layer of application images
#   tree.tar.zst    the same files, to install on
#   list            what install.sh:list says of them
#   special         those of its lines that tree.tar.zst has differently: it was written without fakeroot
root=/build/root
. "$common"

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
mkdir -p "$root/var/lib/dpkg"
: > "$root/var/lib/dpkg/status"
: > "$root/var/lib/dpkg/available"
enter

# The accounts that other packages' scripts name are base-passwd's.
for first in base-passwd base-files; do
	for deb in "$@"; do
		case ${deb#/nix/store/*-} in
		"${first}"_*) install --force-depends --install "$deb" ;;
		esac
	done
done
install --force-depends --unpack "$@"
date_files
show_modes
install --configure --pending
leave

mkdir "$out"
list > "$out/list"
pack "$root" "$out/image.erofs"
date_files
export -f list
export root
env -u LD_PRELOAD bash -c list | LC_ALL=C comm -z -23 "$out/list" - > "$out/special"
env -u LD_PRELOAD tar -C "$root" --sort=name --numeric-owner -cf - . | zstd -q -3 -o "$out/tree.tar.zst"
