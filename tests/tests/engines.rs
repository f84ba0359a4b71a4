// SPDX-License-Identifier: MIT OR Apache-2.0

//! Container engines inside of a container: they start, and run a container of their own.

use cki_tests::{Output, run_on};

/// Puts an image with busybox on standard output.
const IMAGE: &str = include_str!("../programs/image.sh");

/// What runs in the container of the container: who and where it is, and whether it has a network.
const PROGRAM: &str = "echo hello; id -u; hostname; ip -o -4 address show dev eth0 | cat";

/// Runs a script in a container, after a function `image` that puts an image on its output.
fn run(packages: &[&str], script: &str) -> Output {
    let packages: Vec<&str> = packages.iter().flat_map(|name| ["--deb", name]).collect();
    let options = [&["--memory", "2G"], &packages[..]].concat();
    let script = format!("image() {{\n{IMAGE}\n}}\n{script}");
    run_on("cki", &options, &["sh", "-s"], script.as_bytes())
}

#[track_caller]
fn assert_ran(output: &Output, network: &str) {
    assert_eq!(output.status, 0, "{}\n{}", output.text(), output.stderr);
    let lines: Vec<&str> = output.text().lines().collect();
    let at = lines.iter().position(|line| *line == "hello");
    let said = &lines[at.expect("the program ran")..];
    assert_eq!(said[1], "0", "{said:?}");
    assert_eq!(said[2], "inner", "{said:?}");
    assert!(said[3].contains(network), "{said:?}");
}

#[test]
fn podman_runs_a_container() {
    let packages = [
        "busybox-static",
        "containernetworking-plugins",
        "crun",
        "iptables",
        "mount",
        "podman",
    ];
    // An overlay needs a file system below it that is no overlay itself.
    let script = format!(
        "mkdir -p /var/lib/containers
        mount -t tmpfs none /var/lib/containers
        podman() {{ command podman --cgroup-manager=cgroupfs --events-backend=file \"$@\"; }}
        image | podman import --quiet - box > /dev/null || exit 1
        podman run --rm --hostname inner --memory 64m --pids-limit 20 box /bin/sh -c '{PROGRAM}'"
    );
    assert_ran(&run(&packages, &script), "10.88.");
}

#[test]
#[ignore = "containerd and dockerd take a minute to start; the long form of check has it"]
fn docker_runs_a_container() {
    let packages = ["busybox-static", "docker.io", "iptables", "mount"];
    // dockerd would wait for its containerd for 15 s only, which is short in an emulator.
    let script = format!(
        "for directory in docker containerd; do
            mkdir -p /var/lib/$directory
            mount -t tmpfs none /var/lib/$directory
        done
        containerd > /tmp/containerd.log 2>&1 &
        for attempt in $(seq 600); do
            [ -S /run/containerd/containerd.sock ] && break
            sleep 0.2
        done
        dockerd --containerd=/run/containerd/containerd.sock > /tmp/dockerd.log 2>&1 &
        for attempt in $(seq 600); do
            docker version > /dev/null 2>&1 && break
            sleep 0.2
        done
        image | docker import - box > /dev/null || {{ tail -n 20 /tmp/dockerd.log >&2; exit 1; }}
        docker run --rm --hostname inner --memory 64m --pids-limit 20 box /bin/sh -c '{PROGRAM}'"
    );
    assert_ran(&run(&packages, &script), "172.17.");
}
