#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Applies a series of patches one by one, without fuzz, and builds after each one all objects of Linux that the
# series touches, so that a bisection meets no kernel that does not compile.
#
#   build-queue.sh BEFORE LAST PATCH...
#
# BEFORE is the configuration (for KCONFIG_ALLCONFIG) up to the last but one patch, LAST that with the whole
# series, when arch/x86/cki is built as well. Run in the top directory of an unpacked kernel.
set -eu
before=$1 last=$2
shift 2

# Users of headers that the series changes, where no file that it changes is one.
others="mm/memory.o mm/mmu_gather.o mm/pgtable-generic.o fs/dcache.o drivers/char/mem.o
	arch/x86/kernel/paravirt.o arch/x86/kernel/setup.o"
# The linker script is no object; whoever links a kernel reads it. arch/x86/cki needs the last patch.
touched=$(sed -n 's,^+++ b/\(.*\)\.[cS]$,\1.o,p' "$@" | grep -v -e '\.lds\.o$' -e '^arch/x86/cki/' | sort -u)
[ "$(echo "$touched" | wc -l)" -ge 15 ] || { echo "the patches touch next to nothing: $touched" >&2; exit 1; }

configure() { # CONFIG
	make -s KCONFIG_ALLCONFIG="$1" allnoconfig > /dev/null
}

build() { # WHAT
	make -s -j"${NIX_BUILD_CORES:-2}" $touched $others || { echo "does not build: $1" >&2; exit 1; }
	ls $touched $others > /dev/null
}

configure "$before"
build "the tree without patches"
for patch; do
	echo "-- $(basename "$patch")"
	patch -p1 --fuzz=0 --no-backup-if-mismatch < "$patch"
	if [ "$patch" != "${!#}" ]; then
		build "$patch"
	fi
done
configure "$last"
grep -q '^CONFIG_CKI_GUEST=y$' .config || { echo "the whole series makes no guest" >&2; exit 1; }
build "the whole series"
make -s -j"${NIX_BUILD_CORES:-2}" arch/x86/cki/
echo "$# patches, $(echo $touched $others | wc -w) objects after each"
