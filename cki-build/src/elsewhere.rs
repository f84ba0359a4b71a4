// SPDX-License-Identifier: MIT OR Apache-2.0

//! What users of other container engines type that is said in another way here, or not at all.
//!
//! docs/try/from-podman.md has the same rows; a test holds that.

/// Words of podman's and docker's, and what to type here instead.
#[derive(Debug)]
pub struct Elsewhere {
    /// The words, each of which means this.
    pub typed: &'static [&'static str],
    /// A sentence, with code between backticks.
    pub here: &'static str,
}

/// What stands for `typed` here, if these rows know it.
#[must_use]
pub fn find(rows: &[Elsewhere], typed: &str) -> Option<&'static str> {
    let row = rows.iter().find(|row| row.typed.contains(&typed))?;
    Some(row.here)
}

/// Takes the name of an output. Users of other engines name the folder of an image.
///
/// # Errors
/// The sentence for who names a path.
pub fn output(name: &str) -> Result<String, String> {
    if name == "." || name.contains('/') {
        return Err(format!("a path is no output of the flake. {}", NO_IMAGES));
    }
    Ok(name.to_owned())
}

/// Commands.
pub const COMMANDS: &[Elsewhere] = &[
    Elsewhere {
        typed: &["ps", "ls"],
        here: "`list` shows the containers of a machine that stays up; other containers are as many as there are `run`",
    },
    Elsewhere {
        typed: &["container"],
        here: "leave `container` out: `run` makes one, `exec` and `kill` are about one, `list` shows those of a \
               machine that stays up",
    },
    Elsewhere {
        typed: &["stop"],
        here: "`kill NAME TERM` asks a program to end and `kill NAME` ends it; `machine stop` ends the machine with \
               all of them",
    },
    Elsewhere {
        typed: &[
            "create", "start", "restart", "wait", "pause", "unpause", "rename", "update", "init",
        ],
        here: "a container starts and ends with its program: `run` does both, and ends with the program's status",
    },
    Elsewhere {
        typed: &["rm"],
        here: "a container leaves nothing behind when its program ends, so there is nothing to remove",
    },
    Elsewhere {
        typed: &["logs", "attach"],
        here: "the program's output is that of its `run`, also with `--name`: send it to a file there",
    },
    Elsewhere {
        typed: &["pull", "push", "login", "logout", "search"],
        here: "there are no registries here: `podman save -o FILE IMAGE` (or docker, or skopeo) writes an image to a \
               file, and `run --oci FILE` runs it",
    },
    Elsewhere {
        typed: &["images", "rmi", "builder", "history", "tag", "untag"],
        here: "images have no names here; `prune --older-than 1s --dry-run` shows what is kept of them, and `prune` \
               removes it",
    },
    Elsewhere {
        typed: &[
            "save", "load", "import", "export", "commit", "diff", "mount", "buildx", "manifest",
        ],
        here: "`image app` writes an image of Debian packages to a file; others are made by other engines, and \
               `run --oci FILE` runs them",
    },
    Elsewhere {
        typed: &["cp"],
        here: "give the program a directory (`run -v DIR:PATH`), or use its streams: `cki-build run -- tar x < FILE`",
    },
    Elsewhere {
        typed: &["inspect", "top", "port"],
        here: "`list` says what runs and in how much memory, `stats NAME` what it has done, `machine status` what is \
               left; `exec` runs tools such as `top` inside",
    },
    Elsewhere {
        typed: &[
            "volume", "network", "pod", "compose", "secret", "kube", "play", "swarm", "context",
        ],
        here: "each `run` says what its container has: directories (`-v DIR:PATH`), a network (`--network`), ports \
            (`-p`)",
    },
    Elsewhere {
        typed: &["info", "system", "events"],
        here: "`doctor` says what this machine lacks, and `machine status` how a machine that stays up is",
    },
    Elsewhere {
        typed: &["generate", "quadlet", "auto-update", "healthcheck"],
        here: "nobody starts or watches a program again here: a service manager starts `run` as any other program",
    },
    Elsewhere {
        typed: &["version"],
        here: "`--version`",
    },
];

/// Options of `run`.
pub const OF_RUN: &[Elsewhere] = &[
    Elsewhere {
        typed: &["-d", "--detach"],
        here: "a program runs as long as its `run`: start that with `&`, and with `--name` in a machine that stays up, \
               where `exec`, `list`, `stats` and `kill` find it",
    },
    Elsewhere {
        typed: &["--mount"],
        here: "`-v DIR:PATH[:ro]` for a directory of yours, `--tmpfs PATH` for a file system in memory",
    },
    Elsewhere {
        typed: &["--volumes-from"],
        here: "`-v DIR:PATH` again: one directory can be in several containers",
    },
    Elsewhere {
        typed: &["--privileged"],
        here: "leave it out: the program is root with all capabilities in a kernel of its own; the devices of the host \
               it never has",
    },
    Elsewhere {
        typed: &["--gpus", "--device", "--device-cgroup-rule"],
        here: "a container has no devices of the host, and no GPU",
    },
    Elsewhere {
        typed: &["-P", "--publish-all", "--expose"],
        here: "name each port: `-p HOST:CONTAINER`; with `--oci`, it is said which ports the image names",
    },
    Elsewhere {
        typed: &[
            "--network host",
            "--network bridge",
            "--network private",
            "--network slirp4netns",
            "--network pasta",
        ],
        here: "`--network user` (as when nothing is said) reaches what you reach, `-p` publishes a port, and \
               `bridge=NAME` is a bridge of the machine",
    },
    Elsewhere {
        typed: &[
            "--link",
            "--network-alias",
            "--net-alias",
            "--pod",
            "--ip6",
            "--mac-address",
        ],
        here: "containers do not reach each other by name, nor by address but on a bridge (`--network bridge=NAME`); a \
               published port (`-p`) is reached from outside of them",
    },
    Elsewhere {
        typed: &[
            "--pull",
            "--platform",
            "--arch",
            "--os",
            "--authfile",
            "--tls-verify",
        ],
        here: "there are no registries here: the image is a file (`--oci FILE`) for this machine, or packages (`--deb \
            PKG`)",
    },
    Elsewhere {
        typed: &[
            "--restart",
            "--health-cmd",
            "--health-interval",
            "--health-retries",
            "--health-start-period",
            "--health-timeout",
            "--no-healthcheck",
        ],
        here: "nobody starts or watches a program again here: `run` ends with its status, by which a service manager \
               can start it again",
    },
    Elsewhere {
        typed: &[
            "--security-opt",
            "--userns",
            "--uidmap",
            "--gidmap",
            "--pid",
            "--ipc",
            "--uts",
            "--cgroupns",
            "--cgroups",
            "--cgroup-parent",
            "--cgroup-conf",
        ],
        here: "leave it out: a container has a kernel of its own and shares no namespaces and no control groups with \
               the host's programs",
    },
    Elsewhere {
        typed: &["--sysctl"],
        here: "root in the container sets it itself: it is a variable of the container's own kernel, below /proc/sys",
    },
    Elsewhere {
        typed: &["--shm-size"],
        here: "`--tmpfs /dev/shm:size=SIZE,mode=1777`",
    },
    Elsewhere {
        typed: &["--pids-limit"],
        here: "`--ulimit nproc=N`, which holds for a program that is not root (`--user`)",
    },
    Elsewhere {
        typed: &[
            "--memory-swap",
            "--memory-reservation",
            "--memory-swappiness",
            "--cpu-shares",
            "--cpu-quota",
            "--cpu-period",
            "--cpuset-mems",
            "--cpuset-cpus",
            "--blkio-weight",
            "--blkio-weight-device",
            "--oom-kill-disable",
            "--oom-score-adj",
        ],
        here: "a container has the memory that `--memory` says, all of it its own, and one processor; there is nothing \
               else to set",
    },
    Elsewhere {
        typed: &[
            "--device-read-bps",
            "--device-write-bps",
            "--device-read-iops",
            "--device-write-iops",
        ],
        here: "a limit stands behind its disk: `--disk FILE:read-bps=10M`, `:write-bps=`, `:read-iops=`, \
            `:write-iops=`",
    },
    Elsewhere {
        typed: &[
            "--dns-search",
            "--dns-option",
            "--dns-opt",
            "--domainname",
            "--no-hosts",
        ],
        here: "only servers (`--dns`) and hosts (`--add-host`) can be named; root in the container may write \
               /etc/resolv.conf and /etc/hosts",
    },
    Elsewhere {
        typed: &[
            "--runtime runc",
            "--runtime crun",
            "--runtime runsc",
            "--runtime kata",
            "--runtime io.containerd.runc.v2",
        ],
        here: "leave it out: here, `--runtime` says whether the program runs in a container at all, and there is one \
               kind of container",
    },
    Elsewhere {
        typed: &[
            "--systemd",
            "--replace",
            "--tz",
            "--umask",
            "--secret",
            "--storage-opt",
            "--detach-keys",
            "--preserve-fds",
            "--sdnotify",
            "--init-path",
        ],
        here: "leave it out: there is nothing like it; a variable (`-e TZ=...`), a directory (`-v`) or a shell before \
               the program (`sh -c 'umask 077; exec ...'`) may do",
    },
    Elsewhere {
        typed: &["--env-host", "--http-proxy"],
        here: "name each variable: `-e NAME` is the one that you have",
    },
    Elsewhere {
        typed: &["--unsetenv", "--unsetenv-all"],
        here: "`env -u NAME PROGRAM` as the program starts it without the variable, `env -i PROGRAM` without any",
    },
    Elsewhere {
        typed: &["--rootfs"],
        here: "a directory is no image here: `--image FILE`, `--oci FILE` and `--closure STOREPATH` name one",
    },
    Elsewhere {
        typed: &["--rmi"],
        here: "images stay until `prune` removes them",
    },
    Elsewhere {
        typed: &["--group-add"],
        here: "`--user USER:GROUP`; the user's groups in the image's /etc/group come along",
    },
    Elsewhere {
        typed: &[
            "-l",
            "--label",
            "--label-file",
            "--annotation",
            "--cidfile",
            "--pidfile",
        ],
        here: "a container is found by its `--name`, in a machine that stays up, and has no labels",
    },
    Elsewhere {
        typed: &["--log-driver", "--log-opt", "-a", "--attach", "--sig-proxy"],
        here: "the program's streams are those of `run`, and signals to `run` are passed on to the program",
    },
];

/// Why `build` takes no folder with a Dockerfile.
pub const NO_IMAGES: &str = "`build` builds parts of CKI itself; an image is built with podman or docker, written to a \
     file with `podman save -o FILE`, and run with `run --oci FILE`";

/// Options and commands of other commands, which stand before them.
pub const OF_OTHERS: &[Elsewhere] = &[
    Elsewhere {
        typed: &["build -t", "build -f", "build --tag", "build --file"],
        here: NO_IMAGES,
    },
    Elsewhere {
        typed: &["kill -s", "kill --signal", "kill -9"],
        here: "the signal stands behind the name: `kill NAME TERM`",
    },
    Elsewhere {
        typed: &[
            "image ls",
            "image list",
            "image rm",
            "image prune",
            "image inspect",
        ],
        here: "`prune --older-than 1s --dry-run` shows what is kept of images, and `prune` removes it",
    },
    Elsewhere {
        typed: &["image build", "image pull", "image save", "image load"],
        here: "`image app` writes an image of Debian packages; others are made by other engines, and `run --oci FILE` \
               runs them",
    },
    Elsewhere {
        typed: &["machine init", "machine create"],
        here: "`machine start NAME` makes it and starts it",
    },
    Elsewhere {
        typed: &["machine inspect", "machine info"],
        here: "`machine list` says which are up, `machine status NAME` how one is, and `list` what runs in it",
    },
    Elsewhere {
        typed: &["machine rm"],
        here: "`machine stop NAME` leaves nothing of it but its log",
    },
];
