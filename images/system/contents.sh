# SPDX-License-Identifier: MIT OR Apache-2.0
# What the system disk's root file system consists of, a line each, for who asks what another system would change
# (`cki-build deploy diff`): bash contents.sh ROOT KERNEL TREE_TIME
#
#   kernel RELEASE HASH         Linux (SHA-256 of KERNEL)
#   modules NUMBER HASH         those of Linux that there are
#   module HASH, monitor HASH   ours
#   package NAME VERSION KIB    Debian's, and what they take
#   file PATH HASH              what is on top of them: the files that are younger than TREE_TIME
#   link PATH TARGET            and the symbolic links, by which units are enabled
#   rest HASH                   names, kinds, modes and owners of all that there is
root=$1 kernel=$2 time=$3 status=$4

hash() {
	sha256sum | cut -c -64
}

cd "$root"
release=$(ls usr/lib/modules)
modules=usr/lib/modules/$release
of_linux() {
	find "$modules" -name '*.ko' ! -path "$modules/extra/*" | LC_ALL=C sort
}
echo "kernel $release $(hash < "$kernel")"
echo "modules $(of_linux | wc -l) $(of_linux | xargs sha256sum | hash)"
echo "module $(hash < "$modules/extra/cki.ko")"
echo "monitor $(hash < usr/lib/firmware/cki/ksm)"
awk -F ': ' '
	$1 == "Package" { name = $2 }
	$1 == "Version" { version = $2 }
	$1 == "Installed-Size" { size = $2 }
	$0 == "" && name { print "package", name, version, size + 0; name = version = size = "" }
	END { if (name) print "package", name, version, size + 0 }
' "$status" | LC_ALL=C sort
if find . | LC_ALL=C grep -q '[^!-~]'; then
	echo "a file's name has a blank, or a letter beyond ASCII: this list cannot have it" >&2
	exit 1
fi
find . -type f -newermt "@$time" ! -path './usr/lib/modules/*' ! -path ./usr/lib/firmware/cki/ksm \
	! -path './usr/share/doc/*' -printf '%P\n' | LC_ALL=C sort | while read -r file; do
	echo "file /$file $(hash < "$file")"
done
find . -type l -newermt "@$time" ! -path './usr/lib/modules/*' -printf 'link /%P %l\n' | LC_ALL=C sort
echo "rest $(find . ! -path './usr/lib/modules/*' -printf '%P %y %m %U %G %l\n' | LC_ALL=C sort | hash)"
