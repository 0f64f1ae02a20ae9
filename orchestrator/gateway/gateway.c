#include "orchestrator/gateway/gateway.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "orchestrator/gateway/gateway_private.h"
#include "orchestrator/gateway/hub.h"
#include "orchestrator/gateway/hub_db.h"
#include "orchestrator/gateway/listen.h"
#include "orchestrator/gateway/ws.h"
#include "proto/child.h"
#include "proto/control.h"

enum { LOOP_TURNS_MAX = 256 }; /* of our loop before libwebsockets has its turn again */

/* --- Hints --- */

static void on_hinted(void *arg, const PGresult *result, const struct err *err) {
    (void)arg, (void)result, (void)err; /* only a hint: the orchestrators look by themselves */
}

static int on_hint_timer(sd_event_source *source, uint64_t us, void *arg) {
    struct gateway *gateway = arg;
    (void)source, (void)us;
    api_hint_work(gateway->db, "jobs", on_hinted, gateway, NULL);
    return 0;
}

void gateway_hint_jobs(struct gateway *gateway) {
    int on = SD_EVENT_OFF;
    if (sd_event_source_get_enabled(gateway->hint_timer, &on) < 0 || on == SD_EVENT_ONESHOT)
        return;
    sd_event_source_set_time_relative(gateway->hint_timer, GATEWAY_HINT_MS * US_PER_MS);
    sd_event_source_set_enabled(gateway->hint_timer, SD_EVENT_ONESHOT);
}

void gateway_hint_cancel(struct gateway *gateway) {
    api_hint_work(gateway->db, "cancel", on_hinted, gateway, NULL);
}

/* --- The end --- */

static int on_goodbye(sd_event_source *source, uint64_t us, void *arg) {
    struct gateway *gateway = arg;
    (void)source, (void)us;
    gateway->ended = true;
    return 0;
}

/* Viewers are told to come back, and get a moment to hear it. */
static void begin_end(struct gateway *gateway, int exit_status) {
    if (gateway->ending)
        return;
    gateway->ending = true;
    gateway->exit_status = exit_status;
    ws_go_away();
    if (!ws_any() || sd_event_add_time_relative(gateway->loop, NULL, CLOCK_BOOTTIME,
                                                GATEWAY_GOODBYE_MS * US_PER_MS, 0, on_goodbye, gateway) < 0)
        gateway->ended = true;
}

static void note_health(struct gateway *gateway, const struct control *message) {
    struct health *health = &gateway->health[message->part];
    health->known = true;
    health->ok = message->ok;
    snprintf(health->detail, sizeof health->detail, "%s", message->detail);
}

static int on_control(sd_event_source *source, int fd, uint32_t revents, void *arg) {
    struct gateway *gateway = arg;
    struct control message = {0};
    struct err err;
    (void)revents;
    int r = control_recv(fd, &message, &err);
    if (r < 0 && err.kind == ERR_SYS && err.code == EAGAIN)
        return 0;
    if (r < 0)
        log_error("a message of the parent is not understood", LERR(&err));
    else if (r > 0 && message.type == CONTROL_HEALTH)
        note_health(gateway, &message);
    else if (r > 0)
        control_answer_alive(fd, &message);
    control_done(&message);
    if (r > 0)
        return 0;
    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    begin_end(gateway, r < 0 ? CHILD_EXIT_BUG : CHILD_EXIT_DONE);
    return 0;
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *arg) {
    (void)source, (void)info;
    begin_end(arg, CHILD_EXIT_DONE);
    return 0;
}

/* --- The start --- */

static void on_notify(void *arg, const char *channel, const char *payload) {
    struct gateway *gateway = arg;
    if (gateway->hub)
        hub_hint(gateway->hub, channel ? payload : NULL);
}

static void on_db_state(void *arg, bool up, const char *error) {
    (void)arg;
    if (up)
        log_info("database reached");
    else
        log_warn("database away", LS("error", error));
}

static void lws_log(int level, const char *line) {
    size_t len = strcspn(line, "\n");
    char text[512];
    snprintf(text, sizeof text, "%.*s", (int)len, line);
    /* Its errors are mostly about what clients send. */
    log_debug("libwebsockets", LS("text", text), LI("level", level));
}

static int start_loop(struct gateway *gateway, struct err *err) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    int r = sd_event_new(&gateway->loop);
    if (r >= 0)
        r = sd_event_add_io(gateway->loop, NULL, CHILD_FD, EPOLLIN, on_control, gateway);
    if (r >= 0)
        r = sd_event_add_signal(gateway->loop, NULL, SIGTERM, on_signal, gateway);
    if (r >= 0)
        r = sd_event_add_signal(gateway->loop, NULL, SIGINT, on_signal, gateway);
    if (r >= 0)
        r = sd_event_add_time_relative(gateway->loop, &gateway->hint_timer, CLOCK_BOOTTIME, 0, US_PER_MS,
                                       on_hint_timer, gateway);
    if (r < 0)
        return err_set(err, ERR_SYS, -r, "the event loop cannot be made: %s", strerror(-r));
    return 0;
}

static int start_db(struct gateway *gateway, const char *instance, struct err *err) {
    static const char *const channels[] = {"berth_log", NULL};
    AUTO_FREE char *application = mem_printf("berth:%s:gateway", instance);
    struct db_pool_settings settings = {.url = gateway->settings.database_url,
                                        .application = application,
                                        .connections = GATEWAY_DB_CONNECTIONS,
                                        .listen = channels,
                                        .queue_timeout_ms = GATEWAY_DB_QUEUE_MS,
                                        .statement_timeout_ms = GATEWAY_DB_STATEMENT_MS,
                                        .on_notify = on_notify,
                                        .on_state = on_db_state,
                                        .arg = gateway};
    return db_pool_new(gateway->loop, &settings, &gateway->db, err);
}

/* libwebsockets keeps a table as large as the limit of descriptors. And it tries again at once, without end,
 * when a connection cannot be accepted for want of one (EMFILE), so there is always one left to refuse with.
 */
static void bound_descriptors(struct gateway *gateway) {
    struct rlimit limit;
    gateway->connections_max = GATEWAY_CONNECTIONS_MAX;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max < GATEWAY_FDS_MAX ? limit.rlim_max : GATEWAY_FDS_MAX;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= GATEWAY_CONNECTIONS_MAX + GATEWAY_FDS_OURS)
        return;
    gateway->connections_max = limit.rlim_cur / 2 > GATEWAY_FDS_OURS
                                   ? (unsigned)limit.rlim_cur - GATEWAY_FDS_OURS
                                   : GATEWAY_FDS_OURS;
    log_warn("few open files are allowed, so fewer connections are taken; raise the limit (ulimit -n, "
             "LimitNOFILE)",
             LI("open_files", (int64_t)limit.rlim_cur), LI("connections_max", gateway->connections_max));
}

/* The socket of a gateway that has just died may still hold the address: only one that stays taken is a wrong
 * setting. */
static int await_address(struct gateway *gateway, const struct address *address, struct err *err) {
    int64_t until_ms = clock_boot_ms() + GATEWAY_LISTEN_MS;
    int r = -1;
    while ((r = listen_probe(gateway->settings.listen, address, err)) < 0 && err->kind == ERR_USAGE &&
           clock_boot_ms() < until_ms) {
        sd_event_run(gateway->loop, GATEWAY_LISTEN_AGAIN_MS * US_PER_MS);
        if (gateway->ended)
            return err_set(err, ERR_CANCELED, 0, "the end came while %s was taken", gateway->settings.listen);
    }
    return r;
}

static int start_lws(struct gateway *gateway, struct err *err) {
    static const lws_retry_bo_t pings = {.secs_since_valid_ping = GATEWAY_PING_S,
                                         .secs_since_valid_hangup = GATEWAY_DEAD_S};
    struct address address;
    if (address_parse(gateway->settings.listen, &address, err) < 0)
        return err_wrap(err, "BERTH_LISTEN \"%.80s\"", gateway->settings.listen);
    if (await_address(gateway, &address, err) < 0)
        return -1;
    lws_set_log_level(LLL_ERR | LLL_WARN, lws_log);
    struct lws_context_creation_info info = {
        .port = address.port,
        .iface = *address.host ? address.host : NULL,
        .protocols = gateway_protocols,
        .user = gateway,
        .options = address.v6 ? 0 : LWS_SERVER_OPTION_DISABLE_IPV6,
        .max_http_header_data = GATEWAY_HEADERS_MAX,
        .max_http_header_pool = GATEWAY_CONNECTIONS_MAX,
        .timeout_secs = GATEWAY_HEADERS_S,
        .timeout_secs_ah_idle = GATEWAY_HEADERS_S,
        .keepalive_timeout = GATEWAY_KEEPALIVE_S,
        .retry_and_idle_policy = &pings,
        .gid = (gid_t)-1,
        .uid = (uid_t)-1,
    };
    info.options |= LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
    gateway->lws = lws_create_context(&info);
    gateway->vhost = gateway->lws ? lws_create_vhost(gateway->lws, &info) : NULL;
    if (!gateway->vhost)
        return err_set(err, ERR_SYS, 0, "cannot listen on %s", gateway->settings.listen);
    lws_sock_file_fd_type fd = {.filefd = fcntl(sd_event_get_fd(gateway->loop), F_DUPFD_CLOEXEC, 0)};
    if (fd.filefd < 0 ||
        !lws_adopt_descriptor_vhost(gateway->vhost, LWS_ADOPT_RAW_FILE_DESC, fd, GATEWAY_LOOP_PROTOCOL, NULL))
        return err_set(err, ERR_SYS, errno, "the event loop cannot be joined with libwebsockets'");
    return 0;
}

/* Our loop has all its turns before libwebsockets waits: it also sets its timers then. */
static void run(struct gateway *gateway) {
    while (!gateway->ended) {
        int turns = 0;
        while (turns < LOOP_TURNS_MAX && sd_event_run(gateway->loop, 0) > 0)
            turns++;
        session_answer_all();
        if (gateway->ended)
            break;
        if (turns == LOOP_TURNS_MAX)
            lws_cancel_service(gateway->lws); /* there may be more: it must not wait */
        if (lws_service(gateway->lws, 0) < 0)
            break;
        if (gateway->ending && !ws_any())
            break;
    }
}

static int read_config(struct gateway *gateway, struct control *config, struct err *err) {
    if (control_recv_config(CHILD_FD, config, err) < 0)
        return -1;
    AUTO_FREE char *text = json_dumps(config->settings, JSON_COMPACT);
    if (!text)
        return err_set(err, ERR_BUG, 0, "the settings are no JSON");
    if (config_undump(&settings_table, &gateway->settings, text, strlen(text), err) < 0)
        return -1;
    sodium_memzero(text, strlen(text));
    gateway->policy = settings_policy(&gateway->settings);
    gateway->auth = auth_new(gateway->settings.auth, gateway->settings.admin_token);
    if (gateway->auth.on && (!gateway->settings.admin_token || !*gateway->settings.admin_token))
        return err_set(err, ERR_USAGE, 0, "there is no token to let anybody in with: set BERTH_ADMIN_TOKEN");
    log_set_level_word(gateway->settings.log_level);
    return 0;
}

static int start(struct gateway *gateway, struct err *err) {
    struct control config = {0}, ready = {.type = CONTROL_READY};
    int r = -1;
    if (sodium_init() < 0)
        return err_set(err, ERR_BUG, 0, "libsodium does not start");
    if (read_config(gateway, &config, err) == 0 && start_loop(gateway, err) == 0 &&
        start_db(gateway, config.instance, err) == 0 && hub_db_start(gateway, err) == 0 &&
        start_lws(gateway, err) == 0)
        r = control_send(CHILD_FD, &ready, err);
    control_done(&config);
    return r;
}

static void stop(struct gateway *gateway) {
    gateway->ending = true;
    if (gateway->lws)
        lws_context_destroy(gateway->lws); /* ends every connection, and with it its request or viewer */
    db_pool_free(gateway->db);
    hub_db_stop(gateway);
    sd_event_source_disable_unref(gateway->hint_timer);
    sd_event_unref(gateway->loop);
    config_free(&settings_table, &gateway->settings);
}

int gateway_main(void) {
    struct gateway gateway = {0};
    struct err err;
    log_init("gateway", NULL);
    bound_descriptors(&gateway);
    if (start(&gateway, &err) == 0) {
        log_info("listening", LS("address", gateway.settings.listen));
        run(&gateway);
    } else {
        log_error("the gateway does not start", LERR(&err));
        if (!gateway.ending)
            gateway.exit_status =
                err.kind == ERR_USAGE || err.kind == ERR_INVALID ? CHILD_EXIT_NEVER : CHILD_EXIT_AGAIN;
    }
    stop(&gateway);
    return gateway.exit_status;
}
