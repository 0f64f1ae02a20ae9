#include "tests/support/fake_engine.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REQUEST_MAX = 1 << 20, FLOOD_BYTES = 1 << 16 };

static void must(bool good, const char *what) {
    if (good)
        return;
    perror(what);
    _exit(1);
}

static bool say(int fd, const char *bytes, size_t len) {
    while (len) {
        ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

/* One request with its body; false at end of file. Clients here do not pipeline. */
static bool take_request(int fd, char *request) {
    size_t len = 0, want = 0;
    for (;;) {
        ssize_t n = read(fd, request + len, REQUEST_MAX - 1 - len);
        if (n <= 0)
            return false;
        len += (size_t)n;
        request[len] = '\0';
        char *end = strstr(request, "\r\n\r\n");
        if (!end)
            continue;
        char *length = strcasestr(request, "\r\nContent-Length:");
        want = (size_t)(end + 4 - request) + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
        if (len >= want)
            return true;
    }
}

static bool answer_whole(int fd, const char *status, const char *body) {
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nApi-Version: 1.41\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n",
                     status, strlen(body));
    return say(fd, head, (size_t)n) && say(fd, body, strlen(body));
}

/* Until the client goes away. Many times the same in one go: a call for each would take a slow machine
 * seconds.
 */
static void flood(int fd, const char *words) {
    static char block[FLOOD_BYTES];
    size_t len = strlen(words), whole = sizeof block / len * len;
    for (size_t i = 0; i < whole; i++)
        block[i] = words[i % len];
    while (say(fd, block, whole))
        ;
}

static bool play(int fd, const struct fake_step *step, const char *request, bool reused) {
    char byte;
    if (step->expect && strncmp(request, step->expect, strlen(step->expect)) != 0)
        return answer_whole(fd, "599 Unexpected", request);
    if (step->reused && !reused)
        return answer_whole(fd, "598 New Connection", "");
    bool good = step->status ? answer_whole(fd, step->status, step->body ? step->body : "") : true;
    if (step->raw)
        good = good && say(fd, step->raw, step->raw_len ? step->raw_len : strlen(step->raw));
    if (good && step->then == FAKE_FLOOD)
        flood(fd, step->flood);
    while (step->then == FAKE_HANG && read(fd, &byte, 1) > 0)
        ;
    return good && step->then == FAKE_KEEP;
}

static void serve(int listener, const struct fake_step *script, size_t count) {
    static char request[REQUEST_MAX];
    size_t at = 0;
    while (at < count) {
        int fd = accept(listener, NULL, NULL);
        must(fd >= 0, "accept");
        bool more = true;
        for (bool reused = false; more && at < count && take_request(fd, request); reused = true)
            more = play(fd, &script[at++], request, reused);
        close(fd);
    }
}

/* What the children, one for each connection, count together. */
static atomic_uint *answered;

static const struct fake_route *find_route(const struct fake_route *routes, size_t count,
                                           const char *request) {
    for (size_t i = 0; i < count; i++) {
        const struct fake_route *route = &routes[i];
        if (strncmp(request, route->begins, strlen(route->begins)) != 0 ||
            (route->after && !answered[route->after - 1]))
            continue;
        if (atomic_fetch_add(&answered[i], 1) < route->times || !route->times)
            return route;
    }
    return NULL;
}

static void serve_routes(int fd, const struct fake_route *routes, size_t count) {
    static char request[REQUEST_MAX];
    for (bool more = true; more && take_request(fd, request);) {
        const struct fake_route *route = find_route(routes, count, request);
        struct fake_step step = {.status = "599 Unexpected", .body = request};
        if (route)
            step = (struct fake_step){.status = route->status, .body = route->body, .then = route->then};
        more = play(fd, &step, request, true);
    }
}

static void accept_routes(int listener, const struct fake_route *routes, size_t count) {
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        must(fd >= 0, "accept");
        pid_t pid = fork();
        must(pid >= 0, "fork");
        if (pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve_routes(fd, routes, count);
            _exit(0);
        }
        close(fd);
    }
}

/* Returns in the parent with the child's pid set, in the child with the listener. */
static int begin(struct fake_engine *ret) {
    *ret = (struct fake_engine){.dir = "/tmp/fake-engine-XXXXXX"};
    must(mkdtemp(ret->dir), "mkdtemp");
    snprintf(ret->host, sizeof ret->host, "unix://%s/sock", ret->dir);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", ret->host + sizeof "unix://" - 1);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(listener >= 0, "socket");
    must(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(listener, 8) == 0, "listen");
    pid_t parent = getpid();
    ret->pid = fork();
    must(ret->pid >= 0, "fork");
    if (ret->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        return listener;
    }
    close(listener);
    return -1;
}

void fake_engine_start(struct fake_engine *ret, const struct fake_step *script, size_t count) {
    int listener = begin(ret);
    if (listener < 0)
        return;
    serve(listener, script, count);
    _exit(0);
}

void fake_engine_route(struct fake_engine *ret, const struct fake_route *routes, size_t count) {
    must(count <= FAKE_ROUTES_MAX, "routes");
    answered = mmap(NULL, FAKE_ROUTES_MAX * sizeof *answered, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    must(answered != MAP_FAILED, "mmap");
    int listener = begin(ret);
    if (listener < 0)
        return;
    accept_routes(listener, routes, count);
    _exit(0);
}

void fake_engine_stop(struct fake_engine *fake) {
    kill(fake->pid, SIGKILL);
    waitpid(fake->pid, NULL, 0);
    unlink(fake->host + sizeof "unix://" - 1);
    rmdir(fake->dir);
}
