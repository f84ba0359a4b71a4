#!@busybox@ sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# Starts the program by whose name it is called in a mount namespace of its own, in which /usr is the Debian root's
# and everything else is the machine's. It takes what a sandbox of Nix takes, too: a user namespace.
set -eu
name=${0##*/}

exec @busybox@ unshare -U -r -m @busybox@ sh -euc '
	busybox=$1 usr=$2 new=$3 here=$4
	shift 4
	"$busybox" mount -t tmpfs tmpfs "$new"
	for entry in /*; do
		case $entry in
		/usr | /bin | /sbin | /lib | /lib32 | /lib64 | /libx32) continue ;;
		esac
		if [ -L "$entry" ]; then
			"$busybox" cp -d "$entry" "$new$entry"
		elif [ -d "$entry" ]; then
			"$busybox" mkdir "$new$entry"
			"$busybox" mount --rbind "$entry" "$new$entry"
		fi
	done
	"$busybox" mkdir "$new/usr"
	"$busybox" mount --rbind "$usr" "$new/usr"
	for link in bin sbin lib lib64; do "$busybox" ln -s "usr/$link" "$new/$link"; done
	PATH=/usr/bin:/usr/sbin:$PATH
	export PATH
	exec "$busybox" chroot "$new" /bin/sh -c "cd \"\$1\" && shift && exec \"\$@\"" sh "$here" "$@"
' sh @busybox@ "@root@/usr" "@out@/root" "$PWD" "/usr/bin/$name" "$@"
