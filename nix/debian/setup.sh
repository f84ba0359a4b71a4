# Builder, inside the Debian root: runs the phases of a package.
set -eu -o pipefail
shopt -s nullglob

export PATH=/usr/bin:/usr/sbin HOME=/build TMPDIR=/build LC_ALL=C TZ=UTC
# The one uid of the namespace cannot give files away; archives keep no owners.
export TAR_OPTIONS=--no-same-owner
export SOURCE_DATE_EPOCH=1 SHELL=/bin/bash CONFIG_SHELL=/bin/bash
umask 022

phase() { # NAME DEFAULT: runs the package's script for the phase
	local commands=${!1-$2}
	[ -n "$commands" ] || return 0
	echo "-- $1"
	eval "$commands"
}

unpack() {
	[ -n "$src" ] && [ -z "${dontUnpack-}" ] || return 0
	mkdir source-tree
	if [ -d "$src" ]; then
		cp -r "$src" source-tree/
	else
		tar -C source-tree -xf "$src"
	fi
	local dirs=(source-tree/*/)
	[ ${#dirs[@]} -eq 1 ] || {
		echo "error: $src holds ${#dirs[@]} top directories, expected one" >&2
		exit 1
	}
	# One name for every source, so that nothing compiled in depends on it.
	mv "${dirs[0]}" source
	rmdir source-tree
	cd source
	chmod -R u+w .
}

cd /build
unpack
for p in $patches; do
	echo "-- patch $(basename "$p")"
	patch -p1 --no-backup-if-mismatch < "$p"
done
phase postPatch ''
phase configurePhase ''
phase buildPhase ''
[ -z "${doCheck-}" ] || phase checkPhase ''
phase installPhase ''
phase postInstall ''
