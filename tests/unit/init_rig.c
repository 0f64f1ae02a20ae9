#include "tests/unit/init_rig.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/launch.h"

enum { SPOOL_MAX = 64 * 1024 * 1024 };

char dir[] = "/tmp/init_rig.XXXXXX";
unsigned char *spool;
size_t spool_len;
struct spool_end end;
char *both, *out, *errs;
size_t both_len, out_len, errs_len;

const char *below(const char *name) {
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

const char *more_entry = "";

void prepare(const char *input, const char *const *argv) {
    mkdtemp(dir);
    chmod(dir, 0755);
    FILE *file = fopen(below("launch"), "w");
    fwrite(LAUNCH_VERSION, 1, sizeof LAUNCH_VERSION, file);
    for (; *argv; argv++)
        fprintf(file, "a%s%c", *argv, 0);
    fprintf(file, "eJOB=%s%c", JOB_PATH, 0);
    if (input)
        fprintf(file, "i%c", 0);
    if (*more_entry)
        fprintf(file, "%s%c", more_entry, 0);
    fprintf(file, ".%c", 0);
    fclose(file);
    fclose(fopen(below("spool"), "w"));
    if (input) {
        file = fopen(below("input"), "w");
        fputs(input, file);
        fclose(file);
    }
}

uid_t run_as;

pid_t start(void) {
    pid_t pid = fork();
    if (pid == 0) {
        if (!run_as || setuid(run_as) == 0)
            execl(INIT_PATH, "init", "--dir", dir, NULL);
        _exit(99);
    }
    return pid;
}

static void output_add(char **text, size_t *len, const unsigned char *bytes, size_t more) {
    memcpy(*text + *len, bytes, more);
    *len += more;
    (*text)[*len] = '\0';
}

void spool_load(void) {
    struct spool_header header;
    const unsigned char *payload;
    size_t used;
    int fd = open(below("spool"), O_RDONLY);
    spool = spool ? spool : malloc(SPOOL_MAX);
    both = both ? both : malloc(SPOOL_MAX);
    out = out ? out : malloc(SPOOL_MAX);
    errs = errs ? errs : malloc(SPOOL_MAX);
    spool_len = both_len = out_len = errs_len = 0;
    both[0] = out[0] = errs[0] = '\0';
    for (ssize_t got = 1; got > 0; spool_len += got > 0 ? (size_t)got : 0)
        got = read(fd, spool + spool_len, SPOOL_MAX - spool_len);
    close(fd);
    for (size_t at = 0; at < spool_len; at += used) {
        if (spool_next(spool + at, spool_len - at, &header, &payload, &used) != SPOOL_RECORD)
            break;
        if (header.type == SPOOL_OUTPUT) {
            int is_out = header.stream == SPOOL_STDOUT;
            output_add(&both, &both_len, payload, header.len);
            output_add(is_out ? &out : &errs, is_out ? &out_len : &errs_len, payload, header.len);
        }
    }
}

int finish(pid_t pid) {
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status));
    spool_load();
    int fd = open(below("spool"), O_RDONLY);
    cr_assert_eq(spool_read_end(fd, &end, NULL), 1, "no END record", NULL);
    close(fd);
    cr_assert_eq(end.output_bytes, (int64_t)both_len);
    return WEXITSTATUS(status);
}

int run(const char *input, const char *const *argv) {
    prepare(input, argv);
    return finish(start());
}

/* Until the job has written `text`: an event for every change of the spool. */
void await(const char *text) {
    int notify = inotify_init1(IN_CLOEXEC);
    inotify_add_watch(notify, below("spool"), IN_MODIFY);
    for (spool_load(); !strstr(both, text); spool_load()) {
        struct pollfd fd = {.fd = notify, .events = POLLIN};
        char events[4096];
        cr_assert_eq(poll(&fd, 1, WAIT_MS), 1, "'%s' never came", text);
        cr_assert_gt(read(notify, events, sizeof events), 0);
    }
    close(notify);
}
