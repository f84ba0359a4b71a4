# Builder, outside: makes a root around the Debian tools and enters it. The Nix
# sandbox gives an unprivileged user namespace of one uid; a second one gives
# the right to mount and to chroot, and maps the builder to root.
set -eu
"$busybox" mkdir -p /tmp/.bin
"$busybox" --install -s /tmp/.bin
PATH=/tmp/.bin

exec unshare -U -r -m sh -eu -c '
	new=/tmp/.root
	mkdir -p $new/nix $new/dev $new/proc $new/build $new/tmp $new/usr $new/etc
	for d in bin sbin lib lib64; do ln -s usr/$d $new/$d; done
	mount --rbind "$root/usr" $new/usr
	mount --rbind /nix $new/nix
	mount --rbind /dev $new/dev
	mount --rbind /proc $new/proc
	mount --rbind /build $new/build
	# A copy, because programs expect to be able to write here (mtab, ld.so.cache).
	cp -r "$root/etc/." $new/etc/
	chmod -R u+w $new/etc
	export PATH=/usr/bin:/usr/sbin
	exec /tmp/.bin/chroot $new /bin/bash "$setup"
'
