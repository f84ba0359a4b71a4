# SPDX-License-Identifier: MIT OR Apache-2.0
# A Debian root directory for builders to chroot into: the closure of some
# packages, unpacked over one another. No maintainer script runs; the few
# symlinks that those would have made through update-alternatives are made here.
{ lib, system, inputs, closure }:

{ packages }:

let debs = map inputs.pinned (closure packages);
in
derivation {
  name = "debian-root";
  inherit system debs;
  builder = "${inputs.seed}/busybox";
  args = [ "sh" ./root.sh ];
  busybox = "${inputs.seed}/busybox";
}
