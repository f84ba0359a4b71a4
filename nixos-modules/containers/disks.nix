# SPDX-License-Identifier: MIT OR Apache-2.0
# Block devices that containers write, as udev treats them, in the initial file system too: what is on them names
# nothing and starts nothing. A container could write a file system with the label of the host's own.
{ config, lib, pkgs, ... }:

let
  cfg = config.services.cki;
  disks = lib.concatMap (container: container.disks) (lib.attrValues cfg.containers);
  devices = lib.unique (map (disk: disk.path) (lib.filter (disk: lib.hasPrefix "/dev/" disk.path && !disk.readOnly) disks));

  # A device by the kernel's name, or by a link that is no content's; and its partitions, by the table that is on it.
  rules = path:
    let
      name = lib.removePrefix "/dev/" path;
      kernel = !lib.hasInfix "/" name;
      partition = if builtins.match ".*[0-9]" name != null then "${name}p" else name;
      # No link by content, now or by a later rule; none of what is for a type of file system; nothing that waits for it.
      nothing = link: ''SYMLINK:="${link}", ENV{ID_FS_TYPE}="", ENV{ID_FS_USAGE}="", ENV{SYSTEMD_READY}="0", ENV{UDISKS_IGNORE}="1", OPTIONS+="nowatch"'';
    in
    if kernel then ''
      KERNEL=="${name}", ${nothing "cki-disks/${name}"}
      KERNEL=="${partition}[0-9]*", ENV{DEVTYPE}=="partition", ${nothing "cki-disks/%k"}
    '' else ''
      SYMLINK=="${name}", ${nothing name}
      SYMLINK=="${name}-part[0-9]*", ENV{DEVTYPE}=="partition", ${nothing "${name}-part%n"}
    '';

  # Behind the rules that read a device and name it (60), before those that act on what was read (63 and later).
  package = pkgs.writeTextFile {
    name = "cki-disks-rules";
    destination = "/lib/udev/rules.d/61-cki-disks.rules";
    text = ''
      SUBSYSTEM!="block", GOTO="cki_disks_end"
      ${lib.concatMapStrings rules devices}LABEL="cki_disks_end"
    '';
  };
in
{
  config = lib.mkIf (cfg.enable && devices != [ ]) {
    services.udev.packages = [ package ];
    boot.initrd.services.udev.packages = [ package ];
    # The older initial file system takes no packages.
    boot.initrd.extraUdevRulesCommands = lib.mkIf (!config.boot.initrd.systemd.enable) ''
      cp ${package}/lib/udev/rules.d/61-cki-disks.rules $out/
    '';
  };
}
