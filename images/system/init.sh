#!/bin/busybox sh
# SPDX-License-Identifier: MIT OR Apache-2.0
# PID 1 of the system disk's initial file system: opens the root file system, of which every block has to be the one
# that the kernel's command line names (cki.system=BLOCKS:ROOTHASH), loads the module with its pool while memory is
# whole (cki.pool=SIZE), and hands over to systemd. What fails ends in a panic, and the machine starts anew.
export PATH=/bin:/sbin

fail() {
	echo "cki: $*" > /dev/console
	sync
	exit 1
}

/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /bin
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=0755,nosuid,nodev tmpfs /run

system='' pool='' slot=''
for word in $(cat /proc/cmdline); do
	case $word in
	cki.system=*) system=${word#cki.system=} ;;
	cki.pool=*) pool=${word#cki.pool=} ;;
	cki-system.slot=a) slot=2 ;;
	cki-system.slot=b) slot=3 ;;
	esac
done
blocks=${system%%:*} hash=${system#*:}
[ -n "$system" ] || fail "the kernel's command line has no cki.system="

modules=/lib/modules/$(uname -r)
while read -r module; do
	insmod "$modules/$module" || fail "cannot load $module"
done < "$modules/modules.boot"

# Opens $1 as /dev/mapper/system; the words behind it are dm-verity's.
open_system() {
	device=$1
	shift
	dmsetup create system --readonly --noudevsync --table \
		"0 $((blocks * 8)) verity 1 $device $device 4096 4096 $blocks $blocks sha256 $hash - $*" && dmsetup mknodes system
}

# Whether the first $2 bytes of the device $1 are the system's; without a number, all of them.
is_system() {
	open_system "$1" 2> /dev/null || return 1
	dd if=/dev/mapper/system of=/dev/null bs="${2:-1M}" ${2:+count=1} 2> /dev/null && is=0 || is=1
	dmsetup remove --noudevsync system
	[ "$is" = 0 ] || echo "cki: $1 says that it is the system, and is not the one of this kernel's command line" > /dev/console
	return "$is"
}

# Sets $device to the disk or partition that has the file system with this number, which images/system/package.nix
# gives it, and begins as the one that is asked for: a disk may only say that it is the system. Of several that begin
# so, a container may have written all but one; the first that is whole is taken.
uuid=434b4900000040008000000000000003
find_system() {
	found=
	for device in /sys/class/block/*; do
		# Slots are partitions, and the same system may be in both.
		[ -z "$slot" ] || [ "$(cat "$device/partition" 2> /dev/null)" = "$slot" ] || continue
		device=/dev/${device##*/}
		[ "$(dd if="$device" bs=1 skip=1072 count=16 2> /dev/null | od -An -tx1 | tr -d ' \n')" = "$uuid" ] || continue
		! is_system "$device" 4096 || found="$found $device"
	done
	# shellcheck disable=SC2086 # names of devices, which have no blanks
	set -- $found
	[ $# -gt 1 ] || {
		device=${1-}
		[ -n "$device" ]
		return
	}
	for device; do
		echo "cki: $* all begin as the system: reading $device" > /dev/console
		! is_system "$device" || return 0
	done
	return 1
}
tries=0
until find_system; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || fail "there is no disk with the system"
	usleep 100000
done

# From here on, a block that was changed stops the machine.
open_system "$device" 1 panic_on_corruption || fail "cannot open $device as the system"
mount -t erofs -o ro /dev/mapper/system /sysroot || fail "cannot mount the system"

# What is written is the machine's: on the disk with this serial number if there is one, else gone with the next start.
# The number comes from whoever gives the machine its disks; a label or UUID would be what a container wrote on one.
state=
for serial in /sys/block/*/serial /sys/block/*/device/serial; do
	[ "$(cat "$serial" 2> /dev/null)" = cki-state ] || continue
	state=${serial#/sys/block/}
	state=/dev/${state%%/*}
done
if [ -n "$state" ]; then
	mount -t ext4 "$state" /sysroot/var || fail "cannot mount $state, which has the serial number cki-state, as ext4"
	mkdir -p /sysroot/var/log/journal
else
	mount -t tmpfs -o mode=0755 tmpfs /sysroot/var
fi
mkdir -p /sysroot/var/root
chmod 0700 /sysroot/var/root
mount --bind /sysroot/var/root /sysroot/root

if [ -n "$pool" ]; then
	insmod "$modules/cki.ko" pool="$pool" monitor=/sysroot/usr/lib/firmware/cki/ksm ||
		fail "the module cannot be loaded with $pool of memory; cki.pool= has the size"
fi

for directory in proc sys dev run; do
	mount --move "/$directory" "/sysroot/$directory"
done
exec switch_root /sysroot /sbin/init
