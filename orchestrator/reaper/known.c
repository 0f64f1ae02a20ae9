#include "orchestrator/reaper/known.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/id.h"
#include "orchestrator/db/migrate.h"
#include "proto/labels.h"

enum { JOBS_TEXT_MAX = 4 * 1024 * 1024 };

/* A connection may lead to another database than the one at the start: one that was made anew knows none of
 * our attempts, and what it does not know would be removed. */
static int check_cluster(struct db *db, const struct ctx *ctx, const char *cluster, struct err *err) {
    char there[ATTEMPT_ID_MAX] = "";
    if (db_connect(db, ctx, err) < 0 || migrate_cluster_id(db, ctx, there, err) < 0)
        return -1;
    if (strcmp(there, cluster) == 0)
        return 0;
    return err_set(err, ERR_INVALID, 0, "the database is of cluster %s, not %s as at the start", there,
                   cluster);
}

/* Those that are known by nothing but their job. */
static int read_unfinished(struct db *db, const struct ctx *ctx, const struct volume_list *volumes,
                           struct live_names *ret, struct err *err) {
    AUTO_BUF struct buf jobs = BUF(JOBS_TEXT_MAX);
    for (size_t i = 0; i < volumes->count; i++) {
        const char *job = container_label(volumes->items[i].labels, LABEL_JOB);
        if (job && id_valid(job) && buf_addf(&jobs, "%s%s", jobs.len ? "," : "{", job) < 0)
            return err_set(err, ERR_LIMIT, 0, "too many volumes of jobs to ask for");
    }
    if (!jobs.len)
        return 0;
    return buf_adds(&jobs, "}") < 0 ? err_set(err, ERR_LIMIT, 0, "too many volumes of jobs to ask for")
                                    : live_unfinished(db, ctx, buf_str(&jobs), ret, err);
}

int known_read(struct db *db, const struct ctx *ctx, const char *cluster, const char *instance,
               int attempts_fd, const struct sides *sides, struct known *ret, struct err *err) {
    struct known known = {.attempts_fd = attempts_fd};
    if (check_cluster(db, ctx, cluster, err) < 0 || live_dead(db, ctx, instance, &known.dead, err) < 0 ||
        live_list(db, ctx, instance, &known.attempts, err) < 0 ||
        read_unfinished(db, ctx, &sides->volumes, &known.unfinished, err) < 0) {
        known_done(&known);
        return -1;
    }
    *ret = known;
    return 0;
}

bool known_is_live(const void *arg, const char *attempt) {
    const struct known *known = arg;
    struct stat st;
    /* What cannot be looked at may be there. */
    if (fstatat(known->attempts_fd, attempt, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT)
        return true;
    return live_has(&known->attempts, attempt);
}

static bool is_dead(const void *arg, const char *instance) {
    const struct known *known = arg;
    return live_names_have(&known->dead, instance);
}

static bool is_over(const void *arg, const char *job) {
    const struct known *known = arg;
    return !live_names_have(&known->unfinished, job);
}

struct judge_view known_view(const struct known *known, const char *instance, int64_t began_us) {
    return (struct judge_view){.began_us = began_us,
                               .instance = instance,
                               .is_live = known_is_live,
                               .is_dead = is_dead,
                               .is_over = is_over,
                               .arg = known};
}

void known_done(struct known *known) {
    live_done(&known->attempts);
    live_names_done(&known->dead);
    live_names_done(&known->unfinished);
    *known = (struct known){.attempts_fd = -1};
}
