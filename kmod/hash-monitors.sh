#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# hash-monitors.sh MONITOR [OTHER...] > monitors.h
#
# The monitors that a module takes, by their SHA-256: the one that it is built with, and for a module that
# runs tests those that lack a check (tests/mutants).
set -eu

hash() {
	sha256sum "$1" | sed -E 's/ .*//; s/../0x&, /g; s/, $//'
}

echo '/* Made by hash-monitors.sh. */'
echo "#define CKI_MONITOR_SHA256 { $(hash "$1") }"
shift
[ $# = 0 ] && exit
echo '#define CKI_TEST_MONITORS \'
for monitor; do
	echo "	{ $(hash "$monitor") }, \\"
done
echo
