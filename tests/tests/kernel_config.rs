// SPDX-License-Identifier: MIT OR Apache-2.0

//! The check that stops a kernel build whose configuration is not what was asked for
//! (`kernel/check-config.awk`), tried on configurations that differ from the fragments.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const FRAGMENT: &str = "# Why this is wanted.\n\nCONFIG_PVH=y\nCONFIG_VFAT_FS=m\n\
    CONFIG_NR_CPUS=64\nCONFIG_LOCALVERSION=\"-cki\"\n# CONFIG_KSM is not set\n";
const FINAL: &str = "# Linux/x86 6.12 Kernel Configuration\nCONFIG_PVH=y\nCONFIG_VFAT_FS=m\n\
    CONFIG_NR_CPUS=64\nCONFIG_LOCALVERSION=\"-cki\"\n# CONFIG_KSM is not set\nCONFIG_OTHER=y\n";

fn kernel(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../kernel")
        .join(path)
}

/// Runs the check on fragments and a final configuration.
fn check(fragments: &[&str], finished: &str, known: Option<&str>) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: String, text: &str| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let mut command = Command::new("awk");
    if let Some(known) = known {
        let list = file("known".into(), known);
        command.arg("-v").arg(format!("known={}", list.display()));
    }
    command.arg("-f").arg(kernel("check-config.awk"));
    for (index, fragment) in fragments.iter().enumerate() {
        command.arg(file(format!("{index}.config"), fragment));
    }
    command.arg(file("final".into(), finished));
    command.output().expect("awk is there")
}

#[track_caller]
fn assert_refused(output: &Output, reason: &str) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(reason), "{message:?} lacks {reason:?}");
}

#[test]
fn a_configuration_with_everything_asked_for_passes() {
    let output = check(&[FRAGMENT], FINAL, None);
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
}

#[test]
fn a_symbol_that_kconfig_dropped_is_named() {
    let without = FINAL.replace("CONFIG_PVH=y\n", "");
    let reason = "CONFIG_PVH is n, but";
    assert_refused(&check(&[FRAGMENT], &without, None), reason);
    let unset = FINAL.replace("CONFIG_PVH=y\n", "# CONFIG_PVH is not set\n");
    assert_refused(&check(&[FRAGMENT], &unset, None), reason);
}

#[test]
fn every_missing_symbol_is_named_not_only_the_first() {
    let output = check(&[FRAGMENT], "CONFIG_OTHER=y\n", None);
    for symbol in ["PVH", "VFAT_FS", "NR_CPUS", "LOCALVERSION"] {
        assert_refused(&output, &format!("CONFIG_{symbol} is n"));
    }
}

#[test]
fn a_symbol_that_came_back_is_named() {
    let with = FINAL.replace("# CONFIG_KSM is not set", "CONFIG_KSM=y");
    let reason = "CONFIG_KSM is y, but";
    assert_refused(&check(&[FRAGMENT], &with, None), reason);
}

#[test]
fn a_module_is_not_built_in_and_a_number_is_not_another() {
    let built_in = FINAL.replace("VFAT_FS=m", "VFAT_FS=y");
    assert_refused(&check(&[FRAGMENT], &built_in, None), "CONFIG_VFAT_FS is y");
    let fewer = FINAL.replace("NR_CPUS=64", "NR_CPUS=6");
    assert_refused(&check(&[FRAGMENT], &fewer, None), "CONFIG_NR_CPUS is 6");
}

#[test]
fn fragments_that_contradict_each_other_are_refused() {
    let output = check(&[FRAGMENT, "CONFIG_KSM=y\n"], FINAL, None);
    assert_refused(&output, "1.config:1: CONFIG_KSM=y contradicts CONFIG_KSM=n");
}

#[test]
fn a_line_that_is_no_request_is_refused() {
    for line in ["CONFIG_PVH", "PVH=y", "CONFIG_PVH =y", "\"y\""] {
        assert_refused(&check(&[line], FINAL, None), "not a request");
    }
}

#[test]
fn leaving_out_a_symbol_that_does_not_exist_is_refused() {
    let known = "CONFIG_PVH\nCONFIG_VFAT_FS\nCONFIG_NR_CPUS\nCONFIG_LOCALVERSION\n";
    let output = check(&[FRAGMENT], FINAL, Some(known));
    assert_refused(&output, "CONFIG_KSM, in");
    assert!(
        check(&[FRAGMENT], FINAL, Some(&format!("{known}CONFIG_KSM\n")))
            .status
            .success()
    );
    assert_refused(&check(&[FRAGMENT], FINAL, Some("")), "lists no symbol");
}

#[test]
fn an_empty_final_configuration_is_refused() {
    assert_refused(&check(&["\n"], "", None), "no kernel configuration");
}

/// The fragments of the kernels, one list each, as kernel/tree.nix has them, and the single ones that it names: those
/// only the test of the series takes.
fn fragments() -> (Vec<Vec<PathBuf>>, Vec<PathBuf>) {
    let tree = fs::read_to_string(kernel("tree.nix")).unwrap();
    let mut lists = Vec::new();
    let mut single = Vec::new();
    for line in tree.lines().map(str::trim) {
        if line.ends_with('[') {
            lists.push(Vec::new());
        } else if let (Some(name), Some(list)) = (line.strip_prefix("./config/"), lists.last_mut())
        {
            list.push(kernel("config").join(name));
        } else if let Some((_, name)) = line.split_once(" = ./config/") {
            single.push(kernel("config").join(name.trim_end_matches(';')));
        }
    }
    lists.retain(|list| !list.is_empty());
    (lists, single)
}

#[test]
fn the_fragments_of_a_kernel_do_not_contradict_each_other() {
    let (lists, single) = fragments();
    assert_eq!(
        lists.len(),
        2,
        "the product's and the one that looks for mistakes"
    );
    // What distributions have contradicts the product on purpose: it only has to be there.
    let mut used: Vec<_> = [lists.concat(), single].concat();
    for list in lists {
        assert!(list.len() >= 4, "{list:?}");
        let texts: Vec<String> = list
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect();
        // A final configuration that grants every request, so that only conflicts remain.
        let finished: String = texts.concat();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let output = check(&texts, &finished, None);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    used.sort();
    used.dedup();
    let mut there: Vec<PathBuf> = fs::read_dir(kernel("config"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    there.sort();
    assert_eq!(
        used, there,
        "every fragment is some kernel's or the series's"
    );
}

/// What containers expect of the kernel, built in: it loads no modules in a container.
const EXPECTED: &str = "
    NF_TABLES NF_TABLES_INET NFT_NAT NFT_MASQ NFT_REDIR NFT_CT NFT_COMPAT NF_CONNTRACK NF_NAT
    IP_NF_IPTABLES IP_NF_NAT IP_NF_TARGET_MASQUERADE IP_NF_TARGET_REDIRECT IP6_NF_IPTABLES IP6_NF_NAT
    NETFILTER_XT_MATCH_ADDRTYPE NETFILTER_XT_MATCH_COMMENT NETFILTER_XT_MATCH_CONNTRACK
    NETFILTER_XT_MATCH_MULTIPORT NETFILTER_XT_MARK BRIDGE BRIDGE_NETFILTER VETH VLAN_8021Q MACVLAN
    IPVLAN TUN WIREGUARD DUMMY NET_SCHED VSOCKETS VIRTIO_VSOCKETS VIRTIO_NET
    HW_RANDOM_VIRTIO FUSE_FS VIRTIO_FS NET_9P_VIRTIO 9P_FS OVERLAY_FS SQUASHFS EROFS_FS EXT4_FS QUOTA
    BLK_DEV_DM DM_CRYPT BLK_DEV_LOOP SWAP PSI CGROUP_HUGETLB CGROUP_MISC CGROUP_PIDS CGROUP_DEVICE
    BLK_DEV_THROTTLING SECURITY_LANDLOCK SECURITY_YAMA SECURITY_APPARMOR AUDIT CRYPTO_USER_API_HASH
    CRYPTO_USER_API_SKCIPHER CHECKPOINT_RESTORE USER_NS SECCOMP_FILTER INOTIFY_USER FANOTIFY BINFMT_MISC
    POSIX_MQUEUE KEYS BPF_SYSCALL CGROUP_BPF
";

#[test]
fn what_containers_expect_is_asked_for_and_built_in() {
    let product = fragments()
        .0
        .into_iter()
        .find(|list| list.iter().any(|path| path.ends_with("guest.config")))
        .expect("the product's kernel is that of containers");
    let asked: String = product
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let asked: Vec<&str> = asked.lines().collect();
    let missing: Vec<&str> = EXPECTED
        .split_whitespace()
        .filter(|symbol| !asked.contains(&format!("CONFIG_{symbol}=y").as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
