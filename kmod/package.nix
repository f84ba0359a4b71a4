# SPDX-License-Identifier: GPL-2.0-only
# The host module, for exactly the kernel that it is built against, which is ours unless another is given, and
# for exactly the monitor.
{ lib
, stdenv
, cki-kernel
, cki-ksm
, cki-version
, elfutils
, kmod
, perl
, rustSource
  # A directory of monitors that it takes as well: for the tests that show what a check is worth, nothing else.
, testMonitors ? null
  # What `make -C` is given, and the packages that it is in; a pattern of the shell will do.
, kernelBuild ? cki-kernel.dev
, kernelPackages ? [ ]
}:

stdenv.mkDerivation {
  pname = if testMonitors == null then "cki-kmod" else "cki-kmod-tests";
  version = cki-version;
  inherit (rustSource [ "kmod" "abi/include" ]) src;
  nativeBuildInputs = [ elfutils kmod perl ] ++ kernelPackages;

  licences = ../LICENSES;
  copyright = ../nix/copyright.sh;
  kernel = kernelBuild;
  ARCH = "x86_64";
  KBUILD_BUILD_TIMESTAMP = "Thu Jan  1 00:00:01 UTC 1970";
  KBUILD_BUILD_USER = "cki";
  KBUILD_BUILD_HOST = "cki";

  monitors = [ "${cki-ksm}/lib/firmware/cki/ksm" ] ++ lib.optional (testMonitors != null) "${testMonitors}/*";

  buildPhase = ''
    sh kmod/hash-monitors.sh $monitors > kmod/monitors.h
    make -C $kernel M=$PWD/kmod -j$NIX_BUILD_CORES modules
  '';

  installPhase = ''
    destination=$out/lib/modules/$(cat $kernel/include/config/kernel.release)/extra
    mkdir -p $destination
    strip --strip-debug -o $destination/cki.ko kmod/cki.ko
    bash $copyright $out/share/doc/cki-kmod/copyright GPL-2.0-only
  '';

  # nixpkgs only: a module is no program to patch or strip further.
  dontFixup = true;

  meta = {
    description = "Host kernel module of CKI containers";
    license = lib.licenses.gpl2Only;
  };
}
