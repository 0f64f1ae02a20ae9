/* command - `berthd reap`: one sweep by hand, told on standard output. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "orchestrator/db/migrate.h"
#include "orchestrator/reaper/reaper.h"
#include "orchestrator/reaper/work.h"
#include "proto/child.h"
#include "proto/control.h"

enum { KEPT_FILE_MAX = 256 };

static void print_orphan(const char *kind, const char *name, const char *why, const struct err *error) {
    if (error)
        printf("%s %s: %s; not removed: %s\n", kind, name, why, error->text);
    else
        printf("%s %s: %s\n", kind, name, why);
}

static void print_put_off(const char *what, const struct err *why) {
    fprintf(stderr, "berthd reap: %s were left as they are: %s\n", what, why->text);
}

/* What `berthd run` keeps in a file of the state directory, a line. */
static int read_kept(const struct work *work, const char *file, char **ret, struct err *err) {
    AUTO_FREE char *path = mem_printf("%s/%s", work->settings.state_dir, file);
    AUTO_BUF struct buf text = BUF(KEPT_FILE_MAX);
    if (file_read(AT_FDCWD, path, KEPT_FILE_MAX, &text, err) < 0)
        return -1;
    *ret = mem_strndup(buf_str(&text), strcspn(buf_str(&text), "\n"));
    return 0;
}

/* The name when no setting names another. */
static int resolve_instance(struct work *work, struct err *err) {
    read_kept(work, "cgroup", &work->cgroup, NULL); /* none: nothing of it is looked for */
    if (work->settings.instance) {
        work->instance = mem_strdup(work->settings.instance);
        return 0;
    }
    if (read_kept(work, "instance", &work->instance, err) < 0)
        return err_wrap(err, "no berthd has run with this state directory yet");
    return 0;
}

static int prepare(struct work *work, const struct settings *settings, struct err *err) {
    AUTO_BUF struct buf copy = BUF(CHILD_MESSAGE_MAX);
    if (config_dump(&settings_table, settings, &copy) < 0 ||
        config_undump(&settings_table, &work->settings, buf_str(&copy), copy.len, err) < 0)
        return -1;
    work->ctx = ctx_root(NULL);
    struct ctx ctx = ctx_child(&work->ctx);
    ctx_deadline_in(&ctx, SWEEP_LIST_TIMEOUT_MS);
    if (resolve_instance(work, err) < 0 || work_open(work, err) < 0 || db_connect(work->db, &ctx, err) < 0)
        return -1;
    return migrate_cluster_id(work->db, &ctx, work->cluster, err);
}

int reap_command(const struct settings *settings, bool dry_run) {
    static const struct sweep_told told = {print_orphan, print_put_off};
    struct err err = {0};
    AUTO_WORK struct work work = {0};
    int orphans = -1;
    if (prepare(&work, settings, &err) == 0)
        orphans = work_sweep(&work, dry_run, true, &told, &err);
    if (orphans < 0) {
        fprintf(stderr, "berthd reap: nothing was removed: %s\n", err.text);
        return CHILD_EXIT_AWAY;
    }
    printf("%d %s\n", orphans, dry_run ? "would be removed" : "orphans found");
    return CHILD_EXIT_DONE;
}
