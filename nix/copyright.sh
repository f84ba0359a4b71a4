# SPDX-License-Identifier: MIT OR Apache-2.0
# Writes the file that distributions look for beside a package, share/doc/NAME/copyright: whose it is, under which
# licences, and the texts of those.
#
#   bash copyright.sh FILE [--by TEXT] [--crates] [--static] LICENCE...
#
# --by       who wrote it, when it is not ours
# --crates   run by the builder of a Rust program, in its crate: names the crates that are linked into it, with what
#            their licences ask to be passed on
# --static   the C library is linked into it, too
#
# $licences is the folder LICENSES of the repository.
set -eu -o pipefail

file=$1
name=$(basename "$(dirname "$file")")
shift
crates='' static='' by=''
while [[ ${1-} == --* ]]; do
	case $1 in
	--by)
		by=$2
		shift
		;;
	--crates) crates=1 ;;
	--static) static=1 ;;
	*) echo "copyright.sh: what is $1?" >&2; exit 1 ;;
	esac
	shift
done
[ $# -gt 0 ] || { echo "copyright.sh: no licence for $name" >&2; exit 1; }

heading() {
	printf '\n\n%s\n%s\n\n' "$1" "$(printf '%s' "$1" | tr -c '' '=')"
}

# Each text once, under the names of all crates that bring it.
crate_texts() {
	local sources=${cargoDepsCopy:-$vendored} crate directory text sum
	local -A brought=() texts=()
	while read -r crate; do
		directory=$(find "$sources/" -maxdepth 2 -type d -name "$crate" | head -n 1)
		[ -n "$directory" ] || { echo "copyright.sh: no source of $crate" >&2; exit 1; }
		while read -r text; do
			sum=$(sha256sum < "$text")
			texts[$sum]=$text
			brought[$sum]+=" $crate"
		done < <(find "$directory" -maxdepth 1 -type f \
			\( -iname 'licen[cs]e*' -o -iname 'copying*' -o -iname 'copyright*' -o -iname 'notice*' \) | sort)
	done
	printf '%s\n' "${!texts[@]}" | sort | while read -r sum; do
		heading "From${brought[$sum]}"
		cat "${texts[$sum]}"
	done
}

mkdir -p "$(dirname "$file")"
{
	if [ -n "$by" ]; then
		printf '%s: %s\n' "$name" "$by"
	else
		printf '%s is a part of CKI, containers that each have a kernel of their own.\n' "$name"
		printf 'Copyright (c) 2026 the contributors of the CKI project\n'
	fi
	printf 'Licence: %s\n' "$(printf '%s' "$*" | sed 's/ / OR /g')"
	if [ -n "$static" ]; then
		printf '\nThe GNU C Library is linked into it, which is under the LGPL, version 2.1 or later. Whoever wants another\n'
		printf 'version of it in the program builds the program again: the repository of CKI is all that this takes.\n'
		set -- "$@" LGPL-2.1-or-later
	fi
	if [ -n "$crates" ]; then
		linked=$(cargo tree --offline --edges normal,no-proc-macro --target x86_64-unknown-linux-gnu --prefix none \
			--format '{p}|{l}' | sed 's/ (\*)$//' | grep -v ' (/' | sort -u)
		printf "\nRust's standard library is linked into it, which is under MIT OR Apache-2.0, and these crates:\n\n"
		printf '%s\n' "$linked" | sed -E 's/^([^ ]+) v([^|]+)\|(.*)$/  \1 \2: \3/'
	fi
	for licence; do
		heading "$licence"
		cat "$licences/$licence.txt"
	done
	if [ -n "$crates" ]; then
		printf '%s\n' "$linked" | sed -E 's/^([^ ]+) v([^|]+)\|.*$/\1-\2/' | crate_texts
	fi
} > "$file"
