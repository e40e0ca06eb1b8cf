/* Put before a program (LD_PRELOAD), it writes down, in order, what the program writes to one database and its logs, and
 * when it has it flushed. From that a test makes what a disk may hold after a power cut. Linux only.
 *
 * A record: operation (1 byte), file (1 byte), offset (8), length (8), and for a write its bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE = 2, FLUSH = 3, DELETE = 4 };

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int trace = -1;
static const char *database;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("REJOIN_POWER_TRACE");
    database = getenv("REJOIN_POWER_FILE");
    if (path && database) trace = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

/* 1 the database, 2 its write-ahead log, 3 its rollback journal, 0 anything else (in a record: their directory). */
static int which(const char *path) {
    size_t length = database ? strlen(database) : 0;
    if (trace < 0 || strncmp(path, database, length) != 0) return 0;
    const char *rest = path + length;
    return *rest == 0 ? 1 : !strcmp(rest, "-wal") ? 2 : !strcmp(rest, "-journal") ? 3 : 0;
}

static int named(int fd, char path[PATH_MAX]) {
    char link[64];
    if (trace < 0 || fd < 3) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return 1;
}

static int of(int fd) {
    char path[PATH_MAX];
    return named(fd, path) ? which(path) : 0;
}

/* Whether it is the directory of the database: flushed, it makes deletions last. */
static int is_directory(int fd) {
    char path[PATH_MAX];
    if (!named(fd, path)) return 0;
    size_t length = strlen(path);
    return strrchr(database, '/') == database + length && !strncmp(path, database, length);
}

static void note(int operation, int file, uint64_t offset, uint64_t length, const void *bytes) {
    uint8_t head[18] = { (uint8_t)operation, (uint8_t)file };
    memcpy(head + 2, &offset, 8);
    memcpy(head + 10, &length, 8);
    struct iovec parts[2] = { { head, sizeof head }, { (void *)bytes, bytes ? length : 0 } };
    if (writev(trace, parts, 2) < 0) abort();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *bytes, size_t length) {
    int file = of(fd);
    if (!file) return REAL(write)(fd, bytes, length);
    pthread_mutex_lock(&turn);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = REAL(write)(fd, bytes, length);
    if (done > 0) note(WRITE, file, (uint64_t)at, (uint64_t)done, bytes);
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    int file = of(fd);
    if (!file) return REAL(pwrite64)(fd, bytes, length, at);
    pthread_mutex_lock(&turn);
    ssize_t done = REAL(pwrite64)(fd, bytes, length, at);
    if (done > 0) note(WRITE, file, (uint64_t)at, (uint64_t)done, bytes);
    pthread_mutex_unlock(&turn);
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return pwrite64(fd, bytes, length, at); }

int ftruncate64(int fd, off64_t length) {
    int file = of(fd);
    if (!file) return REAL(ftruncate64)(fd, length);
    pthread_mutex_lock(&turn);
    int done = REAL(ftruncate64)(fd, length);
    if (done == 0) note(TRUNCATE, file, (uint64_t)length, 0, NULL);
    pthread_mutex_unlock(&turn);
    return done;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int unlink(const char *path) {
    int file = which(path);
    if (!file) return REAL(unlink)(path);
    pthread_mutex_lock(&turn);
    int done = REAL(unlink)(path);
    if (done == 0) note(DELETE, file, 0, 0, NULL);
    pthread_mutex_unlock(&turn);
    return done;
}

static int flushed(int fd, int done) {
    int file = of(fd);
    if ((file || is_directory(fd)) && done == 0) {
        pthread_mutex_lock(&turn);
        note(FLUSH, file, 0, 0, NULL);
        pthread_mutex_unlock(&turn);
    }
    return done;
}

int fsync(int fd) { return flushed(fd, REAL(fsync)(fd)); }
int fdatasync(int fd) { return flushed(fd, REAL(fdatasync)(fd)); }
