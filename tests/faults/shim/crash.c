/* Preloaded into a daemon: the n-th write, rename, sync, ... below a folder is the last thing that it does.

   It owns the counting alone; `test_crash_points` compiles it and says where. Variables:
     CRASH_BELOW  files of this folder count, and only in a process whose command line names cffs.daemon
     CRASH_TALLY  a file that gets one letter for each such call: what there is to sweep
     CRASH_AT     the number of the call, from 1: a write writes half and the process is killed; of the others the odd
                  ones are still done, the even ones not
*/
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char *below;
static long at, seen;
static int tally = -1;

__attribute__((constructor)) static void begin(void) {
    char line[4096];
    int file = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    long length = file < 0 ? 0 : syscall(SYS_read, file, line, sizeof line);
    const char *told = getenv("CRASH_BELOW"), *number = getenv("CRASH_AT"), *counted = getenv("CRASH_TALLY");
    if (file >= 0) syscall(SYS_close, file);
    if (!told || length <= 0 || !memmem(line, length, "cffs.daemon", 11)) return;
    below = told;
    at = number ? atol(number) : 0;
    if (counted) tally = syscall(SYS_openat, AT_FDCWD, counted, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

/* The number of this call where it is the last one, else 0. */
static long is_last(char letter, const char *path) {
    if (!below || !path || strncmp(path, below, strlen(below))) return 0;
    if (tally >= 0) syscall(SYS_write, tally, &letter, 1);
    return __atomic_add_fetch(&seen, 1, __ATOMIC_SEQ_CST) == at ? at : 0;
}

static const char *path_of(int file, char *room) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, room, PATH_MAX - 1);
    if (length <= 0) return NULL;
    room[length] = 0;
    return room;
}

/* A name relative to a folder's descriptor counts as what the folder's does. */
static const char *path_at(int folder, const char *name, char *room) {
    return name[0] == '/' || folder == AT_FDCWD ? name : path_of(folder, room);
}

#define REAL(name) static __typeof__(&name) real; if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define CALL(letter, path, call) \
    do { \
        long number = is_last(letter, path); \
        if (number && number % 2 == 0) die(); \
        __typeof__(call) result = call; \
        if (number) die(); \
        return result; \
    } while (0)

#define PWRITE(name, offset_type) \
    ssize_t name(int file, const void *data, size_t count, offset_type offset) { \
        REAL(name); \
        char room[PATH_MAX]; \
        if (is_last('w', path_of(file, room))) { real(file, data, count / 2, offset); die(); } \
        return real(file, data, count, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int file, const void *data, size_t count) {
    REAL(write);
    char room[PATH_MAX];
    if (below && is_last('w', path_of(file, room))) { real(file, data, count / 2); die(); }
    return real(file, data, count);
}

int fsync(int file) { REAL(fsync); char room[PATH_MAX]; CALL('s', path_of(file, room), real(file)); }
int fdatasync(int file) { REAL(fdatasync); char room[PATH_MAX]; CALL('s', path_of(file, room), real(file)); }
int ftruncate(int file, off_t n) { REAL(ftruncate); char room[PATH_MAX]; CALL('t', path_of(file, room), real(file, n)); }
int ftruncate64(int file, off64_t n) {
    REAL(ftruncate64); char room[PATH_MAX]; CALL('t', path_of(file, room), real(file, n));
}
int fchmod(int file, mode_t mode) { REAL(fchmod); char room[PATH_MAX]; CALL('m', path_of(file, room), real(file, mode)); }
int chmod(const char *path, mode_t mode) { REAL(chmod); CALL('m', path, real(path, mode)); }
int rename(const char *from, const char *to) { REAL(rename); CALL('r', to, real(from, to)); }
int renameat(int f, const char *from, int t, const char *to) {
    REAL(renameat); char room[PATH_MAX]; CALL('r', path_at(t, to, room), real(f, from, t, to));
}
int link(const char *from, const char *to) { REAL(link); CALL('l', to, real(from, to)); }
int linkat(int f, const char *from, int t, const char *to, int flags) {
    REAL(linkat); char room[PATH_MAX]; CALL('l', path_at(t, to, room), real(f, from, t, to, flags));
}
int unlink(const char *path) { REAL(unlink); CALL('u', path, real(path)); }
int unlinkat(int folder, const char *path, int flags) {
    REAL(unlinkat); char room[PATH_MAX]; CALL('u', path_at(folder, path, room), real(folder, path, flags));
}
int mkdir(const char *path, mode_t mode) { REAL(mkdir); CALL('d', path, real(path, mode)); }
int mkdirat(int folder, const char *path, mode_t mode) {
    REAL(mkdirat); char room[PATH_MAX]; CALL('d', path_at(folder, path, room), real(folder, path, mode));
}
