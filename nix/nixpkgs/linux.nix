# SPDX-License-Identifier: MIT OR Apache-2.0
# linux_cki: nixpkgs' own 6.12, with all its drivers, our files and our patches. As a host needs no patch, it
# differs from linux_6_12 in the configuration alone, and only in what the module asks of a host. The kernel
# *inside* of containers is another one, cki-guest-kernel: CONFIG_CKI_GUEST excludes much of what nixpkgs' kernel
# is to have (kexec, kprobes, 32-bit programs).
{ lib
, linux_6_12
, runCommand
, diffutils
}:

let
  # Our files as a patch, which is how buildLinux takes them, for its configuration too.
  files = runCommand "cki-files.patch" { nativeBuildInputs = [ diffutils ]; } ''
    mkdir -p a b/arch/x86/include b/include/uapi/linux
    cp -r --no-preserve=mode ${../../kernel/src}/arch b/
    cp -r --no-preserve=mode ${../../abi/include/cki} b/arch/x86/include/cki
    cp --no-preserve=mode ${../../abi/include/linux/cki_guest.h} b/include/uapi/linux/cki_guest.h
    # It ends with 1 when there are differences.
    diff --recursive --unified --new-file a b > $out || [ $? -eq 1 ]
  '';
  queue = map
    (name: { inherit name; patch = ../../kernel/patches + "/${name}"; })
    (lib.filter (lib.hasSuffix ".patch") (lib.attrNames (builtins.readDir ../../kernel/patches)));
in
linux_6_12.override (theirs: {
  kernelPatches = theirs.kernelPatches ++ [{ name = "cki-files"; patch = files; }] ++ queue;
  structuredExtraConfig = with lib.kernel; {
    # The module knows four levels of page tables.
    X86_5LEVEL = no;
    # An error in a container's memory ends the container and not the machine.
    MEMORY_FAILURE = yes;
    # What guests of ours are made of is not for this kernel; see above.
    CKI_GUEST = option no;
  };
  extraMeta = {
    description = "nixpkgs' Linux 6.12 for hosts of CKI containers";
    branch = "6.12";
  };
})
