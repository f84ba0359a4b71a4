#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Applies a series of patches one by one, without fuzz, and builds after each one all objects of Linux that the
# series touches, so that a bisection meets no kernel that does not compile. Then takes all back but the last one,
# which adds the option, and those that add files of ours, and builds after each one again: what is there for
# guests alone is compiled with each patch, too, and not only by the whole series.
#
#   build-queue.sh BEFORE LAST BACK PATCH...
#
# BEFORE is the configuration (for KCONFIG_ALLCONFIG) up to the last but one patch, LAST that with the whole
# series, when arch/x86/cki is built as well, and BACK that of the way back. Each is to meet $DISTRIBUTION, of lines
# CONFIG_X=y: what the series leaves to be decided at boot. Run in the top directory of an unpacked kernel.
set -eu
before=$1 last=$2 back=$3
shift 3

# Users of headers that the series changes, where no file that it changes is one.
others="mm/memory.o mm/mmu_gather.o mm/pgtable-generic.o fs/dcache.o drivers/char/mem.o
	arch/x86/kernel/paravirt.o arch/x86/kernel/setup.o"
# The linker script is no object; whoever links a kernel reads it. arch/x86/cki needs the last patch.
touched=$(sed -n 's,^+++ b/\(.*\)\.[cS]$,\1.o,p' "$@" | grep -v -e '\.lds\.o$' -e '^arch/x86/cki/' | sort -u)
[ "$(echo "$touched" | wc -l)" -ge 15 ] || { echo "the patches touch next to nothing: $touched" >&2; exit 1; }

configure() { # CONFIG
	make -s KCONFIG_ALLCONFIG="$1" allnoconfig > /dev/null
	grep '^CONFIG_' "$DISTRIBUTION" | while read -r wanted; do
		grep -qx "$wanted" .config || { echo "$1: no $wanted" >&2; exit 1; }
	done
}

build() { # WHAT
	objects="$touched $others"
	# What makes guests of Xen compiles only in a kernel that can be one.
	grep -q '^CONFIG_XEN_PV=y$' .config || objects=$(echo "$objects" | tr -s ' \t' '\n' | grep -v '^arch/x86/xen/')
	make -s -j"${NIX_BUILD_CORES:-2}" $objects || { echo "does not build: $1" >&2; exit 1; }
	ls $objects > /dev/null
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
for config in "$last" "$back"; do
	configure "$config"
	grep -q '^CONFIG_CKI_GUEST=y$' .config || { echo "the whole series makes no guest" >&2; exit 1; }
	build "the whole series"
	make -s -j"${NIX_BUILD_CORES:-2}" arch/x86/cki/
done

taken=0
for ((i = $# - 1; i > 0; i--)); do
	patch=${!i}
	! grep -q '^+++ b/arch/x86/cki/' "$patch" || break
	patch -R -p1 --fuzz=0 --no-backup-if-mismatch < "$patch"
	# What may be asked for changes, too.
	configure "$back"
	grep -q '^CONFIG_CKI_GUEST=y$' .config || { echo "no guest without $patch" >&2; exit 1; }
	build "what is before $patch, with the option"
	taken=$((taken + 1))
done
[ "$taken" -ge 20 ] || { echo "only $taken patches were taken back" >&2; exit 1; }
echo "$# patches, $(echo $touched $others | wc -w) objects after each; $taken taken back"
