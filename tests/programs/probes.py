# SPDX-License-Identifier: MIT OR Apache-2.0
"""What a program can find out about where it runs, a line each: `what<TAB>answer`.

Nothing that it asks for changes anything for others. Answers that differ from run to run are left out.
"""

import ctypes
import errno
import os
import resource
import socket
import struct

libc = ctypes.CDLL(None, use_errno=True)


def say(what, answer):
    print(f"{what}\t{answer}")


def syscall(number, *arguments):
    """`ok` or the name of the error."""
    ctypes.set_errno(0)
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if libc.syscall(ctypes.c_long(number), *words) >= 0:
        return "ok"
    return errno.errorcode.get(ctypes.get_errno(), "?")


def read(path, limit=65536):
    with open(path, "rb") as file:
        return file.read(limit).decode(errors="replace")


def outcome(path):
    try:
        read(path, 1)
        return "ok"
    except OSError as error:
        return errno.errorcode[error.errno]


def processor():
    for line in read("/proc/cpuinfo").splitlines():
        name, _, value = (part.strip() for part in line.partition(":"))
        if name in ("flags", "bugs"):
            for word in value.split():
                say(f"cpuinfo {name} {word}", "yes")
        elif name not in ("", "cpu MHz", "bogomips"):
            say(f"cpuinfo {name}", value)
    for name in os.listdir("/sys/devices/system/cpu/vulnerabilities"):
        say(f"vulnerability {name}", read(f"/sys/devices/system/cpu/vulnerabilities/{name}").strip())
    # HWCAP, HWCAP2 and the least size of a signal's frame; addresses and numbers of users are another matter.
    auxv = open("/proc/self/auxv", "rb").read()
    for kind, value in struct.iter_unpack("QQ", auxv):
        say(f"auxv {kind}", hex(value) if kind in (6, 16, 17, 26, 51) else "there")
    for clock in range(12):
        say(f"clock_getres {clock}", syscall(229, clock, ctypes.create_string_buffer(16)))
    # Time stamps as an error: PR_SET_TSC with PR_TSC_SIGSEGV, and back.
    say("PR_TSC_SIGSEGV", syscall(157, 26, 2))
    syscall(157, 26, 1)
    say("pkey_alloc", syscall(330, 0, 0))
    say("iopl", syscall(172, 3))
    say("ioperm", syscall(173, 0x80, 1, 1))
    say("modify_ldt", syscall(154, 1, ctypes.create_string_buffer(16), 16))
    for code in (0x1003, 0x1004, 0x1011, 0x1021, 0x1022, 0x1024, 0x2001, 0x4001, 0x5001, 0x5005):
        say(f"arch_prctl {code:#x}", syscall(158, code, ctypes.create_string_buffer(8)))


# Of these, an argument that is nonsense ends or changes the process, or the call waits.
LEFT_OUT = {
    0, 1, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 21, 22, 23, 24, 25, 26, 27, 28, 32, 33, 34, 35, 36, 37, 38,
    39, 43, 44, 45, 46, 47, 56, 57, 58, 59, 60, 61, 62, 72, 80, 81, 90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 100, 101,
    102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 117, 119, 122, 123, 126, 128, 130, 139, 141,
    142, 144, 149, 150, 151, 152, 153, 154, 155, 157, 158, 159, 160, 161, 162, 163, 164, 165, 166, 167, 168, 169,
    170, 171, 172, 173, 175, 176, 186, 200, 201, 202, 203, 204, 205, 206, 207, 208, 209, 210, 211, 218, 219, 227,
    228, 229, 230, 231, 232, 234, 240, 246, 247, 248, 249, 250, 251, 260, 268, 270, 271, 272, 273, 281, 288, 292,
    293, 297, 299, 304, 305, 307, 308, 309, 312, 313, 318, 320, 321, 322, 324, 325, 334, 424, 425, 426, 435, 436,
    439, 441, 449, 454, 455, 456,
}  # fmt: skip


def calls():
    for number in range(470):
        if number not in LEFT_OUT:
            say(f"syscall {number}", syscall(number, -1, 1, 1, 1, 1, 1))
    for option in range(1, 80):
        # Those that change the process, its name or its end.
        if option not in (1, 4, 8, 9, 14, 15, 22, 24, 26, 28, 33, 34, 35, 38):
            say(f"prctl {option}", syscall(157, option, 0, 0, 0, 0))
    for family in range(46):
        for kind in (1, 2, 3, 5):
            say(f"socket {family} {kind}", syscall(41, family, kind, 0))
    for kind in range(8):
        for config in range(12):
            attributes = ctypes.create_string_buffer(136)
            struct.pack_into("IIQ", attributes, 0, kind, 136, config)
            say(f"perf {kind} {config}", syscall(298, attributes, 0, -1, -1, 0))


DIRECTORIES = """/dev /proc /proc/net /proc/self /proc/sys /sys /sys/bus /sys/class /sys/devices/system
    /sys/devices/system/cpu /sys/firmware /sys/fs /sys/kernel /sys/kernel/mm /sys/kernel/security /sys/module"""
FILES = """/proc/cmdline /proc/config.gz /proc/interrupts /proc/iomem /proc/ioports /proc/kallsyms /proc/kcore
    /proc/kpageflags /proc/modules /proc/version /proc/vmallocinfo /dev/kmsg /dev/mem /dev/nvram /dev/cpu/0/msr
    /sys/kernel/debug /sys/kernel/tracing/trace"""
# Different each time that they are read.
CHANGING = {
    "boot_id", "dentry-state", "entropy_avail", "file-nr", "inode-nr", "inode-state", "ns_last_pid", "uuid",
}  # fmt: skip


def files():
    for directory in DIRECTORIES.split():
        for name in os.listdir(directory):
            if not name.isdigit():
                say(f"{directory}/{name}", "there")
    for path in FILES.split():
        say(f"read {path}", outcome(path))
    for directory, _, names in os.walk("/proc/sys"):
        for name in names:
            if name not in CHANGING:
                path = f"{directory}/{name}"
                try:
                    say(path, " ".join(read(path).split()))
                except OSError as error:
                    say(path, errno.errorcode[error.errno])
    for path in ("/proc/devices", "/proc/filesystems", "/proc/misc"):
        for line in read(path).splitlines():
            say(f"{path} {' '.join(line.split())}", "there")
    for line in read("/proc/crypto").splitlines():
        if line.startswith("driver"):
            say(f"/proc/crypto {line.split()[-1]}", "there")


def process():
    for name in dir(resource):
        if name.startswith("RLIMIT_"):
            say(name, resource.getrlimit(getattr(resource, name)))
    for line in read("/proc/self/status").splitlines():
        name, _, value = line.partition(":")
        kept = name.startswith(("Cap", "Cpus", "Mems", "NoNew", "Seccomp", "Shd", "Sig", "Spec", "THP", "Umask"))
        say(f"status {name}", " ".join(value.split()) if kept else "there")


processor()
calls()
files()
process()
