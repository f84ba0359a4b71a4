# SPDX-License-Identifier: MIT OR Apache-2.0
{
  description = "CKI: secure containers, each on its own Linux kernel, without virtualization hardware";

  # Locked, and fetched only when an output that needs it is asked for: the
  # overlay's users bring their own nixpkgs, everything under `packages` comes
  # from pinned Debian packages (nix/debian) and needs none.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      system = "x86_64-linux";
      debian = import ./nix/debian { inherit system; };
      packages = debian.packages;
    in
    {
      packages.${system} = packages // { default = packages.cki-build; };
      checks.${system} = debian.checks;

      # `nix run`; `nix run .#fetch`, which brings what the others are built from, so it is a script of the checkout,
      # which needs nothing that is built; and `nix run .#vm`, a machine with the system of images/system.
      apps.${system} = {
        default = { type = "app"; program = "${packages.cki-build}/bin/cki-build"; };
        fetch = { type = "app"; program = "${self}/nix/fetch"; };
        vm = { type = "app"; program = "${packages.cki-vm}/bin/cki-vm"; };
      };

      # `nix fmt`.
      formatter.${system} = debian.formatter;

      # `nix develop`: the machine with the pinned tools.
      devShells.${system}.default = debian.shell;

      # Our packages with the user's own nixpkgs.
      overlays.default = import ./nix/overlay.nix;

      # The same packages with the locked nixpkgs. Their names are known without it: whoever only looks for a name
      # here, as `nix build` and `nix flake show` do, fetches nothing.
      legacyPackages.${system} =
        let
          pkgs = import nixpkgs { inherit system; overlays = [ self.overlays.default ]; };
          ours = builtins.mapAttrs (name: _: pkgs.ckiPackages.${name})
            (import ./nix/packages.nix { callPackage = _: _: null; } // { cki-shell = null; });
          nixos = import ./nix/nixos { inherit nixpkgs system; overlay = self.overlays.default; };
        in
        ours // {
          inherit (pkgs) cki-launcher;
          # Of the Debian set: what tests are made with, and users do not need.
          tests = debian.fixtures;
          # Of use to who works on the module, too.
          inherit (debian.fixtures) cki-host-debug;
          inherit (pkgs) cki-guest-kernel linux_cki linuxPackages_cki;
          inherit (nixos) cki-host-system cki-nixos-test;
        };

      # services.cki: a host of containers, and containers as its services.
      nixosModules.default = { imports = [ ./nixos-modules ]; nixpkgs.overlays = [ self.overlays.default ]; };

      # `nix flake init -t`.
      templates.host = { path = ./nix/templates/host; description = "A NixOS machine that runs CKI containers"; };
      templates.container = { path = ./nix/templates/container; description = "A NixOS module with one CKI container"; };

      # mkContainerImage pkgs { name = "web"; packages = [ pkgs.darkhttpd ]; } is the root file system of a container with
      # packages of the user's own nixpkgs, as services.cki.containers.<name>.packages has it: for `cki run --image`.
      lib.mkContainerImage = pkgs: pkgs.callPackage ./nixos-modules/image.nix { };

      # For tools: appImage builds an application image from a plan of
      # `cki-build`; see images/app/package.nix.
      lib.${system} = { inherit (debian) appImage roots; };
    };
}
