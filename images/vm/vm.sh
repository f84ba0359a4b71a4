#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# `nix run .#vm`: a machine with the system of images/system in the emulator, its console on this terminal.
set -euo pipefail

qemu=@qemu@
disk=@disk@

usage() {
	cat <<-'END'
		Runs a host of CKI containers (cki-system) in the emulator, with its console on this terminal.

		Usage: nix run .#vm -- [OPTIONS] [-- EMULATOR OPTIONS]

		Options:
		  --key FILE     the public key of who may log in as root [default: the first there is of
		                 ~/.ssh/id_ed25519.pub, id_ecdsa.pub and id_rsa.pub]
		  --port PORT    where the machine is reached by SSH, at 127.0.0.1 [default: 2222]
		  --memory SIZE  its memory, as the emulator takes it; 256 MiB are its pool [default: 1G]
		  -h, --help     print this

		What the machine writes to its disk is gone when it ends. `poweroff` over SSH ends it, or
		Ctrl-A X, at once.
	END
}
usage_error() {
	echo "vm: $1; --help says more" >&2
	exit 2
}

key='' port=2222 memory=1G
while [ $# -gt 0 ]; do
	case $1 in
	--key | --port | --memory)
		[ $# -gt 1 ] || usage_error "$1 needs a value"
		printf -v "${1#--}" %s "$2"
		shift
		;;
	-h | --help) usage && exit ;;
	--) shift && break ;;
	*) usage_error "there is no option $1" ;;
	esac
	shift
done
[[ $port =~ ^[0-9]{1,5}$ ]] && ((10#$port >= 1 && 10#$port <= 65535)) || usage_error "$port is no port"

if [ -z "$key" ]; then
	for name in id_ed25519 id_ecdsa id_rsa; do
		[ -z "$key" ] && [ -r ~/.ssh/$name.pub ] && key=~/.ssh/$name.pub
	done
	[ -n "$key" ] || {
		echo "vm: there is no public key in ~/.ssh: make one (ssh-keygen), or name one by --key" >&2
		exit 1
	}
fi
[ -f "$key" ] && [ -r "$key" ] || {
	echo "vm: the key $key is no file that can be read" >&2
	exit 1
}
# Half of a pair is for others to see. The other half would lie in the machine, and let nobody in.
grep -q '^\(ssh\|ecdsa\|sk\)-' "$key" || {
	echo "vm: $key is no public key of SSH's: those are in files that end with .pub" >&2
	exit 1
}
if (exec 3<> "/dev/tcp/127.0.0.1/$port") 2> /dev/null; then
	echo "vm: port $port of 127.0.0.1 is in use: name another one by --port" >&2
	exit 1
fi

echo "vm: when it is up: ssh -p $port root@127.0.0.1. Ctrl-A X ends it." >&2
# A comma ends a word of the emulator's, unless there are two.
exec "$qemu/bin/qemu-system-x86_64" -L "$qemu/share/qemu" -M q35 -cpu max,cki=on -m "$memory" \
	-nodefaults -no-user-config -display none -serial mon:stdio -snapshot \
	-drive "file=$disk,format=qcow2,if=none,id=system" \
	-device virtio-blk-pci,drive=system,id=disk,bootindex=1 \
	-netdev "user,id=net,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=net,romfile= \
	-fw_cfg "name=opt/io.systemd.credentials/ssh.authorized_keys.root,file=${key//,/,,}" "$@"
