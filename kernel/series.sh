#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Writes the series of mails that a maintainer of Linux is sent, which makes of an unpacked kernel the tree that
# we build: the queue (patches/), and what the build adds in other ways (series/).
#
#   series.sh ROOT OUT SENDER
#
# ROOT is this repository. SENDER, `Name <address>`, is who sends the series: author of each mail, who signs it off
# and looks after the code (MAINTAINERS). A mail of series/ has a diff, or names files of ours in the header `Files:`,
# which are then added as they are. The numbers of both directories together have no hole. The cover letter names mails by
# their subjects. All are sent as RFC: the cover letter has questions, and no processor has the extension.
set -euo pipefail

fail() { echo "series.sh: $*" >&2; exit 1; }

[ $# -eq 3 ] || fail "needs ROOT, OUT and SENDER, who signs the series off: 'Name <address>'"
root=$1 out=$2 sender=$3
[[ $sender =~ ^[^'<>&\"']+\ \<[^'<>&\" ']+@[^'<>&\" ']+\>$ ]] || fail "'$sender' is no 'Name <address>'"
kernel=$root/kernel
mkdir -p "$out"

# Where the file that Linux is to have as $1 is here.
source_of() {
	case $1 in
	arch/x86/include/cki/*) echo "$root/abi/include/cki/${1##*/}" ;;
	include/uapi/*) echo "$root/abi/include/${1#include/uapi/}" ;;
	*) echo "$kernel/src/$1" ;;
	esac
}

# The files of ours, as Linux is to have them.
ours() {
	(cd "$kernel/src" && find . -mindepth 2 -type f | sed 's,^\./,,')
	(cd "$root/abi/include" && find cki -type f | sed 's,^,arch/x86/include/,')
	# The other header for programs is of the host's module.
	echo include/uapi/linux/cki_guest.h
}

# What stands below the message of a mail that adds files.
added() { # FILE...
	local file from lines all=0
	echo ---
	for file; do
		from=$(source_of "$file")
		[ -f "$from" ] || fail "there is no $from"
		lines=$(wc -l < "$from")
		all=$((all + lines))
		printf ' %-32s | %4d +\n' "$file" "$lines"
	done
	printf ' %d files changed, %d insertions(+)\n\n' $# $all
	for file; do
		from=$(source_of "$file")
		printf 'diff --git a/%s b/%s\nnew file mode 100644\n--- /dev/null\n+++ b/%s\n@@ -0,0 +1,%d @@\n' \
			"$file" "$file" "$file" "$(wc -l < "$from")"
		sed 's/^/+/' "$from"
	done
}

mails=()
while read -r mail; do
	mails+=("$mail")
done < <(find "$kernel/patches" "$kernel/series" -name '[0-9]*.patch' -printf '%f %p\n' | sort | cut -d ' ' -f 2-)

number=0
files=()
for mail in "${mails[@]}"; do
	number=$((number + 1))
	name=${mail##*/}
	[ "${name%%-*}" = "$(printf %04d $number)" ] || fail "number $number is $name"
	# The header ends at the first empty line.
	listed=$(sed -n '/^$/q; s/^Files: //p' "$mail")
	{
		echo "From: $sender"
		message=$(sed '/^---$/Q' "$mail")
		sed -e '1,/^$/ { /^Files: /d; s,^Subject: \[PATCH\],Subject: [RFC PATCH '"$number/${#mails[@]}"'],; }' \
			<<< "$message"
		printf '\nSigned-off-by: %s\n' "$sender"
		sed -n '/^---$/,$p' "$mail" | while IFS= read -r line; do
			printf '%s\n' "${line/#+M:?SENDER/+M:	$sender}"
		done
		[ -z "$listed" ] || added $listed
	} > "$out/$name"
	[ -z "$listed" ] || files+=($listed)
done

diff <(ours | sort) <(printf '%s\n' "${files[@]}" | sort) ||
	fail "the series adds other files (>) than there are (<)"

subjects=()
for mail in "${mails[@]}"; do
	# A long one goes on behind a blank.
	subjects+=("$(sed -n '1,/^$/ { /^Subject: /,/^[^ ]/ { s/^Subject: \[PATCH\] //p; s/^ / /p } }' "$mail" | tr -d '\n')")
done

letter=$(sed "1,/^\$/ s,^Subject: \[PATCH\],Subject: [RFC PATCH 0/$number]," "$kernel/series/cover-letter.txt")
# The letter names a mail by the beginning of its subject, in braces, and is sent with its number.
while [[ $letter =~ \{([^{}]*)\} ]]; do
	named=${BASH_REMATCH[1]} found=
	for at in "${!subjects[@]}"; do
		[[ ${subjects[at]} != "$named"* ]] || found="$found $((at + 1))"
	done
	[[ $found =~ ^\ [0-9]+$ ]] || fail "the cover letter names no one mail by {$named}, but:${found:- none}"
	letter=${letter//"{$named}"/${found# }}
done

{
	printf 'From: %s\n%s\n\n' "$sender" "$letter"
	printf '  %s\n' "${subjects[@]}"
} > "$out/0000-cover-letter.txt"
echo "$number mails"
