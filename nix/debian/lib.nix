# SPDX-License-Identifier: MIT OR Apache-2.0
# The few functions of nixpkgs' lib that our package files use, so that the
# Debian set evaluates without nixpkgs. Same names, same meaning; a package file
# that needs another one adds it here.
rec {
  inherit (builtins)
    attrNames attrValues concatLists concatMap concatStringsSep elem filter
    fromJSON fromTOML hasAttr isAttrs isList isString listToAttrs map mapAttrs
    readFile replaceStrings toJSON;

  optional = condition: value: if condition then [ value ] else [ ];
  optionals = condition: values: if condition then values else [ ];
  optionalString = condition: text: if condition then text else "";
  concatMapStringsSep = separator: f: list: concatStringsSep separator (map f list);
  concatMapStrings = concatMapStringsSep "";
  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: f: listToAttrs (map (name: nameValuePair name (f name)) names);
  mapAttrsToList = f: set: map (name: f name set.${name}) (attrNames set);
  filterAttrs = keep: set:
    listToAttrs (concatMap
      (name: optional (keep name set.${name}) (nameValuePair name set.${name}))
      (attrNames set));
  unique = list: attrNames (genAttrs list (_: null));
  hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
  hasSuffix = suffix: text:
    let n = builtins.stringLength text; m = builtins.stringLength suffix;
    in n >= m && builtins.substring (n - m) m text == suffix;

  # A package function's result with `.override` for its arguments.
  makeOverridable = f: args:
    let result = f args; in
    if isAttrs result
    then result // { override = changes: makeOverridable f (args // changes); }
    else result;

  callPackageWith = scope: file: extra:
    let
      f = if builtins.isFunction file then file else import file;
      wanted = builtins.functionArgs f;
      missing = filter (name: !wanted.${name} && !(scope ? ${name}) && !(extra ? ${name})) (attrNames wanted);
      given = builtins.intersectAttrs wanted scope // extra;
    in
    if missing != [ ]
    then throw "${toString file}: the Debian set has no ${concatStringsSep ", " missing}; map it in nix/debian/tools.nix"
    else makeOverridable f given;

  licenses = genAttrs [ "agpl3Plus" "bsd3" "gpl2Only" "gpl2Plus" "lgpl21Plus" "mit" "asl20" ] (name: { shortName = name; });
}
