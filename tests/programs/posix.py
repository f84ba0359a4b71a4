# SPDX-License-Identifier: MIT OR Apache-2.0
"""What POSIX promises of files, checked in the current directory. A line for each check that passed."""

import ctypes, errno, fcntl, mmap, os, stat, subprocess, sys, time

libc = ctypes.CDLL(None, use_errno=True)
RENAME_NOREPLACE, RENAME_EXCHANGE, AT_FDCWD = 1, 2, -100
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2


def fails(error, call, *arguments):
    try:
        call(*arguments)
    except OSError as raised:
        assert raised.errno == error, (call, arguments, raised)
    else:
        raise AssertionError((call, arguments))


def checked(result):
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def rename(old, new, flags):
    checked(libc.renameat2(AT_FDCWD, old.encode(), AT_FDCWD, new.encode(), flags))


def punch(file, start, length):
    flags = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    checked(libc.fallocate(file.fileno(), flags, ctypes.c_long(start), ctypes.c_long(length)))


def write(name, text):
    with open(name, "w") as file:
        file.write(text)


def read(name):
    with open(name) as file:
        return file.read()


def done(what):
    for entry in os.listdir("."):
        if os.path.isdir(entry) and not os.path.islink(entry):
            subprocess.run(["rm", "-r", entry], check=True)
        else:
            os.unlink(entry)
    print(what, flush=True)


os.umask(0o027)

os.close(os.open("a", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
assert stat.S_IMODE(os.stat("a").st_mode) == 0o640
fails(errno.EEXIST, os.open, "a", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
fails(errno.ENOENT, os.open, "b", os.O_RDONLY)
fails(errno.ENOTDIR, os.open, "a/b", os.O_RDONLY)
done("create and exclusive create")

write("a", "a"); write("b", "b"); os.mkdir("d")
os.rename("a", "b")
assert read("b") == "a" and not os.path.exists("a")
os.rename("b", "d/c")
assert read("d/c") == "a"
write("e", "e")
os.rename("d/c", "e")
fails(errno.EISDIR, os.rename, "e", "d")
fails(errno.EINVAL, os.rename, "d", "d/d")
write("f", "f"); write("d/g", "g")
fails(errno.EEXIST, rename, "f", "e", RENAME_NOREPLACE)
rename("f", "d", RENAME_EXCHANGE)
assert read("d") == "f" and read("f/g") == "g"
fails(errno.ENOENT, rename, "d", "nothing", RENAME_EXCHANGE)
rename("d", "new", RENAME_NOREPLACE)
assert read("new") == "f" and not os.path.exists("d")
done("rename over, across and exchange")

write("a", "one"); os.link("a", "b")
assert os.stat("a").st_nlink == 2 and os.stat("a").st_ino == os.stat("b").st_ino
write("b", "two")
assert read("a") == "two"
os.unlink("a")
assert read("b") == "two" and os.stat("b").st_nlink == 1
os.mkdir("d")
fails(errno.EPERM, os.link, "d", "e")
done("hard links share a file")

os.symlink("nothing/../here", "s")
assert os.readlink("s") == "nothing/../here" and stat.S_ISLNK(os.lstat("s").st_mode)
fails(errno.ENOENT, os.stat, "s")
os.symlink("loop", "loop")
fails(errno.ELOOP, os.stat, "loop")
done("symbolic links are text")

file = open("a", "w+")
file.write("still here"); file.flush()
os.unlink("a")
assert not os.path.exists("a") and os.fstat(file.fileno()).st_nlink == 0
file.seek(0)
assert file.read() == "still here"
file.close()
done("an unlinked file lives as long as it is open")

with open("a", "wb+") as file:
    file.write(b"x" * 65536); file.flush(); os.fsync(file.fileno())
    blocks = os.fstat(file.fileno()).st_blocks
    punch(file, 4096, 32768)
    file.seek(0)
    assert file.read() == b"x" * 4096 + bytes(32768) + b"x" * 28672
    assert os.fstat(file.fileno()).st_size == 65536
    assert os.fstat(file.fileno()).st_blocks < blocks
with open("a", "wb+") as file:
    file.write(b"x" * 100000)
    file.truncate(10)
    file.truncate(50000)
    file.seek(0)
    assert file.read() == b"x" * 10 + bytes(49990)
    os.posix_fallocate(file.fileno(), 0, 200000)
    assert os.fstat(file.fileno()).st_size == 200000
    os.pwrite(file.fileno(), b"end", 1 << 33)
assert os.stat("a").st_size == (1 << 33) + 3 and os.stat("a").st_blocks < 10000
done("truncate, extend and punch holes")

if os.fork() == 0:
    with open("a", "ab", buffering=0) as file:
        for _ in range(200):
            file.write(b"child\n")
    os._exit(0)
with open("a", "ab", buffering=0) as file:
    for _ in range(200):
        file.write(b"older\n")
assert os.wait()[1] == 0
lines = open("a", "rb").read().splitlines()
assert lines.count(b"child") == 200 and lines.count(b"older") == 200, len(lines)
done("append is atomic between processes")

write("a", "a")
os.setxattr("a", "user.name", b"value")
assert os.getxattr("a", "user.name") == b"value" and "user.name" in os.listxattr("a")
fails(errno.EEXIST, os.setxattr, "a", "user.name", b"", os.XATTR_CREATE)
os.removexattr("a", "user.name")
fails(errno.ENODATA, os.getxattr, "a", "user.name")
done("extended attributes")

write("a", "a")
os.chmod("a", 0o751)
assert stat.S_IMODE(os.stat("a").st_mode) == 0o751
if os.fork() == 0:
    os.setgid(65534)
    os.setuid(65534)
    fails(errno.EACCES, open, "a")
    fails(errno.EPERM, os.chmod, "a", 0o777)
    os._exit(0)
assert os.wait()[1] == 0
os.chown("a", 0, 0)
assert (os.stat("a").st_uid, os.stat("a").st_gid) == (0, 0)
with open("a", "a") as file:
    file.write("more")
done("permissions and owners")

write("a", "a")
os.utime("a", ns=(1234567890123456789, 987654321987654321))
assert os.stat("a").st_atime_ns == 1234567890123456789, os.stat("a")
assert os.stat("a").st_mtime_ns == 987654321987654321, os.stat("a")
before = os.stat("a").st_ctime_ns
time.sleep(0.02)
os.chmod("a", 0o600)
assert os.stat("a").st_ctime_ns > before and os.stat("a").st_mtime_ns == 987654321987654321
done("times are set and kept")

with open("a", "wb+") as file:
    file.truncate(3 * 4096)
    with mmap.mmap(file.fileno(), 0) as memory:
        memory[5000:5005] = b"share"
        memory.flush()
    assert open("a", "rb").read()[5000:5005] == b"share"
done("a shared mapping is written to the file")

with open("a", "wb+") as file:
    file.write(b"below" * 2000); file.flush()
    with mmap.mmap(file.fileno(), 0, mmap.MAP_PRIVATE) as memory:
        memory[0:5] = b"above"
        assert memory[0:10] == b"abovebelow"
    assert open("a", "rb").read(5) == b"below"
done("a private mapping is not")

with open("a", "w") as ours, open("a", "w") as other:
    fcntl.flock(ours, fcntl.LOCK_EX)
    fails(errno.EAGAIN, fcntl.flock, other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(ours, fcntl.LOCK_UN)
    fcntl.lockf(ours, fcntl.LOCK_EX, 10, 0)
    if os.fork() == 0:
        fails(errno.EAGAIN, fcntl.lockf, other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 5)
        fcntl.lockf(other, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 10)
        os._exit(0)
    assert os.wait()[1] == 0
done("locks exclude each other")

write("n" * 255, "long")
assert os.listdir(".") == ["n" * 255]
fails(errno.ENAMETOOLONG, open, "n" * 256, "w")
done("names of 255 bytes, and no longer ones")

os.mkdir("d")
for number in range(1000):
    os.close(os.open(f"d/{number}", os.O_CREAT, 0o600))
assert sorted(map(int, os.listdir("d"))) == list(range(1000))
done("a thousand files are listed once each")

os.mkfifo("f")
if os.fork() == 0:
    write("f", "through")
    os._exit(0)
assert read("f") == "through"
assert os.wait()[1] == 0
done("a FIFO connects processes")

os.mkdir("d"); write("d/a", "a")
fails(errno.ENOTEMPTY, os.rmdir, "d")
fails(errno.EISDIR, os.unlink, "d")
os.unlink("d/a")
os.rmdir("d")
fails(errno.ENOENT, os.stat, "d")
done("a directory is removed only when it is empty")

write("kept", "made in a container\n")
