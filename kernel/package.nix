# SPDX-License-Identifier: GPL-2.0-only
# The kernel: Linux 6.12 with our files (src/), our patches and our configuration, for the host.
# The `dev` output is what modules outside the tree are built against (`make -C $dev M=...`).
{ lib
, stdenv
, linux-source
, bc
, bison
, elfutils
, flex
, kmod
, lz4
, perl
, rsync
  # The kernel that looks for mistakes of the module: the host of some tests, and nobody's guest.
, debug ? false
}:

let
  tree = import ./tree.nix { inherit lib; };
in
stdenv.mkDerivation {
  pname = if debug then "cki-kernel-debug" else "cki-kernel";
  inherit (tree) version ourSource abi uapi queue;
  src = linux-source;

  nativeBuildInputs = [ bc bison elfutils flex kmod lz4 perl rsync ];
  outputs = [ "out" "dev" ];

  # To be met by the final .config, all of them.
  fragments = if debug then tree.fragments.debug else tree.fragments.product;
  checkConfig = ./check-config.awk;
  circles = ./circles.sh;
  privilegedSites = ./privileged-sites.awk;
  knownSites = ./privileged-sites.txt;
  licences = ../LICENSES;
  copyright = ../nix/copyright.sh;

  # All that the kernel would otherwise take from the machine and the moment of the build.
  ARCH = "x86_64";
  KBUILD_BUILD_TIMESTAMP = "Thu Jan  1 00:00:01 UTC 1970";
  KBUILD_BUILD_USER = "cki";
  KBUILD_BUILD_HOST = "cki";
  KBUILD_BUILD_VERSION = "1";

  postPatch = tree.addOurs + ''
    # By ourselves, because a patch phase takes them with fuzz.
    for patch in $queue; do
      echo "-- $(basename $patch)"
      patch -p1 --fuzz=0 --no-backup-if-mismatch < $patch
    done
  '' + tree.patchScripts;

  configurePhase = ''
    cat $fragments > all.config
    make KCONFIG_ALLCONFIG=all.config allnoconfig
    grep -rhoE '^[[:space:]]*(menu)?config [A-Za-z0-9_]+' --include='Kconfig*' . |
      awk '{ print "CONFIG_" $2 }' | sort -u > known-symbols
    awk -v known=known-symbols -f $checkConfig $fragments .config
    echo "$(grep -c '=y' .config) symbols built in, $(grep -c '=m' .config) as modules"
    rm all.config known-symbols
  '';

  buildPhase = ''
    make -s -j$NIX_BUILD_CORES vmlinux ${lib.optionalString (!debug) "bzImage"} modules
  '' + lib.optionalString (!debug) ''
    objdump -d --no-show-raw-insn vmlinux |
      awk -v known=$knownSites -f $privilegedSites
    (cd arch/x86/cki; sh $circles $(ls *.o | grep -v built-in))
  '';

  installPhase = ''
    mkdir -p $out $dev
    # Debugging information goes, symbols stay: gdb and traces of the emulator need them.
    objcopy --strip-debug vmlinux $out/vmlinux
    ${lib.optionalString (!debug) "cp arch/x86/boot/bzImage $out/"}
    cp System.map $out/
    cp .config $out/config
    make -s INSTALL_MOD_PATH=$out modules_install
    rm -f $out/lib/modules/*/build $out/lib/modules/*/source
    bash $copyright $out/share/doc/linux/copyright --by 'Linux, by its authors, with the changes of CKI' GPL-2.0-only

    # What kbuild reads when it builds a module elsewhere: its own programs, every makefile,
    # headers, the linker script, and the symbols of this kernel.
    rsync -a --prune-empty-dirs \
      --include='/include/***' --include='/arch/' --include='/arch/x86/' --include='/arch/x86/include/***' \
      --include='/scripts/***' --include='/tools/' --include='/tools/objtool/' --include='/tools/objtool/objtool' \
      --include='/Makefile' --include='/Kbuild' --include='/Kconfig' --include='/.config' --include='/Module.symvers' \
      --include='/arch/x86/Makefile*' --include='/System.map' --exclude='*' ./ $dev/
    find $dev \( -name '*.o' -o -name '*.cmd' -o -name '*.a' \) -delete
  '';

  # nixpkgs only: its fixup would strip symbols.
  dontStrip = true;
  dontPatchELF = true;
  enableParallelBuilding = true;

  meta = {
    description = "Linux for the host of CKI containers";
    license = lib.licenses.gpl2Only;
  };
}
