# SPDX-License-Identifier: MIT OR Apache-2.0
# packages.sh BASE STEPS: installs packages on what base.sh has left in BASE, and writes to $out the layer of
# what is different then. STEPS has a line for each call of dpkg: `unpack DEB...` or `configure PACKAGE...`.
# BASE's tree has been unpacked to /build/root, without fakeroot: that is ten times as fast.
base=$1 steps=$2
root=/build/root
. "$common"

# What fakeroot has to know of the base.
while IFS=$'\t' read -r -d '' path rest; do
	read -r kind mode user group _ <<< "$rest"
	chown -h "$user:$group" "$root/$path"
	[ "$kind" = l ] || chmod "$mode" "$root/$path"
done < "$base/special"

# A file with a later change of its inode is another one than in the base.
touch /build/mark
until touch /build/later && [ /build/later -nt /build/mark ]; do :; done

enter
while read -r verb words; do
	# A word is the path of a package in the store, or a package's name.
	# shellcheck disable=SC2086
	install "--$verb" $words
	if [ "$verb" = unpack ]; then
		date_files
		show_modes
	fi
done < "$steps"
leave

cd "$root"
list > /build/list
path_of() { LC_ALL=C cut -z -f 1; }
export LC_ALL=C
path_of < "$base/list" > /build/before
path_of < /build/list > /build/after
{
	comm -z -13 "$base/list" /build/list | path_of
	env -u LD_PRELOAD find . -mindepth 1 -type f -cnewer /build/mark -print0
} | sort -zu > /build/changed
# What is gone is hidden by a character device 0:0, as overlayfs wants it, unless all of its directory is gone.
comm -z -23 /build/before /build/after > /build/gone
while IFS= read -r -d '' path; do
	parent=${path%/*}
	if [ -d "$parent" ] && [ ! -L "$parent" ]; then printf '%s\0' "$path"; fi
done < /build/gone > /build/hidden

# Directories on the way are part of the layer, for overlayfs shows those of the uppermost layer.
cat /build/changed /build/hidden | gawk -v RS='\0' -v ORS='\0' '{
	path = $0
	while (sub("/[^/]*$", "", path) && path != ".") if (!seen[path]++) print path
}' > /build/parents
comm -z -23 <(sort -zu /build/changed /build/parents) /build/hidden > /build/layer.list
mkdir /build/layer
tar -C "$root" --no-recursion --null -T /build/layer.list -cf - | tar -C /build/layer -xpf -
while IFS= read -r -d '' path; do
	mknod -m 0 "/build/layer/$path" c 0 0
done < /build/hidden
pack /build/layer "$out"
