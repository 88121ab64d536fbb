/* Stands before the C library's calls that change files below a folder, in a process that loads it first (LD_PRELOAD).

It counts these calls, and at a given one it kills the process, or lets that call, or it and all later ones, fail. Every
call that succeeded is noted in a log, a line each, and what a rename or a removal takes away is kept under a number, so
that a test can tell what the disk would hold after a power cut. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT, KILL, FAIL_ONCE, FAIL_FROM };
static char root[PATH_MAX], kept[PATH_MAX];
static int action, error_number, log_file = -1;
static long at, count, kept_files;

/* Begin to count calls on files below `folder`. With `keep`, a folder, calls are noted in `keep`/log. */
void faults_arm(const char *folder, long call, int what, int number, const char *keep) {
    at = call, action = what, error_number = number, count = 0;
    if (keep) {
        char name[PATH_MAX + 8];
        snprintf(kept, sizeof kept, "%s", keep);
        snprintf(name, sizeof name, "%s/log", keep);
        log_file = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND, 0666);
    }
    snprintf(root, sizeof root, "%s", folder);
}

long faults_count(void) { return count; }

static int below(const char *path) {
    size_t length = strlen(root);
    return length && !strncmp(path, root, length) && (path[length] == '/' || !path[length]);
}

/* The absolute path of a name; the shim is for processes whose folder does not change. */
static int place(const char *path, char *found) {
    char folder[PATH_MAX];
    if (path[0] == '/')
        snprintf(found, PATH_MAX, "%s", path);
    else if (getcwd(folder, sizeof folder))
        snprintf(found, PATH_MAX, "%.2000s/%.2000s", folder, path);
    else
        return 0;
    return below(found);
}

static int place_of(int descriptor, char *found) {
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", descriptor);
    ssize_t length = root[0] ? readlink(name, found, PATH_MAX - 1) : 0;
    if (length <= 0) return 0;
    found[length] = 0;
    return below(found);
}

/* Count a call; true if it is to fail. */
static int strikes(void) {
    long now = __atomic_add_fetch(&count, 1, __ATOMIC_SEQ_CST);
    if (action == KILL && now == at) kill(getpid(), SIGKILL);
    if ((action == FAIL_ONCE && now == at) || (action == FAIL_FROM && now >= at)) {
        errno = error_number;
        return 1;
    }
    return 0;
}

static void note(const char *what, const char *path, const char *other) {
    char line[2 * PATH_MAX + 64];
    if (log_file < 0) return;
    int length = snprintf(line, sizeof line, "%s\t%s\t%s\n", what, path, other);
    syscall(SYS_write, log_file, line, length);
}

static void note_number(const char *what, const char *path, long number) {
    char text[32];
    snprintf(text, sizeof text, "%ld", number);
    note(what, path, text);
}

/* Keep what is at a path under a number; 0 if nothing is. */
static long keep(const char *path) {
    char name[PATH_MAX + 32];
    if (log_file < 0) return 0;
    snprintf(name, sizeof name, "%s/%ld", kept, ++kept_files);
    return syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, name, 0) ? 0 : kept_files;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define WRITES(name, arguments, values)                                                                                \
    ssize_t name arguments {                                                                                           \
        REAL(name);                                                                                                    \
        char path[PATH_MAX];                                                                                           \
        int ours = place_of(descriptor, path);                                                                         \
        if (ours && strikes()) return -1;                                                                              \
        ssize_t done = real values;                                                                                    \
        if (ours && done >= 0) note("write", path, "");                                                                \
        return done;                                                                                                   \
    }
WRITES(write, (int descriptor, const void *data, size_t size), (descriptor, data, size))
WRITES(pwrite, (int descriptor, const void *data, size_t size, off_t offset), (descriptor, data, size, offset))
WRITES(pwrite64, (int descriptor, const void *data, size_t size, off64_t offset), (descriptor, data, size, offset))
WRITES(writev, (int descriptor, const struct iovec *parts, int number), (descriptor, parts, number))

#define SYNCS(name)                                                                                                    \
    int name(int descriptor) {                                                                                         \
        REAL(name);                                                                                                    \
        char path[PATH_MAX];                                                                                           \
        struct stat found;                                                                                             \
        int ours = place_of(descriptor, path);                                                                         \
        if (ours && strikes()) return -1;                                                                              \
        int failed = real(descriptor);                                                                                 \
        if (ours && !failed && !fstat(descriptor, &found)) note_number("sync", path, found.st_size);                   \
        return failed;                                                                                                 \
    }
SYNCS(fsync)
SYNCS(fdatasync)

static int renamed(int done, const char *from, const char *to, long number) {
    char line[PATH_MAX + 32];
    if (done) return done;
    snprintf(line, sizeof line, "%s\t%ld", to, number);
    note("rename", from, line);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(rename);
    char old[PATH_MAX], new[PATH_MAX];
    int ours = place(from, old) & place(to, new);
    if (ours && strikes()) return -1;
    long number = ours ? keep(new) : 0;
    int done = real(from, to);
    return ours ? renamed(done, old, new, number) : done;
}

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
    REAL(renameat2);
    char old[PATH_MAX], new[PATH_MAX];
    int ours = place(from, old) & place(to, new);
    if (ours && strikes()) return -1;
    int done = real(from_folder, from, to_folder, to, flags);
    return ours ? renamed(done, old, new, 0) : done;
}

int unlink(const char *name) {
    REAL(unlink);
    char path[PATH_MAX];
    int ours = place(name, path);
    if (ours && strikes()) return -1;
    long number = ours ? keep(path) : 0;
    int failed = real(name);
    if (ours && !failed) note_number("unlink", path, number);
    return failed;
}

int mkdir(const char *name, mode_t mode) {
    REAL(mkdir);
    char path[PATH_MAX];
    if (place(name, path) && strikes()) return -1;
    return real(name, mode);
}

#define OPENS(name)                                                                                                    \
    int name(const char *file, int flags, ...) {                                                                       \
        REAL(name);                                                                                                    \
        char path[PATH_MAX];                                                                                           \
        va_list rest;                                                                                                  \
        va_start(rest, flags);                                                                                         \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;                                        \
        va_end(rest);                                                                                                  \
        int ours = flags & O_CREAT && place(file, path) && access(file, F_OK);                                         \
        if (ours && strikes()) return -1;                                                                              \
        int descriptor = real(file, flags, mode);                                                                      \
        if (ours && descriptor >= 0) note("create", path, "");                                                         \
        return descriptor;                                                                                             \
    }
OPENS(open)
OPENS(open64)
