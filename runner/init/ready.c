#include "runner/init/ready.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runner/init/writer.h"

const char *ready_init(struct ready *r, const struct launchfile *launch, int file_fd, char *const *env) {
    *r = (struct ready){.state = READY_OFF, .file_fd = file_fd, .launch = launch, .env = env, .fd = -1};
    if (launch->ready == LAUNCHFILE_READY_LOG && file_fd >= 0 &&
        regcomp(&r->expression, launch->expression, REG_EXTENDED | REG_NOSUB) != 0)
        return "the expression that is to match a line of the output is none";
    return NULL;
}

/* One line, filled up, and only if it says something new. */
static void tell(struct ready *r, const char *text) {
    char line[LAUNCH_READY_BYTES];
    memset(line, ' ', sizeof line);
    for (size_t i = 0; text[i] && i < sizeof line - 1; i++)
        line[i] = (char)(text[i] >= ' ' && text[i] != 0x7f ? text[i] : '?');
    line[sizeof line - 1] = '\n';
    if (memcmp(line, r->told, sizeof line) == 0)
        return;
    memcpy(r->told, line, sizeof line);
    ssize_t put = pwrite(r->file_fd, line, sizeof line, 0);
    (void)put;
}

static void fd_close(struct ready *r) {
    if (r->fd >= 0)
        close(r->fd);
    r->fd = -1;
}

static void is_ready(struct ready *r) {
    fd_close(r);
    if (r->state == READY_LOG)
        regfree(&r->expression);
    r->state = READY_OFF;
    tell(r, LAUNCH_READY_WORD);
}

/* --- pauses and failures --- */

static void pause_begin(struct ready *r) {
    r->state = READY_PAUSE;
    r->until_ms = writer_now_ms() + r->pause_ms;
    r->pause_ms = 2 * r->pause_ms < LAUNCH_READY_PAUSE_MAX_MS ? 2 * r->pause_ms : LAUNCH_READY_PAUSE_MAX_MS;
}

/* The next address is tried at once. What is told of a round is the first failure, but one of an address
 * where somebody answered goes before one where nobody did: so two addresses do not take turns in the file.
 */
static void try_failed(struct ready *r, bool answered, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void try_failed(struct ready *r, bool answered, const char *fmt, ...) {
    va_list args;
    fd_close(r);
    va_start(args, fmt);
    if (!r->why[0] || (answered && !r->why_answered))
        vsnprintf(r->why, sizeof r->why, fmt, args);
    va_end(args);
    r->why_answered |= answered;
    if (r->endpoints.at + 1 < r->endpoints.count) {
        r->endpoints.at++;
        r->state = READY_PAUSE;
        r->until_ms = writer_now_ms();
        return;
    }
    tell(r, r->why);
    r->why[0] = '\0';
    r->why_answered = false;
    r->endpoints.count = r->endpoints.at = 0;
    pause_begin(r);
}

/* --- connections --- */

static const struct sockaddr_storage *address_now(const struct ready *r) {
    return &r->endpoints.address[r->endpoints.at];
}

static void connect_failed(struct ready *r, const char *why) {
    char text[ENDPOINT_TEXT_MAX];
    try_failed(r, false, "connect to %s: %s", endpoint_text(address_now(r), text), why);
}

static void page_failed(struct ready *r, const char *why) {
    char text[ENDPOINT_TEXT_MAX];
    try_failed(r, true, "GET %.100s from %s: %s", r->launch->path, endpoint_text(address_now(r), text), why);
}

static void connect_begin(struct ready *r) {
    if (!r->endpoints.count)
        endpoints_find(&r->endpoints, r->launch->port);
    if (!r->endpoints.count) {
        try_failed(r, false, "the container has no address");
        return;
    }
    r->state = READY_CONNECT;
    r->fd = endpoint_connect(address_now(r));
    if (r->fd < 0)
        connect_failed(r, strerror(errno));
}

static void connect_end(struct ready *r) {
    int error = endpoint_connected(r->fd);
    if (error) {
        connect_failed(r, strerror(error));
        return;
    }
    if (r->launch->ready == LAUNCHFILE_READY_TCP) {
        is_ready(r);
        return;
    }
    r->state = READY_ANSWER;
    r->answer.len = 0;
    error = endpoint_ask(r->fd, address_now(r), r->launch->path);
    if (error)
        page_failed(r, strerror(error));
}

static void answer_take(struct ready *r) {
    enum { GOOD_FIRST = 200, GOOD_END = 400 };
    char words[ENDPOINT_STATUS_MAX];
    int status;
    int got = endpoint_read(r->fd, &r->answer, &status, words);
    if (got < 0)
        page_failed(r, errno == EPROTO ? "the answer is not HTTP" : strerror(errno));
    else if (got > 0 && status >= GOOD_FIRST && status < GOOD_END)
        is_ready(r);
    else if (got > 0)
        page_failed(r, words);
}

/* --- commands --- */

static void command_begin(struct ready *r) {
    AUTO_FD int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const struct child_launch what = {.argv = r->launch->command,
                                      .env = (char **)r->env,
                                      .in_fd = null_fd,
                                      .out_fd = null_fd,
                                      .err_fd = null_fd};
    int error = null_fd < 0 ? errno : child_start(&r->command, &what);
    r->overdue = false;
    if (!error) {
        r->state = READY_COMMAND;
        return;
    }
    r->command.pid = 0;
    try_failed(r, false, "%.100s: %s", r->launch->command[0], strerror(error));
}

static void command_end(struct ready *r) {
    const char *program = r->launch->command[0];
    int status = r->command.wait_status;
    r->command = (struct child){.pid = 0};
    if (r->overdue)
        try_failed(r, false, "%.100s: did not end within %d ms", program, LAUNCH_READY_TRY_MAX_MS);
    else if (WIFSIGNALED(status))
        try_failed(r, false, "%.100s: was ended by signal %d", program, WTERMSIG(status));
    else if (WEXITSTATUS(status))
        try_failed(r, false, "%.100s: ended with %d", program, WEXITSTATUS(status));
    else
        is_ready(r);
}

/* --- the output --- */

static void line_end(struct ready *r, struct ready_line *line) {
    line->text[line->len] = '\0';
    if (line->len && line->text[line->len - 1] == '\r')
        line->text[line->len - 1] = '\0';
    line->len = 0;
    if (regexec(&r->expression, line->text, 0, NULL, 0) == 0)
        is_ready(r);
}

void ready_output(struct ready *r, unsigned stream, const void *bytes, size_t len) {
    struct ready_line *line = &r->line[stream];
    const char *from = bytes;
    while (len && ready_wants_output(r)) {
        const char *newline = memchr(from, '\n', len);
        size_t part = newline ? (size_t)(newline - from) : len;
        size_t room = READY_LINE_MAX - line->len;
        size_t put = part < room ? part : room;
        memcpy(line->text + line->len, from, put);
        for (char *nul; (nul = memchr(line->text + line->len, '\0', put)) != NULL;)
            *nul = ' '; /* it would end the line for regexec(3) */
        line->len += put;
        part += newline != NULL;
        from += part;
        len -= part;
        if (newline)
            line_end(r, line);
    }
}

/* --- the steps --- */

void ready_begin(struct ready *r) {
    if (r->file_fd < 0)
        return;
    r->pause_ms = LAUNCH_READY_PAUSE_MIN_MS;
    switch (r->launch->ready) {
    case LAUNCHFILE_READY_EXECUTED:
        is_ready(r);
        return;
    case LAUNCHFILE_READY_LOG:
        r->state = READY_LOG;
        tell(r, "no line of the output has matched yet");
        return;
    case LAUNCHFILE_READY_TCP:
    case LAUNCHFILE_READY_HTTP:
    case LAUNCHFILE_READY_COMMAND:
        pause_begin(r);
        return;
    }
}

static int remaining_ms(const struct ready *r) {
    int64_t left = r->until_ms - writer_now_ms();
    return left <= 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

unsigned ready_poll(const struct ready *r, struct pollfd fds[READY_POLL_FDS], int *ret_timeout_ms) {
    bool waits = r->state != READY_OFF && r->state != READY_LOG && !(r->state == READY_COMMAND && r->overdue);
    *ret_timeout_ms = waits ? remaining_ms(r) : -1;
    if (r->state != READY_CONNECT && r->state != READY_ANSWER)
        return 0;
    fds[0] = (struct pollfd){.fd = r->fd, .events = r->state == READY_CONNECT ? POLLOUT : POLLIN};
    return 1;
}

static void try_begin(struct ready *r) {
    r->until_ms = writer_now_ms() + LAUNCH_READY_TRY_MAX_MS;
    if (r->launch->ready == LAUNCHFILE_READY_COMMAND)
        command_begin(r);
    else
        connect_begin(r);
}

static void overdue(struct ready *r) {
    switch (r->state) {
    case READY_CONNECT:
        connect_failed(r, strerror(ETIMEDOUT));
        return;
    case READY_ANSWER:
        page_failed(r, strerror(ETIMEDOUT));
        return;
    case READY_COMMAND:
        if (!r->overdue)
            child_signal(&r->command, SIGKILL);
        r->overdue = true; /* it is over when it is buried */
        return;
    case READY_PAUSE:
        try_begin(r);
        return;
    case READY_OFF:
    case READY_LOG:
        return;
    }
}

void ready_step(struct ready *r, short revents) {
    if (r->state == READY_OFF || r->state == READY_LOG)
        return;
    if (r->state == READY_COMMAND && r->command.ended)
        command_end(r);
    else if (r->state == READY_CONNECT && revents)
        connect_end(r);
    else if (r->state == READY_ANSWER && revents)
        answer_take(r);
    else if (remaining_ms(r) == 0)
        overdue(r);
}

void ready_end(struct ready *r) {
    if (r->command.pid > 0 && !r->command.ended)
        child_signal(&r->command, SIGKILL);
    fd_close(r);
    if (r->state == READY_LOG)
        regfree(&r->expression);
    r->state = READY_OFF;
}
