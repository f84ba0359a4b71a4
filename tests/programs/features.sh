# SPDX-License-Identifier: MIT OR Apache-2.0
# Uses what programs in containers expect of their kernel: sh features.sh
# A line for each feature, "NAME: ok" or "NAME: " and what its commands said.

# Network: a namespace for a client, one for the world, with a bridge and a veth pair each. The world knows
# no way back to the client, so it answers what has been translated only.
wire() { # NAMESPACE NETWORK
	ip netns add "$1"
	ip link add "$1"0 type bridge
	ip link add "$1"1 type veth peer name eth0 netns "$1"
	ip link set "$1"1 master "$1"0
	ip address add "$2".1/24 dev "$1"0
	ip link set "$1"0 up
	ip link set "$1"1 up
	ip -n "$1" address add "$2".2/24 dev eth0
	ip -n "$1" link set eth0 up
	ip -n "$1" link set lo up
}

# Serves each client its own address; gives up after a while.
cat > /tmp/serve.py <<'EOF'
import socket, sys
server = socket.create_server((sys.argv[1], int(sys.argv[2])))
server.settimeout(60)
print("ready", flush=True)
client, peer = server.accept()
client.sendall(peer[0].encode())
EOF
cat > /tmp/ask.py <<'EOF'
import socket, sys
print(socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=20).recv(100).decode())
EOF

# Serves in a namespace, and asks from the client's; puts out the address that the server saw.
talk() { # NAMESPACE-OF-SERVER ADDRESS PORT ASKED-ADDRESS ASKED-PORT
	rm -f /tmp/ready
	mkfifo /tmp/ready
	ip netns exec "$1" python3 /tmp/serve.py "$2" "$3" > /tmp/ready 2> /dev/null &
	head -n 1 < /tmp/ready > /dev/null
	ip netns exec client python3 /tmp/ask.py "$4" "$5"
}

namespaces_bridges_and_veth() {
	wire client 10.9.0
	wire world 10.8.0
	ip -n client route add default via 10.9.0.1
	echo 1 > /proc/sys/net/ipv4/ip_forward
	# The kernel's own namespace, by a name.
	touch /run/netns/here
	mount --bind /proc/self/ns/net /run/netns/here
	[ "$(talk here 10.9.0.1 80 10.9.0.1 80)" = 10.9.0.2 ]
}

nft_masquerade() {
	nft 'table ip t { chain n { type nat hook postrouting priority 100; ip saddr 10.9.0.0/24 masquerade; }; }'
	[ "$(talk world 10.8.0.2 80 10.8.0.2 80)" = 10.8.0.1 ]
	nft delete table ip t
}

nft_reject_counter_and_sets() {
	nft 'table inet t {
		set ports { type inet_service; elements = { 81, 82 }; }
		chain c { type filter hook input priority 0; tcp dport @ports counter reject with tcp reset; }
	}'
	if talk here 10.9.0.1 81 10.9.0.1 81; then false; fi
	nft list table inet t | grep 'counter packets [1-9]'
	nft delete table inet t
}

# Looked up with vector instructions, by the kernel.
nft_sets_of_ranges() {
	nft 'table inet t {
		set s { type ipv4_addr . inet_service; flags interval; elements = { 10.9.0.0/24 . 87-88, 10.1.0.0/16 . 1-9 }; }
		chain c { type filter hook input priority 0; ip saddr . tcp dport @s reject with tcp reset; }
	}'
	if talk here 10.9.0.1 88 10.9.0.1 88; then false; fi
	[ "$(talk here 10.9.0.1 89 10.9.0.1 89)" = 10.9.0.2 ]
	nft delete table inet t
}

iptables_nat() { # COMMAND
	"$1" -t nat -A POSTROUTING -s 10.9.0.0/24 -j MASQUERADE
	"$1" -t nat -A PREROUTING -p tcp --dport 8000 -m comment --comment test -j DNAT --to-destination 10.8.0.2:83
	"$1" -t nat -A PREROUTING -p tcp --dport 8001 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports 84
	"$1" -A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
	[ "$(talk world 10.8.0.2 83 10.9.0.1 8000)" = 10.8.0.1 ]
	[ "$(talk here 10.9.0.1 84 10.9.0.1 8001)" = 10.9.0.2 ]
	"$1" -t nat -F
	"$1" -F
}

iptables_by_nf_tables() {
	iptables_nat iptables-nft
}

iptables_legacy() {
	iptables_nat iptables-legacy
}

# Both ends' outer packets stay in the namespace where the interfaces were made.
wireguard() {
	for end in client world; do
		wg genkey > /tmp/$end.key
		wg pubkey < /tmp/$end.key > /tmp/$end.public
		ip link add wg-$end type wireguard
	done
	wg set wg-client listen-port 5001 private-key /tmp/client.key \
		peer "$(cat /tmp/world.public)" allowed-ips 10.7.0.2/32 endpoint 127.0.0.1:5002
	wg set wg-world listen-port 5002 private-key /tmp/world.key \
		peer "$(cat /tmp/client.public)" allowed-ips 10.7.0.1/32
	ip link set lo up
	number=1
	for end in client world; do
		ip link set wg-$end netns $end
		ip -n $end address add 10.7.0.$number/24 dev wg-$end
		ip -n $end link set wg-$end up
		number=2
	done
	[ "$(talk world 10.7.0.2 86 10.7.0.2 86)" = 10.7.0.1 ]
}

other_interfaces() {
	ip link add d0 type dummy
	ip link add link d0 name d0.5 type vlan id 5
	ip link add link d0 name m0 type macvlan mode bridge
	ip link add d1 type dummy
	ip link add link d1 name i0 type ipvlan mode l2
	ip tuntap add dev t0 mode tap
	ip tuntap add dev u0 mode tun
	tc qdisc add dev d0 root handle 1: htb
	tc class add dev d0 parent 1: classid 1:1 htb rate 1mbit
	tc filter add dev d0 parent 1: matchall flowid 1:1
	tc qdisc add dev d1 root netem delay 10ms
}

vsock_loopback() {
	python3 - <<-'EOF'
	import socket
	server = socket.socket(socket.AF_VSOCK)
	server.bind((socket.VMADDR_CID_ANY, 1234))
	server.listen()
	client = socket.socket(socket.AF_VSOCK)
	client.connect((1, 1234))
	client.sendall(b"hello")
	assert server.accept()[0].recv(5) == b"hello"
	EOF
}

# Disks and file systems. The tree is made once, with a hole and an attribute.
tree() { # COMPRESSION
	mkdir -p /tmp/tree/a
	seq 1 20000 > /tmp/tree/a/numbers
	mksquashfs /tmp/tree /tmp/tree.squashfs -comp "$1" -noappend -quiet -no-progress
}

loop_and_squashfs() {
	for compression in gzip xz zstd lz4; do
		tree $compression
		mkdir -p /tmp/mounted
		mount -t squashfs -o loop,ro /tmp/tree.squashfs /tmp/mounted
		cmp /tmp/tree/a/numbers /tmp/mounted/a/numbers
		umount /tmp/mounted
	done
}

fuse() {
	tree gzip
	mkdir -p /tmp/mounted
	squashfuse /tmp/tree.squashfs /tmp/mounted
	grep ' /tmp/mounted fuse' /proc/mounts
	cmp /tmp/tree/a/numbers /tmp/mounted/a/numbers
	fusermount -u /tmp/mounted
}

device_mapper_crypt_and_quota() {
	truncate -s 32M /tmp/disk
	disk=$(losetup -f --show /tmp/disk)
	key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
	echo "0 65536 crypt aes-xts-plain64 $key 0 $disk 0" | dmsetup --noudevsync create secret
	# There is no udev to make the name.
	node=/dev/$(basename "$(readlink -f /sys/dev/block/"$(dmsetup info -c --noheadings -o major,minor --separator : secret)")")
	mkfs.ext4 -q -O quota -E quotatype=usrquota "$node"
	mkdir -p /tmp/secret
	mount -o usrquota "$node" /tmp/secret
	cp /tmp/tree/a/numbers /tmp/secret
	sync
	python3 - <<-'EOF'
	import ctypes, struct
	# Q_GETQUOTA of user 0: its second number counts bytes.
	libc, answer = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(128)
	device = open("/proc/mounts").read().split(" /tmp/secret")[0].split("\n")[-1]
	assert libc.quotactl(0x800007 << 8, device.encode(), 0, answer) == 0, ctypes.get_errno()
	assert struct.unpack("4Q", answer[:32])[2] >= 100000, answer[:32]
	EOF
	umount /tmp/secret
	dmsetup --noudevsync remove secret
	losetup -d "$disk"
}

swap() {
	truncate -s 16M /tmp/swap
	disk=$(losetup -f --show /tmp/swap)
	mkswap "$disk"
	swapon "$disk"
	grep "$disk" /proc/swaps
	swapoff "$disk"
	losetup -d "$disk"
}

overlay_in_a_user_namespace() {
	mkdir -p /tmp/o/lower /tmp/o/layer
	echo below > /tmp/o/lower/file
	unshare --user --map-root-user --mount sh -ec '
		mount -t tmpfs none /tmp/o/layer
		mkdir /tmp/o/layer/upper /tmp/o/layer/work /tmp/o/layer/root
		mount -t overlay -o lowerdir=/tmp/o/lower,upperdir=/tmp/o/layer/upper,workdir=/tmp/o/layer/work \
			none /tmp/o/layer/root
		grep below /tmp/o/layer/root/file
		rm /tmp/o/layer/root/file'
	grep below /tmp/o/lower/file
}

# Control of resources.
control_groups() {
	for controller in cpu cpuset hugetlb io memory misc pids; do
		grep -w $controller /sys/fs/cgroup/cgroup.controllers
		echo +$controller > /sys/fs/cgroup/cgroup.subtree_control
	done
	mkdir /sys/fs/cgroup/test
	echo 1 > /sys/fs/cgroup/test/pids.max
	if sh -c 'echo 0 > /sys/fs/cgroup/test/cgroup.procs; /bin/true; echo forked'; then false; fi
	truncate -s 8M /tmp/limited
	disk=$(losetup -f --show /tmp/limited)
	echo "$(cat /sys/block/"$(basename "$disk")"/dev) wbps=1048576" > /sys/fs/cgroup/test/io.max
	grep wbps=1048576 /sys/fs/cgroup/test/io.max
	losetup -d "$disk"
	rmdir /sys/fs/cgroup/test
}

pressure() {
	grep -c '^some avg10=' /proc/pressure/cpu /proc/pressure/memory /proc/pressure/io /sys/fs/cgroup/cpu.pressure
}

# Security.
security_modules() {
	mount -t securityfs none /sys/kernel/security
	[ "$(cat /sys/kernel/security/lsm)" = capability,landlock,yama,apparmor ]
	grep Y /sys/module/apparmor/parameters/enabled
}

landlock() {
	python3 - <<-'EOF'
	import ctypes, os, struct
	libc = ctypes.CDLL(None, use_errno=True)
	# landlock_create_ruleset() of reading files, prctl(PR_SET_NO_NEW_PRIVS), landlock_restrict_self().
	rules = libc.syscall(444, struct.pack("Q", 4), 8, 0)
	assert rules >= 0, ctypes.get_errno()
	assert libc.prctl(38, 1, 0, 0, 0) == 0
	open("/etc/passwd").close()
	assert libc.syscall(446, rules, 0) == 0, ctypes.get_errno()
	try:
	    open("/etc/passwd")
	except PermissionError:
	    os._exit(0)
	raise SystemExit("it can still be read")
	EOF
}

ciphers_by_sockets() {
	python3 - <<-'EOF'
	import hashlib, socket
	for name in ("sha1", "sha256", "sha512"):
	    alg = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
	    alg.bind(("hash", name))
	    operation = alg.accept()[0]
	    operation.sendall(b"text")
	    assert operation.recv(64) == hashlib.new(name, b"text").digest()
	alg = socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
	alg.bind(("skcipher", "cbc(aes)"))
	alg.setsockopt(socket.SOL_ALG, socket.ALG_SET_KEY, bytes(16))
	operation = alg.accept()[0]
	operation.sendmsg_afalg([bytes(16)], op=socket.ALG_OP_ENCRYPT, iv=bytes(16))
	assert operation.recv(16).hex() == "66e94bd4ef8a2c3b884cfa59ca342b2e"
	EOF
}

audit() {
	python3 - <<-'EOF'
	import socket, struct
	# AUDIT_GET, answered with its status.
	audit = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
	audit.settimeout(10)
	audit.send(struct.pack("IHHII", 16, 1000, 1, 1, 0))
	assert struct.unpack("IHHII", audit.recv(4096)[:16])[1] == 1000
	EOF
}

# The rest.
checkpoint_and_restore() {
	echo 30000 > /proc/sys/kernel/ns_last_pid
	sh -c 'echo $$' | grep '^300'
	echo 4 > /proc/self/clear_refs
	python3 - <<-'EOF'
	import ctypes, mmap, struct
	# Bit 55 of a page's word: written to since it was cleared.
	memory = mmap.mmap(-1, 8192)
	memory[0] = memory[4096] = 1
	address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
	open("/proc/self/clear_refs", "w").write("4")
	memory[4096] = 2
	with open("/proc/self/pagemap", "rb") as pagemap:
	    pagemap.seek(address // 4096 * 8)
	    words = struct.unpack("2Q", pagemap.read(16))
	assert [word >> 55 & 1 for word in words] == [0, 1], words
	EOF
}

other_formats_of_programs() {
	mountpoint -q /proc/sys/fs/binfmt_misc || mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
	echo ':test:E::ours::/bin/cat:' > /proc/sys/fs/binfmt_misc/register
	echo 'put out by cat' > /tmp/program.ours
	chmod +x /tmp/program.ours
	/tmp/program.ours | grep 'put out by cat'
}

bpf() {
	[ ! -e /proc/sys/net/core/bpf_jit_enable ]
	python3 - <<-'EOF'
	import ctypes, socket, struct
	# BPF_PROG_LOAD of a socket filter: r0 = 5; exit. Five bytes of each message are kept.
	libc = ctypes.CDLL(None, use_errno=True)
	program = ctypes.create_string_buffer(struct.pack("BBhi", 0xb7, 0, 0, 5) + struct.pack("BBhi", 0x95, 0, 0, 0))
	license = ctypes.create_string_buffer(b"MIT")
	attributes = struct.pack("=IIQQIIQI", 1, 2, ctypes.addressof(program), ctypes.addressof(license), 0, 0, 0, 0)
	filter = libc.syscall(321, 5, attributes, len(attributes))
	assert filter >= 0, ctypes.get_errno()
	ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
	its.setsockopt(socket.SOL_SOCKET, 50, filter)
	ours.send(b"0123456789")
	assert its.recv(100) == b"01234"
	EOF
}

if [ $# -eq 1 ]; then
	set -e
	"$1"
	exit
fi
for feature in $(sed -n 's/^\([a-z_0-9]*\)() {$/\1/p' "$0"); do
	if said=$(sh "$0" "$feature" 2>&1); then
		echo "$feature: ok"
	else
		echo "$feature: $said"
	fi
done
