/* Pulls from a real registry (Debian's docker-registry on a loopback address) through a real engine. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fdutil.h"
#include "base/mem.h"
#include "proto/attempt.h"
#include "runner/pull.h"
#include "runner_rig.h"
#include "tests/support/fake_engine.h"

enum { JOBS = 8, OUTCOME_MAX = 32, PATH_LEN = 160 };

static struct {
    int port;
    pid_t pid;
    char image[80];
    const char *wanted; /* NULL: that image */
    int locks_fd, lock_fd;
} world;
static struct err err;

#define OK(call) cr_assert((call) >= 0, "%s: %s", #call, err.text)

/* What `htpasswd -B` would write for berth:geheim (bcrypt, cost 5). */
static const char htpasswd[] = "berth:$2b$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu\n";

static const char *below(const char *name) {
    static char path[4][PATH_LEN];
    static unsigned next;
    char *out = path[next++ % 4];
    snprintf(out, PATH_LEN, "%s/%s", rig.state, name);
    return out;
}

static void file_put(const char *name, const char *text) {
    OK(file_write_atomic(AT_FDCWD, below(name), text, strlen(text), 0600, &err));
}

static void shell(const char *command) {
    AUTO_BUF struct buf out = BUF(RIG_OUTPUT_MAX);
    AUTO_FREE char *line = mem_printf("(%s) 2>&1", command);
    int status = rig_shell(line, &out);
    cr_assert_eq(status, 0, "%s: %s", command, buf_str(&out));
}

static bool file_has(const char *path, const char *text) {
    AUTO_BUF struct buf bytes = BUF(RIG_OUTPUT_MAX);
    if (file_read(AT_FDCWD, path, bytes.max, &bytes, NULL) < 0 || !bytes.len)
        return false;
    return memmem(bytes.data, bytes.len, text, strlen(text)) != NULL;
}

static void await_text(const char *path, const char *text) {
    AUTO_FD int made = open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
    AUTO_FD int notify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    cr_assert(made >= 0 && inotify_add_watch(notify, path, IN_MODIFY) >= 0);
    while (!file_has(path, text)) {
        char events[4096];
        struct pollfd fd = {.fd = notify, .events = POLLIN};
        cr_assert_eq(poll(&fd, 1, RIG_WAIT_MS), 1, "'%s' never came to %s", text, path);
        cr_assert_gt(read(notify, events, sizeof events), 0);
    }
}

static int free_port(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

static void registry_start(bool with_login) {
    AUTO_FREE char *config =
        mem_printf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\n"
                   "http: {addr: '127.0.0.1:%d'}\n%s%s%s",
                   below("registry"), world.port, with_login ? "auth: {htpasswd: {realm: r, path: '" : "",
                   with_login ? below("htpasswd") : "", with_login ? "'}}\n" : "");
    file_put("config.yml", config);
    file_put("htpasswd", htpasswd);
    AUTO_FD int log = open(below("registry.log"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    world.pid = fork();
    if (world.pid == 0) {
        dup2(log, STDOUT_FILENO);
        dup2(log, STDERR_FILENO);
        execlp("docker-registry", "docker-registry", "serve", below("config.yml"), NULL);
        _exit(98);
    }
    await_text(below("registry.log"), "listening on");
}

static void registry_stop(void) {
    if (world.pid <= 0)
        return;
    kill(world.pid, SIGKILL);
    waitpid(world.pid, NULL, 0);
    world.pid = 0;
}

static void forget(void) {
    OK(image_remove(rig.engine, &rig.ctx, world.image, false, &err));
}

static void begin(void) {
    rig_begin();
    world.port = free_port();
    snprintf(world.image, sizeof world.image, "127.0.0.1:%d/team/app:1", world.port);
    OK(dir_make(below("locks"), 0700, &err));
    world.locks_fd = open(below("locks"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    registry_start(false);
    AUTO_FREE char *push = mem_printf("docker tag $IMAGE %s && docker push -q %s", world.image, world.image);
    shell(push);
    forget();
}

static void end(void) {
    registry_stop();
    forget();
    close(world.locks_fd);
    rig_end();
}

TestSuite(pull, .init = begin, .fini = end, .timeout = 120);

/* A job's directory, named by a number. */
static int job_dir(int job) {
    char name[16];
    snprintf(name, sizeof name, "job.%d", job);
    OK(dir_make(below(name), 0700, &err));
    return open(below(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static const char *system_path(int job) {
    char name[40];
    snprintf(name, sizeof name, "job.%d/" ATTEMPT_SYSTEM, job);
    return below(name);
}

static enum reason pull_as(int job, enum spec_pull rule, const char *config, struct image_info *ret_info) {
    AUTO_FD int dir_fd = job_dir(job);
    enum reason reason = REASON_COUNT;
    const struct pull pull = {.engine = rig.engine,
                              .image = world.wanted ? world.wanted : world.image,
                              .rule = rule,
                              .config_path = config,
                              .lock_dir_fd = world.locks_fd,
                              .dir_fd = dir_fd};
    int got = pull_image(&pull, &rig.ctx, ret_info, &reason, &err);
    cr_assert_eq(got < 0, reason != REASON_NONE, "%s", err.text);
    return reason;
}

static enum reason pull(enum spec_pull rule, const char *config) {
    AUTO_IMAGE_INFO struct image_info info = {0};
    return pull_as(0, rule, config, &info);
}

/* How many times the engine asked the registry for the image. */
static int asked(void) {
    AUTO_BUF struct buf log = BUF(RIG_OUTPUT_MAX);
    OK(file_read(AT_FDCWD, below("registry.log"), log.max, &log, &err));
    int count = 0;
    for (char *at = log.data; (at = strstr(at, "\"HEAD /v2/team/app/manifests/1 ")) != NULL; at++)
        count++;
    return count;
}

Test(pull, missing_once) {
    AUTO_IMAGE_INFO struct image_info info = {0};
    cr_assert_eq(pull_as(1, SPEC_PULL_MISSING, NULL, &info), REASON_NONE);
    cr_expect(strncmp(info.repo_digest, world.image, strcspn(world.image, "/")) == 0);
    cr_expect(file_has(system_path(1), "Pulling image 127.0.0.1:"));
    cr_expect(file_has(system_path(1), info.repo_digest), "the digest is not told");
    int before = asked();
    cr_expect_eq(before, 1);
    cr_expect_eq(pull(SPEC_PULL_MISSING, NULL), REASON_NONE);
    cr_expect_eq(pull(SPEC_PULL_NEVER, NULL), REASON_NONE);
    cr_expect_eq(asked(), before);
    cr_expect_eq(pull(SPEC_PULL_ALWAYS, NULL), REASON_NONE);
    cr_expect_eq(pull(SPEC_PULL_ALWAYS, NULL), REASON_NONE);
    cr_expect_eq(asked(), before + 2);
}

/* Another job's pull has ended between the look and the lock, for which nobody had to wait. */
Test(pull, what_came_before_the_lock_is_not_pulled_again) {
    static const struct fake_step script[] = {
        {.expect = "GET /v1.41/images/busy",
         .status = "404 Not Found",
         .body = "{\"message\":\"no such image\"}"},
        {.expect = "GET /v1.41/images/busy", .status = "200 OK", .body = "{\"Id\":\"sha256:1\"}"},
    };
    struct fake_engine fake;
    fake_engine_start(&fake, script, ARRAY_LEN(script));
    struct engine_settings settings = {.host = fake.host, .api_version = "1.41"};
    struct engine *real = rig.engine;
    OK(engine_open(&settings, &rig.engine, &err));
    world.wanted = "busy:1";
    cr_expect_eq(pull(SPEC_PULL_MISSING, NULL), REASON_NONE, "%s", err.text);
    engine_close(rig.engine);
    rig.engine = real;
    fake_engine_stop(&fake);
}

Test(pull, never_is_never) {
    cr_expect_eq(pull(SPEC_PULL_NEVER, NULL), REASON_IMAGE_NOT_FOUND);
    cr_expect(strstr(err.text, "pull: never"), "%s", err.text);
    cr_expect_eq(asked(), 0);
}

/* As a runner of its own would; exits with the reason. */
static pid_t runner_start(int job, enum spec_pull rule) {
    AUTO_FD int dir_fd = job_dir(job); /* now, so that it can be watched */
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    close(world.lock_fd); /* or it would hold the lock, too */
    const struct engine_settings settings = {.host = getenv("DOCKER_HOST")};
    if (engine_open(&settings, &rig.engine, NULL) < 0 || engine_negotiate(rig.engine, &rig.ctx, NULL) < 0)
        _exit(REASON_COUNT);
    AUTO_IMAGE_INFO struct image_info info = {0};
    _exit((int)pull_as(job, rule, NULL, &info));
}

/* There must have been a pull before. */
static void lock_pulls(void) {
    AUTO_DIR DIR *dir = dir_open(world.locks_fd);
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (strncmp(entry->d_name, "pull-", 5) == 0)
            world.lock_fd = openat(world.locks_fd, entry->d_name, O_RDWR | O_CLOEXEC);
    cr_assert_eq(flock(world.lock_fd, LOCK_EX), 0);
}

/* All of them ask while one that is not of them pulls; then each looks what is there. */
static void all_at_once(enum spec_pull rule, enum reason expected) {
    pid_t pids[JOBS];
    lock_pulls();
    for (int i = 0; i < JOBS; i++)
        pids[i] = runner_start(i + 1, rule);
    for (int i = 0; i < JOBS; i++)
        await_text(system_path(i + 1), "another job is pulling it");
    close(world.lock_fd);
    for (int i = 0; i < JOBS; i++) {
        int status;
        waitpid(pids[i], &status, 0);
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == (int)expected, "job %d: %x", i, status);
    }
}

Test(pull, of_many_at_once_is_one) {
    static const enum spec_pull rules[] = {SPEC_PULL_MISSING, SPEC_PULL_ALWAYS};
    cr_assert_eq(pull(SPEC_PULL_ALWAYS, NULL), REASON_NONE);
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        forget();
        int before = asked();
        all_at_once(rules[i], REASON_NONE);
        cr_expect_eq(asked() - before, 1, "rule %zu: %d", i, asked() - before);
        for (int job = 1; job <= JOBS; job++)
            unlink(system_path(job));
    }
}

Test(pull, that_began_before_serves_who_misses_the_image) {
    int status;
    cr_assert_eq(pull(SPEC_PULL_ALWAYS, NULL), REASON_NONE);
    forget();
    lock_pulls();
    pid_t pid = runner_start(1, SPEC_PULL_MISSING);
    await_text(system_path(1), "another job is pulling it");
    AUTO_FREE char *command = mem_printf("docker pull -q %s", world.image);
    shell(command);
    int before = asked();
    close(world.lock_fd);
    waitpid(pid, &status, 0);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == REASON_NONE);
    cr_expect_eq(asked(), before);
}

Test(pull, that_fails_fails_for_all_who_asked_before) {
    int pulls = 0;
    cr_assert_eq(pull(SPEC_PULL_ALWAYS, NULL), REASON_NONE);
    forget();
    registry_stop();
    all_at_once(SPEC_PULL_MISSING, REASON_PULL_FAILED);
    for (int job = 1; job <= JOBS; job++)
        pulls += file_has(system_path(job), "Pulling image");
    cr_expect_eq(pulls, 1);
    cr_expect_eq(pull(SPEC_PULL_MISSING, NULL), REASON_PULL_FAILED);
    cr_expect(strstr(err.text, "connection refused"), "%s", err.text);
}

Test(pull, waiting_has_an_end) {
    cr_assert_eq(pull(SPEC_PULL_ALWAYS, NULL), REASON_NONE);
    forget();
    pid_t holder = fork();
    if (holder == 0) {
        AUTO_DIR DIR *dir = dir_open(world.locks_fd);
        const struct dirent *entry;
        while ((entry = readdir(dir)) != NULL)
            if (entry->d_name[0] == 'p')
                flock(openat(world.locks_fd, entry->d_name, O_RDWR), LOCK_EX);
        pause();
    }
    AUTO_IMAGE_INFO struct image_info info = {0};
    AUTO_FD int dir_fd = job_dir(1);
    struct ctx ctx = ctx_child(&rig.ctx);
    enum reason reason = REASON_COUNT;
    const struct pull args = {.engine = rig.engine,
                              .image = world.image,
                              .rule = SPEC_PULL_ALWAYS,
                              .lock_dir_fd = world.locks_fd,
                              .dir_fd = dir_fd};
    ctx_deadline_in(&ctx, 2000);
    int got = 0;
    while (got == 0) /* until the holder holds it */
        got = pull_image(&args, &ctx, &info, &reason, &err), image_info_done(&info);
    cr_expect(reason == REASON_NONE && err.kind == ERR_DEADLINE, "%s", err.text);
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
}

Test(pull, of_nothing) {
    AUTO_FREE char *absent = mem_printf("127.0.0.1:%d/team/none:1", world.port);
    AUTO_FREE char *upper = mem_printf("127.0.0.1:%d/Team/none:1", world.port);
    world.wanted = absent;
    cr_expect_eq(pull(SPEC_PULL_MISSING, NULL), REASON_IMAGE_NOT_FOUND);
    world.wanted = upper;
    cr_expect_eq(pull(SPEC_PULL_MISSING, NULL), REASON_SPEC_REFUSED);
}

static const char *config_put(const char *login) {
    AUTO_FREE char *text = mem_printf("{\"auths\":{\"http://127.0.0.1:%d\":%s}}", world.port, login);
    file_put("config.json", text);
    return below("config.json");
}

Test(pull, with_credentials) {
    registry_stop();
    registry_start(true);
    cr_expect_eq(pull(SPEC_PULL_MISSING, NULL), REASON_IMAGE_DENIED);
    cr_expect(strstr(err.text, "BERTH_DOCKER_CONFIG is not set"), "%s", err.text);
    cr_expect_eq(pull(SPEC_PULL_MISSING, config_put("{}")), REASON_IMAGE_DENIED);
    cr_expect(strstr(err.text, "BERTH_DOCKER_CONFIG has no credentials for it"), "%s", err.text);
    cr_expect_eq(pull(SPEC_PULL_MISSING, config_put("{\"username\":\"berth\",\"password\":\"wrong\"}")),
                 REASON_IMAGE_DENIED);
    cr_expect(strstr(err.text, "with the credentials that BERTH_DOCKER_CONFIG has"), "%s", err.text);
    cr_expect_not(strstr(err.text, "wrong"));
    cr_expect_eq(pull(SPEC_PULL_MISSING, config_put("{\"auth\":\"YmVydGg6Z2VoZWlt\"}")), REASON_NONE, "%s",
                 err.text);
}

Test(pull, with_a_config_that_cannot_be_used) {
    file_put("config.json", "{");
    AUTO_IMAGE_INFO struct image_info info = {0};
    cr_expect_eq(pull_as(1, SPEC_PULL_MISSING, below("config.json"), &info), REASON_NONE);
    cr_expect(file_has(system_path(1), "BERTH_DOCKER_CONFIG cannot be used"));
}
