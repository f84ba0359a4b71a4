#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Tries the series on another tree of Linux than ours, a newer one above all: which mails apply as they are, which
# only with other lines around (fuzz), and which hunks not at all. What does not apply is left out, so that the mails
# behind it are tried all the same. Nothing is compiled.
#
#   try-series.sh SERIES TREE
#
# SERIES is what series.sh wrote, TREE an unpacked kernel, which is not changed. One line a mail, and a sum; the
# status is 0 if all apply.
set -euo pipefail
series=$1 tree=$2
[ -f "$tree/Makefile" ] && [ -d "$tree/arch/x86" ] || { echo "$tree is no tree of Linux" >&2; exit 2; }

work=$(mktemp -d)
trap 'rm -r "$work"' EXIT
sed -nE 's/^(VERSION|PATCHLEVEL|SUBLEVEL|EXTRAVERSION) = ?//p' "$tree/Makefile" | head -n 4 | paste -s -d . |
	sed 's/^/Linux /; s/\.\(-\|$\)/\1/'

all=0 whole=0
for mail in "$series"/[0-9]*.patch; do
	all=$((all + 1))
	# Only what it changes, as the mails before have left it.
	sed -n 's,^--- a/,,p' "$mail" | sort -u | while read -r file; do
		if [ ! -e "$work/$file" ] && [ -e "$tree/$file" ]; then
			mkdir -p "$work/$(dirname "$file")"
			cp "$tree/$file" "$work/$file"
		fi
	done
	said=$(patch -p1 -d "$work" --batch --forward --no-backup-if-mismatch --reject-file=- < "$mail" 2>&1) &&
		whole=$((whole + 1)) || true
	refused=$(grep -cE '^Hunk #[0-9]+ FAILED|^[0-9]+ out of [0-9]+ hunks? ignored' <<< "$said" || true)
	if [ "$refused" -gt 0 ]; then
		how="$refused of $(grep -c '^@@ ' "$mail") hunks do not apply"
	elif grep -q ' with fuzz ' <<< "$said"; then
		how="applies with other lines around"
	else
		how="applies"
	fi
	printf '%s: %s\n' "$(basename "$mail" .patch)" "$how"
done
echo "$whole of $all mails apply"
[ "$whole" = "$all" ]
