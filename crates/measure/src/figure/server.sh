# SPDX-License-Identifier: MIT OR Apache-2.0
# server.sh NAME=VALUE... -- SERVER...: has the command SERVER serve on a bridge of the machine, and asks it from there,
# twice: the first time does not count. `how` says where the server is: `native`, a process in a network namespace, as
# engines of containers make them; `cki`, a container of ours; or an engine, which runs the container of `config`, the
# text of a config.json. `load` is the store path of what asks, by `protocol` at `port`: so many `clients` with so many
# `requests` each, for `keys` with a `deviation` from the middle one. Puts out one object: what that has said, and the
# nanoseconds in which the machine had nothing to do meanwhile.
set -eu
while [ "$1" != -- ]; do
	case $1 in
	how=* | config=* | load=* | protocol=* | port=* | clients=* | requests=* | keys=* | deviation=*) readonly "$1" ;;
	*)
		echo "server.sh: what is $1?" >&2
		exit 1
		;;
	esac
	shift
done
shift
box=/run/box disk=

for block in /sys/block/*; do
	[ "$(cat "$block/serial" 2> /dev/null)" != cki-disk0 ] || disk=/dev/${block##*/}
done
if [ -z "$disk" ]; then
	echo "server.sh: the machine has no disk with what asks (its serial number would be cki-disk0)" >&2
	exit 1
fi
mkdir -p $box/load $box/rootfs
mount -t erofs -o ro "$disk" $box/load

ip link add br0 type bridge
ip address add 10.9.0.1/24 dev br0
ip link set br0 up
namespace() {
	ip netns add side
	ip link add out type veth peer name eth0 netns side
	ip link set out master br0 up
	ip -n side address add 10.9.0.2/24 dev eth0
	ip -n side link set eth0 up
	ip -n side link set lo up
}

case $how in
native)
	namespace
	ip netns exec side "$@" > /run/server.log 2>&1 &
	;;
cki)
	cki run --kernel /runtime/lib/vmlinux --initrd /runtime/lib/initrd --image /dev/vda --memory 256M \
		--cmdline mitigations=off --network bridge=br0 --ip 10.9.0.2/24 --tmpfs /tmp -- "$@" > /run/server.log 2>&1 &
	;;
*)
	namespace
	mount --bind / $box/rootfs
	printf '%s' "$config" > $box/config.json
	"$how" run --bundle $box work > /run/server.log 2>&1 < /dev/null &
	;;
esac
server=$!

ask() {
	"$box/load$load/bin/cki-kv-load" 10.9.0.2:"$port" --protocol "$protocol" --keys "$keys" --deviation "$deviation" \
		--json "$@"
}
attempts=0
until ask --requests 1 > /dev/null 2> /run/ask.log; do
	attempts=$((attempts + 1))
	if [ $attempts = 300 ] || ! kill -0 $server 2> /dev/null; then
		cat /run/server.log /run/ask.log >&2
		exit 1
	fi
	sleep 0.1
done

idle() {
	awk '/\.(idle|iowait)_sleeptime/ { sub(/.*: */, ""); sum += $1 } END { printf "%.0f\n", sum }' /proc/timer_list
}
ask --clients "$clients" --requests "$requests" > /dev/null
before=$(idle)
said=$(ask --clients "$clients" --requests "$requests")
after=$(idle)
printf '{"load":%s,"idle":%d}\n' "$said" $((after - before))
kill $server
