# SPDX-License-Identifier: MIT OR Apache-2.0
# A host on a processor without the extension: all is in its place, and the launcher refuses and says why.
{
  name = "cki-host";

  nodes.machine = { pkgs, ... }: {
    imports = [ ../../nixos-modules ];
    services.cki.enable = true;
    services.cki.memory.pool = "256M";
    services.cki.containers.hello = {
      packages = [ pkgs.hello ];
      command = [ "hello" ];
      memory = "128M";
      restart = "no";
    };
    virtualisation.memorySize = 1536;
    users.users.inside = { isNormalUser = true; extraGroups = [ "cki" ]; };
    users.users.outside.isNormalUser = true;
  };

  testScript = ''
    machine.wait_for_unit("dev-cki.device")
    assert machine.succeed("stat -c '%a %U %G' /dev/cki").strip() == "660 root cki"
    machine.succeed("su inside -c 'exec 3<>/dev/cki'")
    assert "Permission denied" in machine.fail("su outside -c 'exec 3<>/dev/cki' 2>&1")

    # What the processor lacks is said, and the service has failed by it.
    status, told = machine.execute("cki info")
    assert status == 1, told
    machine.wait_until_succeeds("systemctl is-failed cki@hello.service")
    machine.succeed("journalctl -t hello | grep 'cki: '")
  '';
}
