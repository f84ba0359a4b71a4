# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes a container's root file system from store paths: bash make-image.sh OUT PROGRAMS LIST
#
# LIST names a store path a line; PROGRAMS is one with bin/ and perhaps share/. Reproducible: one date, one owner,
# one identifier.
out=$1 programs=$2 list=$3

umask 022
root=$(mktemp -d)
chmod 755 "$root"
mkdir -p "$root"/{dev,etc,home,proc,root,run,sys,tmp,usr,var/lib,var/log}
chmod 1777 "$root/tmp"
while read -r path; do
	mkdir -p "$root$(dirname "$path")"
	cp -a "$path" "$root$path"
done < "$list"
ln -s "$programs/bin" "$root/bin"
ln -s "$programs/bin" "$root/usr/bin"
ln -s /run "$root/var/run"
[ ! -d "$programs/share" ] || ln -s "$programs/share" "$root/usr/share"

printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'nobody:x:65534:65534::/:/bin/false' > "$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' > "$root/etc/group"
printf '%s\n' 'hosts: files dns' > "$root/etc/nsswitch.conf"

mkfs.erofs --quiet --all-root -T 1 -U 00000000-0000-0000-0000-000000000001 "$out" "$root"
chmod -R u+w "$root"
rm -r "$root"
