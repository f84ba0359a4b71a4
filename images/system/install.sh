# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes the system disk's root file system under fakeroot, of the Debian packages in /build/root, which $tree has been
# unpacked to: bash install.sh OUT
root=/build/root out=$1

# What fakeroot has to know of the tree.
while IFS=$'\t' read -r -d '' path rest; do
	read -r kind mode user group _ <<< "$rest"
	chown -h "$user:$group" "$root/$path"
	[ "$kind" = l ] || chmod "$mode" "$root/$path"
done < "$tree/special"

cp -r --no-preserve=mode,ownership,timestamps "$files/." "$root/"
echo 'cki:x:900:' >> "$root/etc/group"
echo 'cki:!::' >> "$root/etc/gshadow"

# Containers and what runs them.
mkdir -p "$root/usr/lib/cki" "$root/usr/lib/firmware" "$root/usr/libexec"
install -m 755 "$launcher/bin/cki" "$root/usr/bin/"
install -m 755 "$passt/bin/passt" "$root/usr/libexec/"
chmod 755 "$root/usr/lib/cki/slot"
install -m 644 "$guest/vmlinux" "$guest/initrd" "$root/usr/lib/cki/"
cp -r --no-preserve=mode,ownership "$ksm/lib/firmware/cki" "$root/usr/lib/firmware/"
cp -r --no-preserve=mode,ownership "$kernel/lib/modules" "$root/usr/lib/"
cp -r --no-preserve=mode,ownership "$kmod/lib/modules/." "$root/usr/lib/modules/"
depmod -b "$root/usr" "$(ls "$root/usr/lib/modules")" 2> /dev/null
for part in "$launcher" "$passt" "$kmod" "$ksm" "$guest"; do
	cp -r --no-preserve=mode,ownership "$part/share/doc/." "$root/usr/share/doc/"
done

# The keys that the package's script has made are everybody's. Manuals and translations nobody reads here.
cp "$root/var/lib/dpkg/status" /build/status
rm -f "$root"/etc/ssh/ssh_host_*
rm -rf "$root"/usr/share/{man,info,locale,lintian} "${root:?}/root" "${root:?}/var"
find "$root/usr/share/doc" -type f ! -name copyright -delete
mkdir -m 700 "$root/root"
mkdir "$root/var"

unit=$root/etc/systemd/system
want() { # TARGET UNIT
	mkdir -p "$unit/$1.wants"
	ln -sf "/lib/systemd/system/$2" "$unit/$1.wants/$2"
}
want multi-user.target systemd-networkd.service
want multi-user.target ssh-host-key.service
want multi-user.target ssh.service
want sysinit.target nftables.service
want sysinit.target cki-trial.service
want multi-user.target cki-settle.service
want sockets.target systemd-networkd.socket
cp "$root/usr/share/systemd/tmp.mount" "$unit/"
want local-fs.target tmp.mount
ln -sf /etc/systemd/system/tmp.mount "$unit/local-fs.target.wants/tmp.mount"
# What cares for a system that packages are installed on, and a catalogue that would be made anew at each start.
for name in dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service systemd-journal-catalog-update.service; do
	ln -sf /dev/null "$unit/$name"
	rm -f "$unit"/*.wants/"$name"
done
bash -eu -o pipefail "$contents" "$root" "$kernel/bzImage" "$SOURCE_DATE_EPOCH" /build/status > /build/contents
install -m 644 /build/contents "$root/usr/lib/cki/contents"
find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
mkfs.erofs --quiet -zlz4 -U "$uuid" "$out" "$root"
