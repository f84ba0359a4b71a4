# SPDX-License-Identifier: MIT OR Apache-2.0
# build.sh PATCH BASE WHERE RUST_SRC: builds the monitor with PATCH as WHERE/images/<name of the patch>. BASE
# is where make has built it without. Run at the top of the source; any shell does.
set -eu
patch=$1 base=$2 where=$3 rust_src=$4
name=$(basename "$patch" .patch)
name=${name#[0-9][0-9]-}
tree=$where/$name

mkdir -p "$tree" "$where/images"
# All with its times, so that make compiles what the patch changes, and what depends on it.
cp -a ksm abi "$tree"
cp -a "$base" "$tree/build"
rm "$tree/build/ksm"
if ! patch -p1 -d "$tree" --fuzz=0 --no-backup-if-mismatch <"$patch" >"$tree/log" 2>&1; then
	cat "$tree/log" >&2
	echo "error: $patch does not apply to the monitor's source any more; make it anew, to take out the same check" >&2
	exit 255
fi
if ! make -C "$tree/ksm" O="$tree/build" RUST_SRC="$rust_src" >"$tree/log" 2>&1; then
	cat "$tree/log" >&2
	echo "error: the monitor does not build with $patch" >&2
	exit 255
fi
if cmp -s "$base/ksm" "$tree/build/ksm"; then
	echo "error: $patch takes nothing out: the monitor is the same without it" >&2
	exit 255
fi
mv "$tree/build/ksm" "$where/images/$name"
rm -r "$tree"
