# SPDX-License-Identifier: MIT OR Apache-2.0
# Sizes of memory as `cki` reads them: 512M, 1.5G; a number alone is MiB. tests/nixos/sizes.json holds both to it.
{ lib }:

let
  limits = lib.importJSON ./limits.json;
  # Of more digits, thousandths of a MiB could be more than a number of Nix' holds.
  pattern = "([0-9]{1,9})(\\.([0-9]{1,3}))?([MmGg]?)";

  # In thousandths of a MiB, so that what is not whole shows.
  thousandths = text:
    let
      parts = builtins.match pattern text;
      digits = if lib.elemAt parts 2 == null then "" else lib.elemAt parts 2;
      fraction = lib.toIntBase10 (lib.substring 0 3 (digits + "000"));
      unit = if lib.elem (lib.elemAt parts 3) [ "G" "g" ] then 1024 else 1;
    in
    (lib.toIntBase10 (lib.head parts) * 1000 + fraction) * unit;
in
rec {
  type = lib.types.addCheck (lib.types.strMatching pattern) (text: lib.mod (thousandths text) 1000 == 0) // {
    description = "whole number of MiB, such as 512M or 1.5G";
  };

  mib = text: thousandths text / 1000;

  # What the module takes of its pool for it: whole chunks.
  chunks = text: (mib text + limits.chunkMib - 1) / limits.chunkMib * limits.chunkMib;
}
