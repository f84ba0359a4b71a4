# SPDX-License-Identifier: MIT OR Apache-2.0
# uml.sh MEMORY PROGRAM...: has user-mode Linux with so many MiB run the program, in the root file system that root.sh
# has made, with memory of its own at /tmp.
# Nothing comes to standard output but what the program writes; the status is the program's.
set -eu
memory=$1 box=/run/box
shift
mkdir -p $box/rootfs/proc $box/rootfs/tmp
# What user-mode Linux has for memory is a file.
mount -o remount,size=100% /dev/shm

# PID 1 in there, on the files of the machine, which it has by hostfs.
cat > $box/init << 'INIT'
#!/bin/sh
box=/run/box
mount -t proc proc $box/rootfs/proc
mount -t tmpfs -o nosuid,nodev,mode=1777 memory $box/rootfs/tmp
eval "set -- $(cat $box/words)"
env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
	chroot $box/rootfs "$@" > $box/output 2> $box/errors < /dev/null
echo $? > $box/status
# Power off, which ends user-mode Linux: reboot(2) with LINUX_REBOOT_CMD_POWER_OFF. Restarting would start it anew.
exec perl -e 'syscall 169, 0xfee1dead, 0x28121969, 0x4321fedc'
INIT
chmod 755 $box/init
for word; do
	printf "'%s' " "$(printf '%s' "$word" | sed "s/'/'\\\\''/g")"
done > $box/words
ended=0
TMPDIR=/dev/shm linux.uml "mem=${memory}M" root=/dev/root rootfstype=hostfs rootflags=/ rw "init=$box/init" \
	con=null con0=null,fd:1 quiet < /dev/null > $box/console 2>&1 || ended=$?
if ! [ -s $box/status ]; then
	cat $box/console >&2
	echo "uml.sh: user-mode Linux ended with status $ended before the program did" >&2
	exit 1
fi
cat $box/errors >&2
cat $box/output
exit "$(cat $box/status)"
