#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# hash-monitors.sh MONITOR [OTHER...] > monitors.h
#
# The monitors that a module takes, by their SHA-256: the one that it is built with, and for a module that
# runs tests those that lack a check (tests/mutants).
set -eu

# Not inside of another command, whose status would hide that of this: an empty list is 32 zeros to C.
hash() {
	digits=$(sha256sum "$1") || exit
	digits=${digits%% *}
	case $digits in
	*[!0-9a-f]*) digits= ;;
	esac
	[ ${#digits} = 64 ] || { echo "$1: no SHA-256" >&2; exit 1; }
	bytes=$(echo "$digits" | sed -E 's/../0x&, /g; s/, $//')
}

echo '/* Made by hash-monitors.sh. */'
hash "$1"
echo "#define CKI_MONITOR_SHA256 { $bytes }"
shift
[ $# = 0 ] && exit
echo '#define CKI_TEST_MONITORS \'
for monitor; do
	hash "$monitor"
	echo "	{ $bytes }, \\"
done
echo
