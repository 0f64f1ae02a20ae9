/* When a service is ready: berth-init's tries against real sockets and commands, in a network of their own.
 */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runner/init/ready.h"
#include "runner/init/writer.h"

enum { PORT = 4321, WAIT_MS = 30000 };

static struct ready ready;
static struct launchfile launch;
static int file_fd, signal_fd;
static char *no_env[] = {NULL};

static void begin(void) {
    char path[] = "/tmp/test_init_ready.XXXXXX";
    sigset_t set;
    file_fd = mkostemp(path, O_CLOEXEC);
    unlink(path);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    launch = (struct launchfile){.ready = LAUNCHFILE_READY_TCP, .port = PORT, .path = "/health"};
}

TestSuite(ready, .init = begin, .timeout = 60);

static int shell(const char *line) {
    return pclose(popen(line, "re"));
}

/* With a loopback, and with one interface more. */
static void network_own(bool second) {
    if (unshare(CLONE_NEWNET) < 0)
        cr_skip_test("no right to make a network namespace");
    cr_assert_eq(shell("ip link set lo up"), 0);
    if (second &&
        shell("ip link add b0 type bridge && ip address add 10.9.8.7/24 dev b0 && ip link set b0 up"))
        cr_skip_test("no bridge can be made here");
}

/* What the file says, without its blanks; "": nothing. */
static const char *told(void) {
    static char text[LAUNCH_READY_BYTES + 1];
    ssize_t len = pread(file_fd, text, sizeof text - 1, 0);
    cr_assert(len == 0 || (len == LAUNCH_READY_BYTES && text[len - 1] == '\n'), "%zd bytes", len);
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == ' '))
        len--;
    text[len < 0 ? 0 : len] = '\0';
    return text;
}

static void step(void) {
    struct pollfd fds[1 + READY_POLL_FDS] = {{.fd = signal_fd, .events = POLLIN}};
    struct signalfd_siginfo info;
    int timeout;
    unsigned count = 1 + ready_poll(&ready, fds + 1, &timeout);
    cr_assert(poll(fds, count, timeout < 0 ? WAIT_MS : timeout) >= 0);
    if (read(signal_fd, &info, sizeof info) > 0)
        child_reap(NULL, &ready.command);
    ready_step(&ready, count > 1 ? fds[1].revents : 0);
}

static void start(void) {
    cr_assert_null(ready_init(&ready, &launch, file_fd, no_env));
    ready_begin(&ready);
}

/* Until it says something with `text`. */
static void expect(const char *text) {
    int64_t end_ms = writer_now_ms() + WAIT_MS;
    while (!strstr(told(), text) && writer_now_ms() < end_ms && ready.state != READY_OFF)
        step();
    cr_assert(strstr(told(), text), "'%s' where '%s' was to come", told(), text);
}

static void expect_ready(void) {
    expect(LAUNCH_READY_WORD);
    cr_assert_str_eq(told(), LAUNCH_READY_WORD);
    cr_expect_eq(ready.state, READY_OFF);
}

static int listen_at(const char *address) {
    const int on = 1;
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    inet_pton(AF_INET, address, &own.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    cr_assert_eq(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    cr_assert_eq(listen(fd, 8), 0);
    return fd;
}

Test(ready, as_soon_as_it_was_executed) {
    launch.ready = LAUNCHFILE_READY_EXECUTED;
    start();
    cr_expect_str_eq(told(), LAUNCH_READY_WORD);
}

Test(ready, nobody_wants_to_know) {
    cr_assert_null(ready_init(&ready, &launch, -1, no_env));
    ready_begin(&ready);
    cr_expect_eq(ready.state, READY_OFF);
}

Test(ready, tcp_when_it_listens) {
    network_own(true);
    start();
    expect("connect to 10.9.8.7 port 4321: Connection refused");
    AUTO_FD int fd = listen_at("0.0.0.0");
    expect_ready();
    cr_expect(fd >= 0);
}

Test(ready, tcp_on_the_loopback_alone_is_not_enough) {
    network_own(true);
    AUTO_FD int fd = listen_at("127.0.0.1");
    start();
    expect("10.9.8.7 port 4321: Connection refused");
    AUTO_FD int other_fd = listen_at("10.9.8.7");
    expect_ready();
    cr_expect(fd >= 0 && other_fd >= 0);
}

Test(ready, tcp_on_the_loopback_where_there_is_no_other) {
    network_own(false);
    AUTO_FD int fd = listen_at("127.0.0.1");
    start();
    expect_ready();
    cr_expect(fd >= 0);
}

Test(ready, tcp_is_never_connected_to_itself) {
    network_own(false);
    cr_assert_eq(shell("echo '4321 4321' >/proc/sys/net/ipv4/ip_local_port_range"), 0);
    start();
    expect("127.0.0.1 port 4321: Connection refused");
}

/* The pauses grow, and the same words are not written twice. */
Test(ready, pauses_grow_in_silence) {
    network_own(false);
    start();
    expect("refused");
    cr_assert_eq(ftruncate(file_fd, 0), 0);
    while (ready.pause_ms < LAUNCH_READY_PAUSE_MAX_MS)
        step();
    cr_expect_str_eq(told(), "");
}

/* Answers connections one after the other, with the same words. */
static pid_t serve(const char *answer) {
    int fd = listen_at("0.0.0.0");
    pid_t pid = fork();
    while (pid == 0) {
        char request[1000] = "";
        int peer = accept(fd, NULL, NULL);
        ssize_t len = recv(peer, request, sizeof request - 1, 0);
        static const char begin_of[] = "GET /health HTTP/1.1\r\nHost: 127.0.0.1:4321\r\n";
        bool good = len > 0 && strncmp(request, begin_of, sizeof begin_of - 1) == 0 &&
                    strcmp(request + len - 4, "\r\n\r\n") == 0;
        const char *text = good ? answer : "HTTP/1.1 400 Bad request\r\n\r\n";
        for (const char *at = text; *at; at++)
            send(peer, at, 1, MSG_NOSIGNAL);
        close(peer);
    }
    close(fd);
    return pid;
}

static void expect_page(const char *answer, const char *text) {
    network_own(false);
    launch.ready = LAUNCHFILE_READY_HTTP;
    pid_t pid = serve(answer);
    start();
    expect(text);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

Test(ready, http_that_is_well) {
    expect_page("HTTP/1.1 200 OK\r\n\r\nfine", LAUNCH_READY_WORD);
}
Test(ready, http_that_sends_elsewhere) {
    expect_page("HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", LAUNCH_READY_WORD);
}
Test(ready, http_that_is_not_well) {
    expect_page("HTTP/1.1 503 Not \033yet\r\n\r\n", "GET /health from 127.0.0.1 port 4321: 503 Not ?yet");
}
Test(ready, http_of_something_else) {
    expect_page("SSH-2.0-OpenSSH\r\n", "the answer is not HTTP");
}
Test(ready, http_without_an_answer) {
    expect_page("", "Connection reset by peer");
}
Test(ready, http_that_is_cut) {
    expect_page("HTTP/1.1 2", "the answer is not HTTP");
}

Test(ready, http_that_never_answers) {
    network_own(false);
    launch.ready = LAUNCHFILE_READY_HTTP;
    AUTO_FD int fd = listen_at("0.0.0.0");
    start();
    while (ready.state != READY_ANSWER)
        step();
    ready.until_ms = writer_now_ms();
    expect("Connection timed out");
    cr_expect(fd >= 0);
}

static void command(const char *script) {
    static char *words[] = {(char *)"/bin/sh", (char *)"-c", NULL, NULL};
    words[2] = (char *)script;
    launch.ready = LAUNCHFILE_READY_COMMAND;
    launch.command = words;
    start();
}

Test(ready, command_when_it_ends_with_0) {
    char path[] = "/tmp/test_init_ready_flag.XXXXXX";
    char script[100];
    cr_assert_not_null(mkdtemp(path));
    snprintf(script, sizeof script, "echo noise; test -e %s/x || exit 3", path);
    command(script);
    expect("/bin/sh: ended with 3");
    snprintf(script, sizeof script, "%s/x", path);
    close(open(script, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    snprintf(script, sizeof script, "test -e %s/x || exit 3", path);
    expect_ready();
    snprintf(script, sizeof script, "rm -r %s", path);
    cr_expect_eq(shell(script), 0);
}

Test(ready, command_that_is_killed) {
    command("kill -9 $$");
    expect("/bin/sh: was ended by signal 9");
}

Test(ready, command_that_is_not_there) {
    static char *words[] = {(char *)"/nowhere/x", NULL};
    launch.ready = LAUNCHFILE_READY_COMMAND;
    launch.command = words;
    start();
    expect("/nowhere/x: No such file or directory");
}

Test(ready, command_that_hangs_is_killed_with_its_children) {
    command("sleep 1000 & wait");
    while (ready.state != READY_COMMAND)
        step();
    pid_t group = ready.command.pid;
    ready.until_ms = writer_now_ms();
    expect("/bin/sh: did not end within 5000 ms");
    cr_expect(kill(-group, 0) < 0 || waitpid(-group, NULL, 0) < 0);
}

static void output(unsigned stream, const char *bytes, size_t len) {
    ready_output(&ready, stream, bytes, len);
}
#define OUT(stream, text) output(stream, text, sizeof(text) - 1)

Test(ready, log_when_a_line_matches) {
    launch.ready = LAUNCHFILE_READY_LOG;
    launch.expression = "^ready: [0-9]+$";
    start();
    OUT(0, "not ready: 1\nrea");
    OUT(1, "ready: x\nready: ");
    OUT(0, "dy: 12");
    expect("no line of the output has matched yet");
    OUT(0, "3\r\n");
    cr_expect_str_eq(told(), LAUNCH_READY_WORD);
    OUT(0, "more\n");
}

Test(ready, log_of_odd_lines) {
    static char line[3 * READY_LINE_MAX];
    launch.ready = LAUNCHFILE_READY_LOG;
    launch.expression = "late|^a b$";
    start();
    memset(line, 'x', sizeof line);
    memcpy(line + 2 * READY_LINE_MAX, "late", 4);
    output(0, line, sizeof line);
    OUT(0, "\n");
    cr_expect_neq(ready.state, READY_OFF);
    OUT(1, "a\0b\n");
    cr_expect_eq(ready.state, READY_OFF);
}

Test(ready, log_of_no_expression) {
    launch.ready = LAUNCHFILE_READY_LOG;
    launch.expression = "(";
    cr_assert_not_null(ready_init(&ready, &launch, file_fd, no_env));
}
