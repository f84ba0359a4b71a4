# SPDX-License-Identifier: GPL-2.0-only
# build.sh WHERE RUST_SRC KERNEL PATCH...: builds monitor and module with each PATCH, as WHERE/NAME/ksm and
# WHERE/NAME/cki.ko. Run at the top of the source, which a patch is applied to and taken out of again, so that make
# compiles no more than what it changes. Any shell does.
set -eu
where=$1 rust_src=$2 kernel=$3
shift 3

die() {
	echo "error: $*" >&2
	exit 255
}

# build NAME
build() {
	mkdir -p "$where/$1"
	{
		make -C ksm O="$where/objects" RUST_SRC="$rust_src" &&
			sh kmod/hash-monitors.sh "$where/objects/ksm" >kmod/monitors.new
	} >"$where/log" 2>&1 || { cat "$where/log" >&2; die "the monitor does not build: $1"; }
	# Only if it is another one: what includes it is compiled again.
	cmp -s kmod/monitors.new kmod/monitors.h || cp kmod/monitors.new kmod/monitors.h
	make -C "$kernel" M="$PWD/kmod" -j"${NIX_BUILD_CORES:-1}" modules >"$where/log" 2>&1 ||
		{ cat "$where/log" >&2; die "the module does not build: $1"; }
	cp "$where/objects/ksm" "$where/$1/ksm"
	strip --strip-debug -o "$where/$1/cki.ko" kmod/cki.ko
}

build whole
for patch; do
	name=$(basename "$patch" .patch)
	name=${name#[0-9][0-9]-}
	patch -p1 --fuzz=0 --no-backup-if-mismatch <"$patch" ||
		die "$patch does not apply to the source any more; make it anew, to change the same thing"
	build "$name"
	patch -p1 -R --fuzz=0 --no-backup-if-mismatch <"$patch"
	! cmp -s "$where/whole/cki.ko" "$where/$name/cki.ko" || die "$patch changes nothing"
done
