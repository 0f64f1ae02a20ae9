#include "proto/attempt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fdutil.h"
#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "proto/fault_points.h"

enum { ATTEMPT_ID_LEN = ATTEMPT_ID_MAX - 1, ATTEMPT_FAULTS_MAX = 400 };

const char *attempt_dir_name(const char *job, int number, char out[ATTEMPT_NAME_MAX]) {
    snprintf(out, ATTEMPT_NAME_MAX, "%.36s.%d", job, number);
    return out;
}

const char *attempt_file_name(const char *file, const char *service, char out[ATTEMPT_FILE_NAME_MAX]) {
    snprintf(out, ATTEMPT_FILE_NAME_MAX, "%s%s%s", file, service ? "." : "", service ? service : "");
    return out;
}

int attempt_parse_dir_name(const char *name, char ret_job[ATTEMPT_ID_MAX], int *ret_number) {
    char job[ATTEMPT_ID_MAX] = "";
    if (strnlen(name, ATTEMPT_ID_LEN + 1) <= ATTEMPT_ID_LEN)
        return -1;
    memcpy(job, name, ATTEMPT_ID_LEN);
    const char *p = name + ATTEMPT_ID_LEN;
    if (!id_valid(job) || *p++ != '.' || *p == '0')
        return -1;
    int number = 0;
    for (; *p >= '0' && *p <= '9' && number <= ATTEMPT_NUMBER_MAX; p++)
        number = number * 10 + (*p - '0');
    if (*p || number < 1 || number > ATTEMPT_NUMBER_MAX)
        return -1;
    memcpy(ret_job, job, sizeof job);
    *ret_number = number;
    return 0;
}

static char *attempt_to_text(const struct attempt *a) {
    AUTO_JSON json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:o}", "job", a->job, "cluster", a->cluster, "instance",
        a->instance, "tenant", a->tenant, "number", a->number, "id", (json_int_t)a->id, "token",
        (json_int_t)a->token, "claimed_us", (json_int_t)a->claimed_us, "spec", spec_to_json(a->spec));
    return doc ? json_dumps(doc, JSON_COMPACT) : NULL;
}

/* Where RENAME_NOREPLACE is unknown (NFS) the look before it has to do: only one parent makes directories
 * here. */
static int give_name(int attempts_fd, const char *temp, const char *name, struct err *err) {
    if (renameat2(attempts_fd, temp, attempts_fd, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno == EINVAL && faccessat(attempts_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT &&
        renameat(attempts_fd, temp, attempts_fd, name) == 0)
        return 0;
    return err_sys(err, "name attempt directory %s", name);
}

static int fill_and_name(int attempts_fd, const char *temp, const char *name, const char *text,
                         struct err *err) {
    if (mkdirat(attempts_fd, temp, 0700) < 0)
        return err_sys(err, "make attempt directory %s", temp);
    AUTO_FD int fd = openat(attempts_fd, temp, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open attempt directory %s", temp);
    if (file_write_atomic(fd, ATTEMPT_SPEC, text, strlen(text), 0600, err) < 0)
        return err_wrap(err, "attempt %s", name);
    FAULT(PARENT_DIRECTORY_UNNAMED);
    if (give_name(attempts_fd, temp, name, err) < 0)
        return -1;
    if (fsync(attempts_fd) == 0)
        return 0;
    err_sys(err, "make the name of attempt %s durable", name);
    renameat(attempts_fd, name, attempts_fd, temp); /* the caller removes it: nobody was told of it */
    return -1;
}

int attempt_create(int attempts_fd, const struct attempt *attempt, struct err *err) {
    char name[ATTEMPT_NAME_MAX];
    attempt_dir_name(attempt->job, attempt->number, name);
    if (faccessat(attempts_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return err_sys(err, "make attempt directory %s", name);
    }
    AUTO_FREE char *text = attempt_to_text(attempt);
    if (!text)
        return err_set(err, ERR_BUG, 0, "attempt %s cannot be written as JSON", name);
    if (strlen(text) > ATTEMPT_FILE_MAX)
        return err_set(err, ERR_LIMIT, 0, "attempt %s: its spec is longer than %d bytes", name,
                       ATTEMPT_FILE_MAX);
    AUTO_FREE char *temp = mem_printf(".%s", name);
    if (dir_remove_tree(attempts_fd, temp, err) < 0) /* of a parent that died here */
        return -1;
    if (fill_and_name(attempts_fd, temp, name, text, err) < 0) {
        dir_remove_tree(attempts_fd, temp, NULL);
        return -1;
    }
    return 0;
}

/* The spec was inside the ceilings when it was claimed; ceilings lowered since then are no reason to drop it.
 */
static int load_spec(const json_t *doc, struct spec **ret_spec, struct err *err) {
    struct spec_policy policy = spec_policy_unlimited();
    AUTO_FAULTS struct spec_faults faults = {0};
    if (spec_parse(doc, &policy, ret_spec, &faults) == 0)
        return 0;
    AUTO_FREE char *text = spec_faults_text(&faults, ATTEMPT_FAULTS_MAX);
    return err_set(err, ERR_INVALID, 0, "spec: %s", text);
}

static int attempt_from_json(json_t *doc, struct attempt *a, struct err *err) {
    json_error_t error;
    const char *job = NULL;
    const char *cluster = NULL;
    const char *instance = NULL;
    const char *tenant = NULL;
    json_int_t id = 0;
    json_int_t token = 0;
    json_int_t claimed_us = 0;
    json_t *spec = NULL;
    if (json_unpack_ex(doc, &error, 0, "{s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:o}", "job", &job,
                       "cluster", &cluster, "instance", &instance, "tenant", &tenant, "number", &a->number,
                       "id", &id, "token", &token, "claimed_us", &claimed_us, "spec", &spec) < 0)
        return err_set(err, ERR_INVALID, 0, "%s", error.text);
    if (!id_valid(job) || !(id_valid(cluster) || !*cluster))
        return err_set(err, ERR_INVALID, 0, "job or cluster is not a UUID");
    if (a->number < 1 || a->number > ATTEMPT_NUMBER_MAX)
        return err_set(err, ERR_INVALID, 0, "number %d is not within 1 to %d", a->number, ATTEMPT_NUMBER_MAX);
    snprintf(a->job, sizeof a->job, "%s", job);
    snprintf(a->cluster, sizeof a->cluster, "%s", cluster);
    a->instance = mem_strdup(instance);
    a->tenant = mem_strdup(tenant);
    a->id = id;
    a->token = token;
    a->claimed_us = claimed_us;
    return load_spec(spec, &a->spec, err);
}

int attempt_load(int dir_fd, struct attempt **ret_attempt, struct err *err) {
    AUTO_BUF struct buf text = BUF(ATTEMPT_FILE_MAX);
    if (file_read(dir_fd, ATTEMPT_SPEC, ATTEMPT_FILE_MAX, &text, err) < 0)
        return err_wrap(err, "attempt");
    json_error_t error;
    AUTO_JSON json_t *doc =
        json_loadb(buf_str(&text), text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!doc)
        return err_set(err, ERR_INVALID, 0, "attempt: its spec file is not JSON: line %d: %s", error.line,
                       error.text);
    AUTO_ATTEMPT struct attempt *a = mem_alloc(sizeof *a);
    if (attempt_from_json(doc, a, err) < 0)
        return err_wrap(err, "attempt: its spec file is wrong");
    *ret_attempt = STEAL(a);
    return 0;
}

int attempt_lock(int attempts_fd, const char *name, int *ret_fd, struct err *err) {
    AUTO_FD int fd = openat(attempts_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, "open attempt directory %s", name);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return err_set(err, ERR_AWAY, errno, "attempt %s: another process holds its lock", name);
        return err_sys(err, "lock attempt directory %s", name);
    }
    struct stat st;
    if (fstat(fd, &st) < 0 || st.st_nlink == 0) { /* removed between open and lock */
        errno = ENOENT;
        return err_sys(err, "lock attempt directory %s", name);
    }
    *ret_fd = STEAL_FD(fd);
    return 0;
}

void attempt_free(struct attempt *attempt) {
    if (!attempt)
        return;
    free(attempt->instance);
    free(attempt->tenant);
    spec_free(attempt->spec);
    free(attempt);
}
