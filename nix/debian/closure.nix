# SPDX-License-Identifier: MIT OR Apache-2.0
# The locked dependency closure of Debian packages, by name, in a stable order.
{ lock }:

names:
let
  need = name:
    lock.packages.${name} or (throw
      "Debian package ${name} is not in nix/debian/lock.json; add it to nix/debian/request.toml and run `cki-build lock`");
in
map (item: need item.key) (builtins.genericClosure {
  startSet = map (name: { key = name; }) names;
  operator = item: map (name: { key = name; }) (need item.key).deps;
})
