#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Has Linux' checkpatch look at patches and at sources, and fails if it finds anything that is not known.
#
#   checkpatch.sh KNOWN FILE...
#
# KNOWN has lines `FILE TYPE`, with reasons behind `#`; what it names and checkpatch no longer finds is a
# failure as well. Run in the top directory of a kernel's tree.
set -euo pipefail
known=$1
shift
[ $# -ge 50 ] || { echo "hardly a file to look at: $*" >&2; exit 1; }

found=$(for file; do
	case $file in *.patch) how= ;; *) how=--file ;; esac
	# 1 says that there are findings.
	scripts/checkpatch.pl --terse --show-types --no-summary $how "$file" || [ $? -eq 1 ]
done)
[ -z "$found" ] || echo "$found"
diff <(sed -n 's/[[:space:]]*#.*//; /./p' "$known" | sort -u) \
	<(echo "$found" | sed -nE 's,^([^:]+):[0-9]+: [A-Z]+:([A-Z_]+): .*,\1 \2,p' | sort -u) ||
	{ echo "checkpatch finds something else (>) than $(basename "$known") says (<)" >&2; exit 1; }
echo "$# files"
