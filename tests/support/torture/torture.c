#include "torture.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <unwind.h>

enum {
    FRAMES_MAX = 64,
    OWN_FRAMES_DEFAULT = 12,
    LIBRARY_FRAMES_DEFAULT = 2,
    MODULES_MAX = 128,
    SITES_MAX = 1 << 16,
    PATH_BYTES = 512,
    LINE_BYTES = 4096,
    COMMAND_BYTES = 512,
    ORDER_BYTES = 128,
};

struct module {
    uintptr_t base, begin, end;
    char name[64];
};

static struct {
    bool on, counting;
    char dir[PATH_BYTES];
    uint64_t site; /* where it has to fail */
    char how[32];
    int depth, library_depth;
    struct module modules[MODULES_MAX];
    size_t module_count;
    uint64_t seen[SITES_MAX];
    size_t seen_count;
} torture;

static bool inside; /* what this library does itself is no call of the program */

void *torture_real(const char *name) {
    bool before = inside;
    inside = true;
    void *real = dlsym(RTLD_NEXT, name);
    inside = before;
    if (!real)
        _exit(97);
    return real;
}

bool torture_is(const char *how, const char *word) {
    return how && strcmp(how, word) == 0;
}

size_t torture_half(size_t len) {
    return len > 1 ? len / 2 : len;
}

bool torture_errno(const char *how) {
    static const struct {
        const char *name;
        int number;
    } known[] = {{"EIO", EIO},
                 {"ENOSPC", ENOSPC},
                 {"ENOMEM", ENOMEM},
                 {"EINTR", EINTR},
                 {"EAGAIN", EAGAIN},
                 {"EMFILE", EMFILE},
                 {"ECONNRESET", ECONNRESET},
                 {"ENOLCK", ENOLCK},
                 {"EACCES", EACCES},
                 {"EPIPE", EPIPE},
                 {"ECONNREFUSED", ECONNREFUSED}};
    for (size_t i = 0; how && i < sizeof known / sizeof *known; i++) {
        if (strcmp(how, known[i].name) != 0)
            continue;
        errno = known[i].number;
        return true;
    }
    return false;
}

/* --- where we are --- */

static int take_module(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    (void)arg;
    if (torture.module_count == MODULES_MAX)
        return 1;
    struct module *m = &torture.modules[torture.module_count];
    const char *slash = strrchr(info->dlpi_name, '/');
    *m = (struct module){.base = info->dlpi_addr, .begin = UINTPTR_MAX};
    snprintf(m->name, sizeof m->name, "%s",
             *info->dlpi_name ? (slash ? slash + 1 : info->dlpi_name) : "program");
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + segment->p_vaddr;
        if (segment->p_type != PT_LOAD)
            continue;
        m->begin = begin < m->begin ? begin : m->begin;
        m->end = begin + segment->p_memsz > m->end ? begin + segment->p_memsz : m->end;
    }
    torture.module_count++;
    return 0;
}

static const struct module *find_module(uintptr_t at) {
    for (size_t i = 0; i < torture.module_count; i++)
        if (at >= torture.modules[i].begin && at < torture.modules[i].end)
            return &torture.modules[i];
    return NULL;
}

static const struct module *module_of(uintptr_t at) {
    const struct module *found = find_module(at);
    if (found)
        return found;
    torture.module_count = 0; /* something was loaded since */
    dl_iterate_phdr(take_module, NULL);
    return find_module(at);
}

static void hash_add(uint64_t *hash, const void *bytes, size_t len) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < len; i++)
        *hash = (*hash ^ p[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
}

struct stack {
    uintptr_t frames[FRAMES_MAX];
    int count;
};

/* Not backtrace(3), which loads a library for that and so asks for memory in the middle of the program. */
static _Unwind_Reason_Code take_frame(struct _Unwind_Context *context, void *arg) {
    struct stack *stack = arg;
    if (stack->count == FRAMES_MAX)
        return _URC_END_OF_STACK;
    stack->frames[stack->count++] = _Unwind_GetIP(context);
    return _URC_NO_REASON;
}

/* The stack without this library's frames, down to the depth that makes a site; as text, too, when line is
 * given. */
static uint64_t site_of(const char *call, char *line) {
    struct stack stack = {.count = 0};
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    int own = 0, of_libraries = 0;
    size_t len = 0;
    const struct module *self = module_of((uintptr_t)site_of);
    _Unwind_Backtrace(take_frame, &stack);
    hash_add(&hash, call, strlen(call));
    for (int i = 0; i < stack.count && own < torture.depth; i++) {
        const struct module *m = module_of(stack.frames[i]);
        if (!m || m == self)
            continue;
        bool is_own = m == &torture.modules[0]; /* dl_iterate_phdr begins with the program */
        own += is_own;
        of_libraries += !is_own;
        if (!is_own && own == 0 && of_libraries > torture.library_depth)
            continue;
        uintptr_t offset = stack.frames[i] - m->base;
        hash_add(&hash, m->name, strlen(m->name));
        hash_add(&hash, &offset, sizeof offset);
        if (line && len < LINE_BYTES)
            len += (size_t)snprintf(line + len, LINE_BYTES - len, " %s+0x%zx", m->name, offset);
    }
    return hash;
}

/* --- files, past every wrapper --- */

static bool append(const char *file, int flags, const char *text) {
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/%s", torture.dir, file);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0666);
    if (fd < 0)
        return false;
    syscall(SYS_write, fd, text, strlen(text));
    syscall(SYS_close, fd);
    return true;
}

/* False: it was there, or there are too many. */
static bool is_new(uint64_t site) {
    if (torture.seen_count > SITES_MAX / 2)
        return false;
    size_t at = site % SITES_MAX;
    for (; torture.seen[at]; at = (at + 1) % SITES_MAX)
        if (torture.seen[at] == site)
            return false;
    torture.seen[at] = site;
    torture.seen_count++;
    return true;
}

static void count_site(const char *call, const char *hows) {
    char frames[LINE_BYTES] = "", line[LINE_BYTES + 256];
    uint64_t site = site_of(call, frames);
    if (!is_new(site))
        return;
    snprintf(line, sizeof line, "%016llx %s %s%.*s\n", (unsigned long long)site, call, hows, LINE_BYTES - 1,
             frames);
    append("sites", O_APPEND, line);
}

static const char *fail_here(const char *call) {
    char mark[128];
    if (site_of(call, NULL) != torture.site)
        return NULL;
    torture.on = false;
    snprintf(mark, sizeof mark, "%s %s in process %d\n", call, torture.how, (int)getpid());
    return append("fired", O_EXCL, mark) ? torture.how : NULL;
}

const char *torture_now(const char *call, const char *hows) {
    if (!torture.on || inside)
        return NULL;
    const char *how = NULL;
    int kept = errno;
    inside = true;
    if (torture.counting)
        count_site(call, hows);
    else
        how = fail_here(call);
    inside = false;
    errno = kept;
    return how;
}

/* --- the beginning --- */

/* Whether this process is the one that is meant: "berthd scribe" of /some/where/berthd\0scribe\0. */
static bool is_meant(const char *only) {
    char command[COMMAND_BYTES] = "";
    int fd = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    long len = fd < 0 ? 0 : syscall(SYS_read, fd, command, sizeof command - 1);
    syscall(SYS_close, fd);
    const char *slash = strrchr(command, '/'), *begin = slash ? slash + 1 : command;
    for (long i = 0; i + 1 < len; i++)
        command[i] = command[i] ? command[i] : ' ';
    return strncmp(begin, only, strlen(only)) == 0;
}

/* "" when there is none. */
static void read_order(char order[ORDER_BYTES]) {
    char path[PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s/order", torture.dir);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    long len = fd < 0 ? 0 : syscall(SYS_read, fd, order, ORDER_BYTES - 1);
    order[len > 0 ? len : 0] = '\0';
    syscall(SYS_close, fd);
}

static int number_of(const char *variable, int otherwise) {
    const char *text = getenv(variable);
    return text ? (int)strtol(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void) {
    const char *dir = getenv("TORTURE_DIR"), *only = getenv("TORTURE_ONLY");
    char order[ORDER_BYTES] = "";
    inside = true;
    if (dir && (!only || is_meant(only))) {
        snprintf(torture.dir, sizeof torture.dir, "%s", dir);
        torture.depth = number_of("TORTURE_DEPTH", OWN_FRAMES_DEFAULT);
        torture.library_depth = number_of("TORTURE_LIBRARY_DEPTH", LIBRARY_FRAMES_DEFAULT);
        dl_iterate_phdr(take_module, NULL);
        read_order(order);
        torture.counting = strncmp(order, "count", 5) == 0;
        torture.on = torture.counting || sscanf(order, "%lx:%31s", &torture.site, torture.how) == 2;
    }
    inside = false;
}
