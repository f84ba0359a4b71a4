#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Refuses a circle among object files: A uses what B defines, and B, directly or not, what A defines.
#
#   circles.sh OBJECT...
#
# A symbol counts for the file that defines it. What none of the files defines belongs to somebody else.
set -eu
scratch=$(mktemp -d)
trap 'rm -r "$scratch"' EXIT
for object; do
	nm -g --format=posix "$object" | awk -v file="${object##*/}" '{ print file, $1, $2 }'
done | awk -v expected=$# '
	# U, and v or w without a definition: used. All other letters: defined here.
	!($1 in files) {
		files[$1]
		count++
	}
	{
		if ($3 ~ /^[Uvw]$/)
			uses[$1, $2]
		else
			home[$2] = $1
	}
	END {
		if (count != expected) {
			print "circles: only " count + 0 " of " expected " files have symbols" > "/dev/stderr"
			exit 1
		}
		for (pair in uses) {
			split(pair, part, SUBSEP)
			if (part[2] in home && home[part[2]] != part[1]) {
				print part[1], home[part[2]]
				edges++
			}
		}
		if (!edges) {
			print "circles: no file uses another" > "/dev/stderr"
			exit 1
		}
	}' > "$scratch/edges"
if ! tsort "$scratch/edges" > "$scratch/order"; then
	echo "circles: the files above use each other in a circle" >&2
	exit 1
fi
echo "no circle, from the top: $(tr '\n' ' ' < "$scratch/order")"
