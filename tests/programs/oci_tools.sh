# SPDX-License-Identifier: MIT OR Apache-2.0
# Makes images with buildah, skopeo and umoci in the directory /out, and beside each NAME what is known of its files
# there and then, as NAME.tree. The list is made by the shell script in $1.
set -eu
list() {
    printf '%s' "$script" > "$1/list"
    chroot "$1" /bin/sh /list > "$2"
    rm "$1/list"
}
copy() { skopeo --insecure-policy copy --quiet "$@"; }
script=$1

# An overlay needs a file system below it that is no overlay itself.
mkdir -p /var/lib/containers
mount -t tmpfs none /var/lib/containers
cd /var/lib/containers

# A first layer, with all kinds of files.
first=$(buildah from scratch)
root=$(buildah mount "$first")
mkdir "$root/bin" "$root/etc" "$root/tmp" "$root/lib64" "$root/dev" "$root/tree"
mknod "$root/dev/null" c 1 3
for program in cat find getfattr id sh sha256sum sort stat xargs; do
    cp -L "$(command -v $program)" "$root/bin"
    for library in $(ldd "$(command -v $program)" | grep -o '/[^ ]*'); do
        mkdir -p "$root/$(dirname "$library")"
        cp -Ln "$library" "$root/$library"
    done
done
echo 'app:x:1000:1000::/:/bin/sh' > "$root/etc/passwd"
cp "$root/bin/cat" "$root/bin/able"
setcap cap_net_raw+ep "$root/bin/able"
cd "$root/tree"
mkdir -m 1777 sticky
mkdir becomes-file kept replaced deep deep/er gone
for name in becomes-directory becomes-file/lower kept/lower kept/changed kept/deleted replaced/lower gone/lower \
    deep/er/lower; do
    echo lower > $name
done
ln -s kept/lower link
ln kept/lower hard
mkfifo fifo
mknod device c 1 7
printf '%s' capable > capable
setcap cap_net_bind_service,cap_sys_ptrace+eip capable
printf '%s' noted > noted
setfattr -n user.note -v 'a value' noted
setfattr -n user.binary -v 0x000102fffe noted
setfattr -n user.directory -v yes sticky
echo setuid > setuid
chown 1000:50 setuid
chmod 6755 setuid
touch -d '2001-02-03 04:05:06' old
touch 'a name with spaces' "$(printf 'n\303\244me')"
name=$(printf 'n%.0s' $(seq 200))
mkdir -p "$name/$name"
echo long > "$name/$name/file"
head -c 3000000 /dev/urandom > large
truncate -s 1000000 sparse
echo end >> sparse
cd /var/lib/containers
buildah config --cmd '["/bin/sh", "-c", "id -u; pwd; echo $FROM"]' --env FROM=buildah --workingdir /tree "$first"
buildah commit --quiet "$first" one > /dev/null
list "$root" /out/buildah-docker.tree
buildah push --quiet one docker-archive:/out/buildah-docker:one

# A second one over it, with deletions and changes of kind.
second=$(buildah from --pull-never one)
root=$(buildah mount "$second")
cd "$root/tree"
rm kept/deleted
echo upper > kept/changed
echo upper > kept/upper
rm -r gone replaced becomes-file becomes-directory
mkdir replaced becomes-directory
echo upper > replaced/upper
echo upper > becomes-directory/upper
echo upper > becomes-file
setfattr -x user.binary noted
setfattr -n user.note -v another noted
chmod 700 deep/er
ln large kept/large
cd /var/lib/containers
buildah commit --quiet "$second" two > /dev/null
list "$root" /out/buildah-oci.tree
buildah push --quiet two oci:/out/buildah-oci:two

# The same in the forms that skopeo knows.
for name in docker oci-archive; do
    form=${name#docker}
    copy oci:/out/buildah-oci:two "${form:-docker-archive}:/out/skopeo-$name:two"
    cp /out/buildah-oci.tree "/out/skopeo-$name.tree"
done
copy --dest-compress-format zstd oci:/out/buildah-oci:two oci:/out/skopeo-zstd:two
cp /out/buildah-oci.tree /out/skopeo-zstd.tree
copy oci:/out/buildah-oci:two oci:umoci:base

# Three more layers by umoci: a directory that hides what was below it, a deletion, and what differs between two trees.
# A directory above such a deletion is not in its layer, so the last one has it. umoci writes no parts of seconds.
mkdir opaque
echo third > opaque/third
touch -d 2020-02-02 opaque opaque/third
umoci insert --image umoci:base --tag third --opaque opaque /tree/deep
umoci insert --image umoci:third --tag fourth --whiteout /tree/setuid
umoci unpack --image umoci:fourth bundle
root=$PWD/bundle/rootfs
cd "$root/tree"
rm -r kept/changed becomes-directory becomes-file replaced
mkdir becomes-file replaced
echo fifth > becomes-directory
echo fifth > becomes-file/fifth
echo fifth > replaced/fifth
setfattr -n user.fifth -v fifth noted
setcap cap_chown+ep old
touch -d 2020-02-02 becomes-directory becomes-file becomes-file/fifth replaced replaced/fifth kept .
list "$root" /out/umoci.tree
cd /var/lib/containers
umoci repack --image umoci:fifth bundle
umoci config --image umoci:fifth --config.user app
for tag in base third fourth; do
    umoci rm --image umoci:$tag
done
umoci gc --layout umoci
tar c -C umoci -f /out/umoci .
