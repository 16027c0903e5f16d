/* A disk with faults, put before the real one by LD_PRELOAD. It touches only files whose path contains FAULTY_PART.
 *
 * FAULTY_ORDER=FILE    "N ERRNO once" or "N ERRNO on": the N-th call that writes fails with that error; with "on" every later one
 *                      too, until FILE is gone.
 * FAULTY_COUNTER=FILE  is told how many such calls there were, so that a test can see that they come through here.
 * FAULTY_JOURNAL=DIR   every write since a file's last sync is noted there, so that a test can take it back after a kill: what a
 *                      machine that loses its power may lose. One journal a file, named by inode; a record is a struct record,
 *                      the bytes that were there, and the bytes that were written. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct record { int64_t offset, size_before, old_length, new_length; };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long calls, fail_at, fail_with;
static int from_then_on, is_read;

static int concerns(const char *path) {
    const char *part = getenv("FAULTY_PART");
    return part && path && strstr(path, part) != NULL;
}

static int concerns_fd(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return concerns(path);
}

static void read_order(void) {
    const char *file = getenv("FAULTY_ORDER");
    char text[64] = {0}, manner[16] = {0};
    is_read = 1;
    if (!file) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (syscall(SYS_read, fd, text, sizeof text - 1) > 0 && sscanf(text, "%ld %ld %15s", &fail_at, &fail_with, manner) == 3)
        from_then_on = strcmp(manner, "on") == 0;
    syscall(SYS_close, fd);
}

static void tell(long count) {
    const char *file = getenv("FAULTY_COUNTER");
    char text[32];
    if (!file) return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return;
    syscall(SYS_pwrite64, fd, text, (size_t)snprintf(text, sizeof text, "%020ld\n", count), 0L);
    syscall(SYS_close, fd);
}

/* Counts a call that writes. The error it must fail with, or 0. */
static int draw(void) {
    if (!is_read) read_order();
    tell(++calls);
    if (fail_at == 0 || calls < fail_at) return 0;
    if (calls == fail_at) return (int)fail_with;
    const char *file = getenv("FAULTY_ORDER");
    return from_then_on && file && syscall(SYS_faccessat, AT_FDCWD, file, F_OK) == 0 ? (int)fail_with : 0;
}

static int journal_of(int fd, int flags) {
    const char *folder = getenv("FAULTY_JOURNAL");
    char path[4096];
    struct stat file;
    if (!folder || fstat(fd, &file) != 0 || !S_ISREG(file.st_mode)) return -1;
    snprintf(path, sizeof path, "%s/%lu", folder, (unsigned long)file.st_ino);
    return (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
}

/* new_length < 0 is a file that gets another size: -1 - the size. */
static void note(int fd, int64_t offset, const void *bytes, int64_t new_length) {
    struct stat file;
    int journal = journal_of(fd, O_APPEND);
    if (journal < 0) return;
    if (fstat(fd, &file) == 0) {
        int64_t end = new_length < 0 ? file.st_size : offset + new_length;
        int64_t known = file.st_size < end ? file.st_size : end;
        struct record record = {offset, file.st_size, known > offset ? known - offset : 0, new_length};
        char *old = malloc((size_t)record.old_length + 1);
        char proc[64];
        /* A descriptor of its own: this one may be for writing only. */
        snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
        int reader = (int)syscall(SYS_openat, AT_FDCWD, proc, O_RDONLY | O_CLOEXEC);
        if (old && reader >= 0 && syscall(SYS_pread64, reader, old, (size_t)record.old_length, offset) == record.old_length) {
            struct iovec parts[3] = {{&record, sizeof record}, {old, (size_t)record.old_length},
                                     {(void *)bytes, new_length > 0 ? (size_t)new_length : 0}};
            syscall(SYS_writev, journal, parts, 3);
        }
        if (reader >= 0) syscall(SYS_close, reader);
        free(old);
    }
    syscall(SYS_close, journal);
}

static void forget(int fd) {
    int journal = journal_of(fd, O_TRUNC);
    if (journal >= 0) syscall(SYS_close, journal);
}

static ssize_t write_at(int fd, const void *bytes, size_t length, off_t offset) {
    if (!concerns_fd(fd)) return syscall(SYS_pwrite64, fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    int error = draw();
    if (!error) note(fd, offset, bytes, (int64_t)length);
    ssize_t result = error ? -1 : syscall(SYS_pwrite64, fd, bytes, length, offset);
    if (error) errno = error;
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return write_at(fd, bytes, length, offset); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) { return write_at(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!concerns_fd(fd)) return syscall(SYS_write, fd, bytes, length);
    pthread_mutex_lock(&lock);
    int error = draw();
    if (!error) {
        struct stat file;
        int flags = fcntl(fd, F_GETFL);
        off_t offset = flags >= 0 && (flags & O_APPEND) && fstat(fd, &file) == 0 ? file.st_size : lseek(fd, 0, SEEK_CUR);
        note(fd, offset, bytes, (int64_t)length);
    }
    ssize_t result = error ? -1 : syscall(SYS_write, fd, bytes, length);
    if (error) errno = error;
    pthread_mutex_unlock(&lock);
    return result;
}

static int resize(int fd, off_t size) {
    if (!concerns_fd(fd)) return (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    int error = draw();
    if (!error) note(fd, size, NULL, -1 - size);
    int result = error ? -1 : (int)syscall(SYS_ftruncate, fd, size);
    if (error) errno = error;
    pthread_mutex_unlock(&lock);
    return result;
}

int ftruncate(int fd, off_t size) { return resize(fd, size); }
int ftruncate64(int fd, off64_t size) { return resize(fd, size); }

static int sync_with(long call, int fd) {
    if (!concerns_fd(fd)) return (int)syscall(call, fd);
    pthread_mutex_lock(&lock);
    int error = draw();
    int result = error ? -1 : (int)syscall(call, fd);
    if (error) errno = error;
    else if (result == 0) forget(fd);
    pthread_mutex_unlock(&lock);
    return result;
}

int fsync(int fd) { return sync_with(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }

int fallocate(int fd, int mode, off_t offset, off_t length) {
    int error = 0;
    if (concerns_fd(fd)) {
        pthread_mutex_lock(&lock);
        error = draw();
        pthread_mutex_unlock(&lock);
    }
    if (error) { errno = error; return -1; }
    return (int)syscall(SYS_fallocate, fd, mode, offset, length);
}

static int open_at(int folder, const char *path, int flags, mode_t mode) {
    int error = 0;
    if ((flags & O_CREAT) && concerns(path)) {
        pthread_mutex_lock(&lock);
        error = draw();
        pthread_mutex_unlock(&lock);
    }
    if (error) { errno = error; return -1; }
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(flags) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list rest; va_start(rest, flags); mode = va_arg(rest, mode_t); va_end(rest); }

int open(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int folder, const char *path, int flags, ...) { MODE(flags) return open_at(folder, path, flags, mode); }
int openat64(int folder, const char *path, int flags, ...) { MODE(flags) return open_at(folder, path, flags | O_LARGEFILE, mode); }
