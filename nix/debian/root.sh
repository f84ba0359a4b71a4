# Unpacks $debs into $out. Runs under the seed busybox alone.
set -eu
"$busybox" mkdir -p /build/bin
"$busybox" --install -s /build/bin
export PATH=/build/bin

# Debian 12 is merged-/usr, but its packages still ship files under /bin, /lib…
mkdir -p "$out/usr/bin" "$out/usr/sbin" "$out/usr/lib" "$out/usr/lib64" "$out/etc"
for d in bin sbin lib lib64; do ln -s "usr/$d" "$out/$d"; done

# Unpacked in parallel: the packages of one closure do not share files, and
# directories are made idempotently.
unpack() {
	if ! log=$(dpkg-deb -x "$1" "$out" 2>&1); then
		echo "cannot unpack $1: $log" >&2
		return 1
	fi
}
for deb in $debs; do
	unpack "$deb"
done

alternative() {
	if [ ! -e "$out/usr/bin/$1" ] && [ -e "$out/usr/bin/$2" ]; then
		ln -s "$2" "$out/usr/bin/$1"
	fi
}
alternative cc gcc
alternative c++ g++
alternative awk gawk
alternative awk mawk
alternative which which.debianutils
alternative fakeroot fakeroot-sysv
alternative faked faked-sysv

# Nothing in a build reads these, and they are a third of some packages.
rm -rf "$out/usr/share/doc" "$out/usr/share/man" "$out/usr/share/locale" "$out/usr/share/info" "$out/var" "$out/usr/share/lintian"

echo 'root:x:0:0:root:/build:/bin/sh' > "$out/etc/passwd"
echo 'root:x:0:' > "$out/etc/group"
