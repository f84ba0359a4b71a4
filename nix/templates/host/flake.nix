# SPDX-License-Identifier: MIT OR Apache-2.0
{
  description = "A NixOS machine that runs CKI containers";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
  # Where you found CKI: a directory, or git+https://...
  inputs.cki.url = "git+file:///srv/cki";
  inputs.cki.inputs.nixpkgs.follows = "nixpkgs";

  outputs = { nixpkgs, cki, ... }: {
    nixosConfigurations.cki-host = nixpkgs.lib.nixosSystem {
      modules = [ cki.nixosModules.default ./configuration.nix ];
    };
  };
}
