/* adopt - attempts whose directory is there already: after a crash, an upgrade, or any other start. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/supervisor/supervisor_private.h"
#include "proto/fault_points.h"
#include "proto/journal.h"

enum { LIST_MAX = 65536 };

static DIR *open_attempts(const struct supervisor *s) {
    DIR *dir = dir_open(s->state.attempts_fd);
    if (!dir) {
        struct err err = {0};
        err_sys(&err, "read the attempts in %s", s->settings.state_dir);
        log_error("attempt directories cannot be read", LERR(&err));
    }
    return dir;
}

char **adopt_list(struct supervisor *s) {
    AUTO_DIR DIR *dir = open_attempts(s);
    size_t count = 0, room = 64;
    if (!dir)
        return NULL;
    char **list = mem_alloc(room * sizeof *list);
    for (const struct dirent *e = readdir(dir); e && count < LIST_MAX; e = readdir(dir)) {
        if (e->d_name[0] == '.')
            continue;
        if (count + 1 == room)
            list = mem_realloc(list, (room *= 2) * sizeof *list);
        list[count++] = mem_strdup(e->d_name);
    }
    list[count] = NULL;
    return list;
}

void adopt_list_free(char **list) {
    for (char **p = list; p && *p; p++)
        free(*p);
    free(list);
}

bool adopt_listed(char *const *list, const char *name) {
    for (; list && *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

void adopt_directory(struct supervisor *s, const char *name) {
    AUTO_ATTEMPT struct attempt *attempt = NULL;
    struct journal journal = {0};
    struct err err = {0};
    if (children_find_runner(&s->children, name))
        return;
    AUTO_FD int fd = openat(s->state.attempts_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) /* the scribe has just removed it */
        return;
    if (journal_read(fd, &journal, &err) < 0)
        log_warn("journal cannot be read, its runner will try", LS("attempt", name), LERR(&err));
    if (journal_has(&journal, JOURNAL_CLEANED)) /* waits for the scribe */
        return;
    if (attempt_load(fd, &attempt, &err) < 0)
        log_error("attempt cannot be read, its runner will try", LS("attempt", name), LERR(&err));
    if (attempt && strcmp(attempt->cluster, s->cluster) != 0) {
        log_error("attempt is of another database and is left alone", LS("attempt", name),
                  LS("its_cluster", attempt->cluster), LS("cluster", s->cluster));
        return;
    }
    log_info("attempt taken up again", LS("attempt", name));
    FAULT(PARENT_ADOPTING);
    if (care_add_runner(s, name, attempt ? attempt->spec : NULL) < 0)
        log_error("too many children, the attempt waits", LS("attempt", name),
                  LI("children_max", CHILDREN_MAX));
    FAULT(PARENT_ADOPTED);
}

bool adopt_is_done(const struct supervisor *s, const char *name) {
    struct journal journal = {0};
    AUTO_FD int fd = openat(s->state.attempts_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return true;
    return journal_read(fd, &journal, NULL) == 0 && journal_has(&journal, JOURNAL_CLEANED);
}

/* The attempt's lock is kept until the database has answered: a runner that is started again meanwhile cannot
 * begin what is being ended. */
struct giving_up {
    struct supervisor *supervisor;
    int lock_fd;
    char name[ATTEMPT_NAME_MAX];
};

static void giving_up_free(struct giving_up *g) {
    close(g->lock_fd);
    free(g);
}

static void giving_up_free_p(struct giving_up **g) {
    giving_up_free(*g);
}

/* A directory that goes loses its name first; half of one with its name could neither be run nor be ended.
 * remove_unnamed() goes on with it at the next start. */
static int remove_named(int attempts_fd, const char *name) {
    char hidden[ATTEMPT_NAME_MAX + 1];
    snprintf(hidden, sizeof hidden, ".%s", name);
    if (renameat(attempts_fd, name, attempts_fd, hidden) < 0)
        return errno == ENOENT ? 0 : -1;
    return dir_remove_tree(attempts_fd, hidden, NULL);
}

/* Its runner is not started again when the directory is gone (care.c). */
static void on_gave_up(void *arg, const PGresult *result, const struct err *err) {
    CLEANUP(giving_up_free_p) struct giving_up *g = arg;
    (void)result;
    if (err) {
        log_warn("the end of an attempt was not recorded, repeated with its runner's next death",
                 LS("attempt", g->name), LERR(err));
        return;
    }
    if (remove_named(g->supervisor->state.attempts_fd, g->name) < 0)
        log_warn("attempt's directory cannot be removed", LS("attempt", g->name));
}

void adopt_give_up(struct supervisor *s, const char *name) {
    AUTO_ATTEMPT struct attempt *attempt = NULL;
    struct journal journal = {0};
    struct claim c;
    AUTO_FD int fd = -1;
    if (attempt_lock(s->state.attempts_fd, name, &fd, NULL) < 0 || journal_read(fd, &journal, NULL) < 0 ||
        journal_has(&journal, JOURNAL_CREATED) || attempt_load(fd, &attempt, NULL) < 0)
        return;
    if (attempt->spec->services_count && journal_has(&journal, JOURNAL_PULLED)) /* they may run already */
        return;
    struct claim_job job = {.job = attempt->job, .attempt_id = attempt->id, .token = attempt->token};
    struct giving_up *g = mem_alloc(sizeof *g);
    g->supervisor = s;
    g->lock_fd = STEAL_FD(fd);
    snprintf(g->name, sizeof g->name, "%s", name);
    log_error("no runner can work on this attempt, it ends", LS("attempt", name),
              LI("deaths", RESTART_FAULTS_MAX));
    claim_refuse(
        &c, &job, REASON_INTERNAL,
        "every runner of this attempt died before it had done anything; the log of berthd tells of what");
    if (claim_send(s->pool, &c, on_gave_up, g, NULL) < 0)
        giving_up_free(g);
}

/* Directories that never got their name. */
static void remove_unnamed(struct supervisor *s) {
    AUTO_DIR DIR *dir = open_attempts(s);
    char job[ATTEMPT_ID_MAX];
    int number = 0;
    for (const struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
        if (e->d_name[0] == '.' && attempt_parse_dir_name(e->d_name + 1, job, &number) == 0)
            dir_remove_tree(s->state.attempts_fd, e->d_name, NULL);
}

void adopt_all(struct supervisor *s) {
    char job[ATTEMPT_ID_MAX];
    int number = 0;
    remove_unnamed(s);
    char **list = adopt_list(s);
    for (char **p = list; p && *p; p++)
        if (attempt_parse_dir_name(*p, job, &number) == 0)
            adopt_directory(s, *p);
    adopt_list_free(list);
}
