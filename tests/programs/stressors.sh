# SPDX-License-Identifier: MIT OR Apache-2.0
# stress-ng's stressors, one after the other: `name status`, a line each, and on standard error what those that failed said.
#   sh stressors.sh STEP [LEFT OUT...]: each STEP-th of them, but for some
set -eu
step=$1
shift
mkdir /tmp/stress
cd /tmp/stress
for class in cpu filesystem interrupt memory os pipe scheduler vm; do
	stress-ng --class "$class?" | sed 's/.*: *//' | tr ' ' '\n'
done | sed '/^$/d' | sort -u > /tmp/names
for name in "$@"; do
	sed -i "/^$name\$/d" /tmp/names
done
# In a session of its own each: some signal all of their group.
awk "NR % $step == 0" /tmp/names | while read -r name; do
	status=0
	setsid --wait timeout --kill-after 5 60 \
		stress-ng "--$name" 1 "--$name-ops" 20 --timeout 4 --verify > /tmp/said 2>&1 < /dev/null || status=$?
	echo "$name $status"
	[ $status = 0 ] || sed "s/^/$name: /" /tmp/said >&2
	rm -rf /tmp/stress/*
done
