// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Preloaded into a test: writes down what is done to the file CKI_POWER_FILE, in order, in the file
 * CKI_POWER_LOG. With CKI_POWER_LIE set, syncing does nothing and says that it did.
 *
 * A record is three 64-bit words (what, where, how many bytes) and, for a write, the bytes. Writes past the page
 * cache (O_DIRECT) are records of their own kind.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2, ZERO = 3, LENGTH = 4, DIRECT = 5 };

static int log_fd = -1;
static struct stat file;

__attribute__((constructor)) static void start(void)
{
	const char *path = getenv("CKI_POWER_FILE"), *log = getenv("CKI_POWER_LOG");

	if (!path || !log || stat(path, &file))
		return;
	log_fd = open(log, O_WRONLY | O_APPEND | O_CLOEXEC);
}

static int is_file(int fd)
{
	struct stat found;

	return log_fd >= 0 && !fstat(fd, &found) && found.st_ino == file.st_ino &&
	       found.st_dev == file.st_dev;
}

static uint64_t kind(int fd)
{
	return fcntl(fd, F_GETFL) & O_DIRECT ? DIRECT : WRITE;
}

static void record(uint64_t what, uint64_t where, const struct iovec *data, int count,
		   uint64_t length)
{
	uint64_t words[3] = { what, where, length };
	struct iovec all[17] = { { words, sizeof(words) } };
	ssize_t total = sizeof(words);

	if (count > 16)
		abort();
	for (int i = 0; i < count; i++) {
		all[i + 1] = data[i];
		total += data[i].iov_len;
	}
	if (writev(log_fd, all, count + 1) != total)
		abort();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
	ssize_t done = REAL(pwrite64)(fd, bytes, count, at);
	struct iovec data = { (void *)bytes, done > 0 ? done : 0 };

	if (done > 0 && is_file(fd))
		record(kind(fd), at, &data, 1, done);
	return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
	return pwrite64(fd, bytes, count, at);
}

ssize_t pwritev64(int fd, const struct iovec *data, int count, off64_t at)
{
	ssize_t done = REAL(pwritev64)(fd, data, count, at);
	ssize_t asked = 0;

	for (int i = 0; i < count; i++)
		asked += data[i].iov_len;
	if (is_file(fd)) {
		/* On the file systems of tests, a write is whole. */
		if (done != asked)
			abort();
		record(kind(fd), at, data, count, done);
	}
	return done;
}

ssize_t pwritev(int fd, const struct iovec *data, int count, off_t at)
{
	return pwritev64(fd, data, count, at);
}

static int sync_with(int (*real)(int), int fd)
{
	if (!is_file(fd))
		return real(fd);
	if (getenv("CKI_POWER_LIE"))
		return 0;
	if (real(fd))
		return -1;
	record(SYNC, 0, NULL, 0, 0);
	return 0;
}

int fdatasync(int fd)
{
	return sync_with(REAL(fdatasync), fd);
}

int fsync(int fd)
{
	return sync_with(REAL(fsync), fd);
}

int fallocate64(int fd, int mode, off64_t at, off64_t length)
{
	int result = REAL(fallocate64)(fd, mode, at, length);

	if (!result && is_file(fd))
		record(ZERO, at, NULL, 0, length);
	return result;
}

int fallocate(int fd, int mode, off_t at, off_t length)
{
	return fallocate64(fd, mode, at, length);
}

int ftruncate64(int fd, off64_t length)
{
	int result = REAL(ftruncate64)(fd, length);

	if (!result && is_file(fd))
		record(LENGTH, length, NULL, 0, 0);
	return result;
}

int ftruncate(int fd, off_t length)
{
	return ftruncate64(fd, length);
}
