# SPDX-License-Identifier: MIT OR Apache-2.0
# What tests and measurements are made with, and no user needs: `nix build .#tests.NAME`. Like nix/packages.nix, with
# which it shares a scope, it is made by one set's callPackage.
{ callPackage }:

rec {
  # QEMU without our patches: what the extension's tests and measurements are compared with.
  qemu-stock = callPackage ../emulator/package.nix { patches = [ ]; };
  cki-isa-tests = callPackage ../emulator/tests/package.nix { };
  # Each patch of the kernel's queue compiles.
  cki-kernel-queue = callPackage ../kernel/queue.nix { };
  # checkpatch is content.
  cki-checkpatch = callPackage ../kernel/checkpatch.nix { };
  cki-monitor-driver = callPackage ../tests/driver/package.nix { };
  cki-ksm-mutants = callPackage ../tests/mutants/package.nix { };
  cki-kmod-tests = callPackage ../kmod/package.nix { testMonitors = cki-ksm-mutants; };
  cki-witness = callPackage ../tests/witness/package.nix { };
  cki-variants = callPackage ../tests/variants/package.nix { };
  # The host with a kernel that looks for mistakes of the module; what runs in containers is the product's.
  cki-kernel-debug = callPackage ../kernel/package.nix { debug = true; };
  cki-kmod-debug = callPackage ../kmod/package.nix { cki-kernel = cki-kernel-debug; };
  cki-witness-debug = callPackage ../tests/witness/package.nix { cki-kernel = cki-kernel-debug; };
  cki-host-debug = callPackage ../images/host/package.nix {
    cki-kernel = cki-kernel-debug;
    hostMib = 768;
    # It is slow: what looks like a processor that hangs after 20 s is none.
    # Code of the kernel's is preempted anywhere, which is not what its configuration starts with.
    moreCmdline = [ "watchdog_thresh=60" "preempt=full" ];
  };
  cki-runtime-debug = callPackage ../images/runtime/package.nix { cki-kmod = cki-kmod-debug; };
  # For tests on a machine that has none.
  cki-test-ssh = callPackage ../tests/ssh/package.nix { };
  # What the example hosts' units run in (tests/nixos).
  cki-test-web = callPackage ../tests/web/package.nix { };
}
