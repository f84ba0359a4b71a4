# SPDX-License-Identifier: MIT OR Apache-2.0
# I6, I7 of the monitor itself: the guest can jump to any byte of its text, so WRPKRS stands in the
# gates (four times) and nowhere else.
set -eu
text=$(mktemp)
trap 'rm -f "$text"' EXIT
objcopy -O binary -j .text "$1" "$text"
found=$(LC_ALL=C grep -obaP '\x0f\x38\x6b\xda' "$text" | wc -l)
if [ "$found" -ne 4 ]; then
	echo "$1: WRPKRS stands $found times in the text, not 4" >&2
	exit 1
fi
