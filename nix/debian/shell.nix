# SPDX-License-Identifier: MIT OR Apache-2.0
# What `nix develop` enters: the machine as it is, with the tools that the build is pinned to first in the path.
#
# Debian's programs look for their libraries and for each other under /usr. So each tool is a link to enter-shell.sh,
# which starts the program of that name where /usr is the build root's and all else is the machine's.
{ lib, system, inputs, closure, mkRoot, basePackages, tools }:

let
  wanted = with tools; [
    bc
    bison
    cargo
    clippy
    cpio
    elfutils
    flex
    git
    kmod
    openssl
    perl
    pkg-config
    python3
    rust-src
    rustc
    rustfmt
  ];
  root = mkRoot { packages = lib.unique (basePackages ++ lib.concatMap (tool: tool.debianPackages) wanted); };

  seed = "${inputs.seed}/busybox";

  # `nix develop` runs a builder by the name of bash in a sandbox that has nothing else.
  bash = derivation {
    name = "bash-static";
    inherit system;
    debs = map inputs.pinned (closure [ "bash-static" ]);
    builder = seed;
    args = [
      "sh"
      "-euc"
      ''
        ${seed} mkdir -p $out/bin
        for deb in $debs; do ${seed} dpkg-deb -x $deb unpacked; done
        ${seed} cp unpacked/bin/bash-static $out/bin/bash
      ''
    ];
  };

  entered = derivation {
    name = "cki-shell-tools";
    inherit system root seed;
    builder = seed;
    enter = ./enter-shell.sh;
    programs = [
      "ar"
      "as"
      "bc"
      "bison"
      "c++"
      "cargo"
      "cargo-clippy"
      "cargo-fmt"
      "cc"
      "clippy-driver"
      "cpp"
      "flex"
      "g++"
      "gcc"
      "ld"
      "make"
      "nm"
      "objcopy"
      "objdump"
      "perl"
      "pkg-config"
      "python3"
      "ranlib"
      "readelf"
      "rustc"
      "rustdoc"
      "rustfmt"
      "size"
      "strip"
    ];
    args = [
      "sh"
      "-euc"
      ''
        ${seed} mkdir -p $out/bin $out/root
        ${seed} sed -e "s|@busybox@|$seed|g" -e "s|@root@|$root|g" -e "s|@out@|$out|g" $enter > $out/enter
        ${seed} chmod +x $out/enter
        for program in $programs; do
          [ -e $root/usr/bin/$program ] || { echo "no $program in the root" >&2; exit 1; }
          ${seed} ln -s ../enter $out/bin/$program
        done
      ''
    ];
  };
in
derivation {
  name = "cki-shell";
  inherit system;
  builder = "${bash}/bin/bash";
  # Only `nix build` of the shell itself comes here.
  args = [ "-c" "echo 'a shell for `nix develop`' > $out" ];
  outputs = [ "out" ];
  tools = entered;
  # What another compiler made is of no use to this one.
  shellHook = ''
    export PATH=$tools/bin:$PATH CARGO_TARGET_DIR=''${CKI_SHELL_TARGET:-$PWD/target/nix-develop}
  '';
}
