#include "torture_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdutil.h"
#include "base/hash.h"
#include "base/mem.h"

enum { DIR_MAX = 128, SITES_BYTES_MAX = 64 * 1024 * 1024 };

static char dir[DIR_MAX];
static char *sanitizer_before;

static void set_sanitizer(const char *variable) {
    const char *before = getenv(variable);
    AUTO_FREE char *value = mem_printf("%s%sverify_asan_link_order=0:exitcode=%d:log_path=%s/sanitizer",
                                       before ? before : "", before ? ":" : "", TORTURE_EXIT_SANITIZER, dir);
    setenv(variable, value, true);
}

void torture_begin(const char *own_dir, const char *only) {
    snprintf(dir, sizeof dir, "%s", own_dir);
    const char *before = getenv("ASAN_OPTIONS");
    sanitizer_before = before ? mem_strdup(before) : NULL;
    set_sanitizer("ASAN_OPTIONS");
    setenv("UBSAN_OPTIONS", getenv("ASAN_OPTIONS"), true);
    setenv("LSAN_OPTIONS", "print_suppressions=0:suppressions=" TORTURE_LEAKS, true);
    setenv("TORTURE_DIR", dir, true);
    setenv("TORTURE_ONLY", only, true);
}

static void forget(const char *file) {
    AUTO_FREE char *path = mem_printf("%s/%s", dir, file);
    unlink(path);
}

static void order(const char *what) {
    AUTO_FREE char *path = mem_printf("%s/order", dir);
    struct err err = {0};
    cr_assert_eq(file_write_atomic(AT_FDCWD, path, what, strlen(what), 0644, &err), 0, "%s", err.text);
    setenv("LD_PRELOAD", TORTURE_LIBRARY, true);
}

void torture_rest(void) {
    unsetenv("LD_PRELOAD");
    forget("order");
}

void torture_end(void) {
    torture_rest();
    if (sanitizer_before)
        setenv("ASAN_OPTIONS", sanitizer_before, true);
    else
        unsetenv("ASAN_OPTIONS");
    free(STEAL(sanitizer_before));
}

void torture_count(void) {
    forget("sites");
    order("count");
}

void torture_aim(const struct torture_point *point) {
    AUTO_FREE char *fault = mem_printf("%s:%s", point->site, point->how);
    forget("fired");
    order(fault);
}

bool torture_fired(void) {
    AUTO_FREE char *path = mem_printf("%s/fired", dir);
    return access(path, F_OK) == 0;
}

/* --- points --- */

static uint64_t seed(void) {
    static uint64_t number;
    const char *given = getenv("BERTH_TORTURE_SEED");
    if (given)
        return strtoull(given, NULL, 10);
    if (!number)
        cr_assert_eq(getrandom(&number, sizeof number, 0), sizeof number);
    return number;
}

static bool is_memory(const struct torture_point *p) {
    return strcmp(p->how, "ENOMEM") == 0;
}

static int by_rank(const void *a, const void *b) {
    const struct torture_point *p = a, *q = b;
    return p->rank < q->rank ? -1 : p->rank > q->rank;
}

static int compare_names(const struct torture_point *p, const struct torture_point *q) {
    int order = strcmp(p->site, q->site);
    return order ? order : strcmp(p->how, q->how);
}

static int by_name_and_turn(const void *a, const void *b) {
    const struct torture_point *p = a, *q = b;
    int order = compare_names(p, q);
    return order ? order : p->turn < q->turn ? -1 : p->turn > q->turn;
}

static void add(struct torture_points *points, unsigned line, const char *site, const char *call,
                const char *how, const char *frames) {
    points->items = mem_realloc(points->items, (points->count + 1) * sizeof *points->items);
    struct torture_point *p = &points->items[points->count++];
    *p = (struct torture_point){.line = line, .frames = mem_strdup(frames)};
    snprintf(p->site, sizeof p->site, "%s", site);
    snprintf(p->call, sizeof p->call, "%s", call);
    snprintf(p->how, sizeof p->how, "%s", how);
    AUTO_FREE char *key = mem_printf("%llu %s %s", (unsigned long long)seed(), site, how);
    p->rank = hash_text64(key);
    AUTO_FREE char *with_line = mem_printf("%s %u", key, line);
    p->turn = hash_text64(with_line);
}

/* SITE CALL HOW,HOW… FRAME…; one point for each HOW. */
static void add_site(struct torture_points *points, unsigned line, char *text, unsigned share,
                     unsigned shares) {
    char *rest = text;
    const char *site = strsep(&rest, " "), *call = strsep(&rest, " ");
    char *hows = strsep(&rest, " ");
    cr_assert(hows, "a site without a way to fail: %s", text);
    if (strtoull(site, NULL, 16) % shares != share)
        return;
    for (const char *how; (how = strsep(&hows, ","));)
        add(points, line, site, call, how, rest ? rest : "");
}

static void drop_doubles(struct torture_points *points) {
    size_t kept = 0;
    qsort(points->items, points->count, sizeof *points->items, by_name_and_turn);
    for (size_t i = 0; i < points->count; i++) {
        if (kept && compare_names(&points->items[kept - 1], &points->items[i]) == 0)
            free(points->items[i].frames);
        else
            points->items[kept++] = points->items[i];
    }
    points->count = kept;
}

/* By chance, half of them of memory. */
static void take_sample(struct torture_points *points, size_t most) {
    size_t kept = 0, of_memory = 0;
    qsort(points->items, points->count, sizeof *points->items, by_rank);
    for (size_t i = 0; i < points->count; i++) {
        bool memory = is_memory(&points->items[i]);
        bool wanted = kept < most && (memory ? of_memory < most / 2 : kept - of_memory < most - most / 2);
        if (!wanted) {
            free(points->items[i].frames);
            continue;
        }
        of_memory += memory;
        points->items[kept++] = points->items[i];
    }
    points->count = kept;
}

static void keep_only(struct torture_points *points, const char *only) {
    size_t kept = 0;
    for (size_t i = 0; i < points->count; i++) {
        struct torture_point *p = &points->items[i];
        AUTO_FREE char *name = mem_printf("%s:%s", p->site, p->how);
        if (strcmp(name, only) == 0 || strcmp(p->call, only) == 0)
            points->items[kept++] = *p;
        else
            free(p->frames);
    }
    points->count = kept;
}

size_t torture_load(struct torture_points *points, unsigned line, unsigned share, unsigned shares) {
    struct err err = {0};
    size_t before = points->count;
    AUTO_BUF struct buf text = BUF(SITES_BYTES_MAX);
    AUTO_FREE char *path = mem_printf("%s/sites", dir);
    cr_assert_eq(file_read(AT_FDCWD, path, SITES_BYTES_MAX, &text, &err), 0, "%s", err.text);
    char *rest = text.data;
    for (char *site; (site = strsep(&rest, "\n"));)
        if (*site)
            add_site(points, line, site, share, shares);
    size_t met = points->count - before;
    drop_doubles(points);
    points->met = points->count;
    return met;
}

void torture_choose(struct torture_points *points, unsigned share, unsigned shares, size_t most) {
    const char *wanted = getenv("BERTH_TORTURE_POINTS"), *only = getenv("BERTH_TORTURE_ONLY");
    bool all = wanted && strcmp(wanted, "all") == 0;
    if (only)
        keep_only(points, only);
    else
        take_sample(points, all ? points->count * 2 : wanted ? strtoull(wanted, NULL, 10) / shares : most);
    fprintf(stderr, "torture: share %u of %u: %zu of %zu points; BERTH_TORTURE_SEED=%llu\n", share + 1,
            shares, points->count, points->met, (unsigned long long)seed());
}

void torture_points_done(struct torture_points *points) {
    for (size_t i = 0; i < points->count; i++)
        free(points->items[i].frames);
    free(points->items);
    *points = (struct torture_points){0};
}

/* --- what became of it --- */

void torture_take_reports(struct buf *out) {
    glob_t found = {0};
    AUTO_FREE char *pattern = mem_printf("%s/sanitizer.*", dir);
    if (glob(pattern, 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++) {
            AUTO_BUF struct buf text = BUF(TORTURE_REPORT_MAX);
            file_read(AT_FDCWD, found.gl_pathv[i], TORTURE_REPORT_MAX, &text, NULL);
            buf_add(out, buf_str(&text), text.len);
            unlink(found.gl_pathv[i]);
        }
    globfree(&found);
}

int torture_wait(pid_t pid, int64_t ms) {
    int status;
    AUTO_FD int pidfd = pidfd_open(pid, 0);
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    bool ended = poll(&p, 1, (int)ms) == 1;
    if (!ended)
        kill(pid, SIGKILL);
    waitpid(pid, &status, 0);
    if (!ended)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

void torture_tell(const struct torture_point *point, const char *wrong) {
    fprintf(stderr, "torture: %s:%s %s: %s\n  %s\n", point->site, point->how, point->call, wrong,
            point->frames);
}
