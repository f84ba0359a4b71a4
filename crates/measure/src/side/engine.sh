# SPDX-License-Identifier: MIT OR Apache-2.0
# engine.sh CONFIG ENGINE...: has the container engine ENGINE (runc, crun, runsc with options) run the container that
# CONFIG, the text of a config.json, describes, on the root file system that root.sh has made. Nothing comes to
# standard output but what the container's program writes.
set -eu
config=$1 box=/run/box
shift
printf '%s' "$config" > $box/config.json
exec "$@" run --bundle $box work
