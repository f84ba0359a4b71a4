// SPDX-License-Identifier: MIT OR Apache-2.0

//! What programs in containers expect of their kernel is there and works, with Debian's tools; and in a host,
//! whose kernel is the same one.

use cki_tests::run_on;

/// Packages of the tools that the script uses.
const PACKAGES: [&str; 12] = [
    "dmsetup",
    "e2fsprogs",
    "fuse",
    "iproute2",
    "iptables",
    "mount",
    "nftables",
    "python3",
    "squashfs-tools",
    "squashfuse",
    "util-linux",
    "wireguard-tools",
];

/// A line for each feature, and what went wrong behind those that did.
const SCRIPT: &[u8] = include_bytes!("../programs/features.sh");

/// The features that the script has, in its order.
const FEATURES: [&str; 23] = [
    "namespaces_bridges_and_veth",
    "nft_masquerade",
    "nft_reject_counter_and_sets",
    "nft_sets_of_ranges",
    "iptables_by_nf_tables",
    "iptables_legacy",
    "wireguard",
    "other_interfaces",
    "vsock_loopback",
    "loop_and_squashfs",
    "fuse",
    "device_mapper_crypt_and_quota",
    "swap",
    "overlay_in_a_user_namespace",
    "control_groups",
    "pressure",
    "security_modules",
    "landlock",
    "ciphers_by_sockets",
    "audit",
    "checkpoint_and_restore",
    "other_formats_of_programs",
    "bpf",
];

fn all_features_work_on(runtime: &str) {
    let packages: Vec<&str> = PACKAGES.iter().flat_map(|name| ["--deb", name]).collect();
    let command = ["sh", "-c", "cat > /tmp/features.sh && sh /tmp/features.sh"];
    let output = run_on(runtime, &packages, &command, SCRIPT);
    assert_eq!(output.status, 0, "{}", output.stderr);
    let expected: String = FEATURES
        .iter()
        .map(|name| format!("{name}: ok\n"))
        .collect();
    assert_eq!(output.text(), expected, "{}", output.stderr);
}

#[test]
fn what_programs_expect_of_a_kernel_works_in_a_container() {
    all_features_work_on("cki");
}

#[test]
fn what_programs_expect_of_a_kernel_works_natively() {
    all_features_work_on("native");
}
