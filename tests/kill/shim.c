/* Kills the program it is loaded into at a chosen write of its event log to the disk, or lets the disk be full from
 * then on.
 *
 * SHIM_MODE  count       writes the number of syncs of the event log to SHIM_COUNT in the end
 *            before      SIGKILL before the SHIM_AT-th sync
 *            after       SIGKILL after it
 *            power       as before; and what was written to any file and not synced is lost
 *            full        from the SHIM_AT-th write to the event log on, every write of the project's runs fails
 *
 * What the program starts is left alone: the variables are taken out of its environment first. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum mode { NONE, COUNT, BEFORE, AFTER, POWER, FULL };

/* A file of the project's runs that was written to. */
struct file {
    dev_t device;
    ino_t inode;
    int copy;      /* a descriptor of our own: the program may close its one */
    off_t synced;  /* bytes that survive */
};

static enum mode mode;
static long at;
static char *count_file;
static long syncs, writes;
static struct file files[1024];
static int known;
static int is_full;
static pid_t self;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    const char *names[] = {"none", "count", "before", "after", "power", "full"};
    const char *wanted = getenv("SHIM_MODE");
    for (int i = 0; wanted && i < 6; i++)
        if (!strcmp(wanted, names[i])) mode = i;
    if (getenv("SHIM_AT")) at = atol(getenv("SHIM_AT"));
    if (getenv("SHIM_COUNT")) count_file = strdup(getenv("SHIM_COUNT"));
    self = getpid();
    unsetenv("LD_PRELOAD");
    unsetenv("SHIM_MODE");
    unsetenv("SHIM_AT");
    unsetenv("SHIM_COUNT");
}

__attribute__((destructor)) static void end(void) {
    if (mode != COUNT || !count_file || getpid() != self) return;
    FILE *out = fopen(count_file, "w");
    if (!out) abort();
    fprintf(out, "%ld %ld\n", syncs, writes);
    fclose(out);
}

/* 0: none of ours, 1: a file of the project's runs, 2: the event log. */
static int kind_of(int fd) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    char *below = strstr(path, "/.runner/");
    if (!below || strstr(below, ".db-shm")) return 0;
    return strstr(below, ".db") ? 2 : 1;
}

static struct file *file_of(int fd) {
    struct stat info;
    if (fstat(fd, &info) || !S_ISREG(info.st_mode)) return NULL;
    for (int i = 0; i < known; i++)
        if (files[i].device == info.st_dev && files[i].inode == info.st_ino) return &files[i];
    if (known == sizeof files / sizeof *files) abort();
    files[known] = (struct file){info.st_dev, info.st_ino, dup(fd), info.st_size};
    return &files[known++];
}

static void die(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

static int sync_with(int (*real)(int), int fd) {
    if (mode == NONE || getpid() != self) return real(fd);
    int errors = errno;
    int kind = kind_of(fd);
    if (!kind) { errno = errors; return real(fd); }
    pthread_mutex_lock(&lock);
    int is_it = kind == 2 && ++syncs == at;
    if (is_it && mode == POWER)
        for (int i = 0; i < known; i++)
            if (ftruncate(files[i].copy, files[i].synced)) abort();
    if (is_it && (mode == BEFORE || mode == POWER)) die();
    errno = errors;
    int result = real(fd);
    errors = errno;
    if (is_it && mode == AFTER) die();
    if (mode == POWER && !result) {
        struct file *file = file_of(fd);
        struct stat info;
        if (file && !fstat(fd, &info)) file->synced = info.st_size;
    }
    pthread_mutex_unlock(&lock);
    errno = errors;
    return result;
}

/* Whether a write may be done. */
static int may_write(int fd) {
    if (mode != COUNT && mode != POWER && mode != FULL) return 1;
    if (getpid() != self) return 1;
    int errors = errno;
    int kind = kind_of(fd), may = 1;
    if (kind) {
        pthread_mutex_lock(&lock);
        if (kind == 2 && ++writes == at && mode == FULL) is_full = 1;
        if (is_full) may = 0;
        if (mode == POWER) file_of(fd);
        pthread_mutex_unlock(&lock);
    }
    errno = may ? errors : ENOSPC;
    return may;
}

int fsync(int fd) { return sync_with(real_fsync, fd); }
int fdatasync(int fd) { return sync_with(real_fdatasync, fd); }
ssize_t write(int fd, const void *bytes, size_t count) {
    return may_write(fd) ? real_write(fd, bytes, count) : -1;
}
ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return may_write(fd) ? real_pwrite(fd, bytes, count, offset) : -1;
}
ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    return may_write(fd) ? real_pwrite(fd, bytes, count, offset) : -1;
}
