#include "runner/docker/engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "base/json.h"
#include "base/mem.h"
#include "runner/docker/call.h"

/* The newest version that is asked for, and the oldest (Docker 19.03) that has all fields that this folder
 * uses. The tests' engine (20.10) speaks 1.41. Minor numbers; the major one has been 1 since 2014. */
enum { API_MINOR_OURS = 47, API_MINOR_LEAST = 40 };

static bool is_set(const char *text) {
    return text && *text;
}

static int open_unix(struct engine *engine, const char *path, struct err *err) {
    if (path[0] != '/' || strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return err_set(err, ERR_USAGE, 0,
                       "DOCKER_HOST=%s: unix:// wants an absolute path of at most %zu bytes", engine->host,
                       sizeof((struct sockaddr_un *)0)->sun_path - 1);
    engine->socket = mem_strdup(path);
    engine->base = mem_strdup("http://localhost");
    return 0;
}

/* host[:port], or [v6][:port]; user names, paths and queries have no place in it. */
static int open_tcp(struct engine *engine, const char *place, bool tls, struct err *err) {
    AUTO_FREE char *text = mem_printf("%s://%s", tls ? "https" : "http", place);
    char *host = NULL, *port = NULL;
    CURLU *url = curl_url();
    bool good = url && !strpbrk(place, "/?#@") && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && is_set(host);
    if (good && curl_url_get(url, CURLUPART_PORT, &port, 0) != CURLUE_OK)
        port = NULL;
    if (good)
        engine->base = mem_printf("%s://%s:%s", tls ? "https" : "http", host,
                                  port  ? port
                                  : tls ? "2376"
                                        : "2375");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
    return good ? 0
                : err_set(err, ERR_USAGE, 0, "DOCKER_HOST=%s: tcp:// wants host or host:port", engine->host);
}

/* As the docker CLI: the authority must be there, the client's own pair need not. */
static int open_certificates(struct engine *engine, const char *dir, struct err *err) {
    if (!is_set(dir))
        return err_set(
            err, ERR_USAGE, 0,
            "DOCKER_TLS_VERIFY is set but DOCKER_CERT_PATH is not: set it to the directory of ca.pem, "
            "cert.pem and key.pem");
    engine->ca = mem_printf("%s/ca.pem", dir);
    engine->cert = mem_printf("%s/cert.pem", dir);
    engine->key = mem_printf("%s/key.pem", dir);
    if (access(engine->ca, R_OK) < 0)
        return err_set(err, ERR_USAGE, 0, "DOCKER_CERT_PATH=%s: ca.pem cannot be read", dir);
    bool cert = access(engine->cert, R_OK) == 0, key = access(engine->key, R_OK) == 0;
    if (cert != key)
        return err_set(err, ERR_USAGE, 0, "DOCKER_CERT_PATH=%s: %s cannot be read", dir,
                       cert ? "key.pem" : "cert.pem");
    if (!cert) {
        free(STEAL(engine->cert));
        free(STEAL(engine->key));
    }
    return 0;
}

static int open_host(struct engine *engine, const struct engine_settings *settings, struct err *err) {
    const char *host = engine->host;
    bool tls = is_set(settings->tls_verify);
    if (strncmp(host, "unix://", 7) == 0)
        return open_unix(engine, host + 7, err);
    if (strncmp(host, "tcp://", 6) != 0)
        return err_set(err, ERR_USAGE, 0,
                       "DOCKER_HOST=%s: only unix:///path and tcp://host:port are supported", host);
    if (tls && open_certificates(engine, settings->cert_path, err) < 0)
        return -1;
    return open_tcp(engine, host + 6, tls, err);
}

/* "1.41", "v1.41": the minor number; -1: neither. */
static int parse_version(const char *text) {
    if (text[0] == 'v')
        text++;
    if (strncmp(text, "1.", 2) != 0)
        return -1;
    int minor = 0;
    size_t digits = strspn(text + 2, "0123456789");
    if (digits == 0 || digits > 3 || text[2 + digits])
        return -1;
    for (size_t i = 0; i < digits; i++)
        minor = minor * 10 + (text[2 + i] - '0');
    return minor;
}

static int open_version(struct engine *engine, const char *version, struct err *err) {
    if (!is_set(version))
        return 0;
    int minor = parse_version(version);
    if (minor < API_MINOR_LEAST)
        return err_set(err, ERR_USAGE, 0, "DOCKER_API_VERSION=%s: not a version such as 1.%d, or below 1.%d",
                       version, API_MINOR_OURS, API_MINOR_LEAST);
    snprintf(engine->version, sizeof engine->version, "1.%d", minor);
    engine->version_forced = true;
    return 0;
}

int engine_open(const struct engine_settings *settings, struct engine **ret_engine, struct err *err) {
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, mem_alloc, free, mem_realloc, mem_strdup, mem_calloc) !=
        CURLE_OK)
        return err_set(err, ERR_SYS, ENOMEM, "libcurl cannot be initialized");
    AUTO_ENGINE struct engine *engine = mem_alloc(sizeof *engine);
    engine->host = mem_strdup(is_set(settings->host) ? settings->host : ENGINE_DEFAULT_HOST);
    if (open_host(engine, settings, err) < 0 || open_version(engine, settings->api_version, err) < 0)
        return -1;
    *ret_engine = STEAL(engine);
    return 0;
}

void engine_close(struct engine *engine) {
    if (!engine)
        return;
    for (size_t i = 0; i < ARRAY_LEN(engine->slots); i++)
        call_slot_close(&engine->slots[i]);
    free(engine->host);
    free(engine->base);
    free(engine->socket);
    free(engine->ca);
    free(engine->cert);
    free(engine->key);
    free(engine);
    curl_global_cleanup(); /* counted: the pair of engine_open's */
}

const char *engine_host(const struct engine *engine) {
    return engine->host;
}

const char *engine_api_version(const struct engine *engine) {
    return engine->version;
}

/* GET /version: "MinAPIVersion", which engines name since 1.25. */
static int least_of_engine(struct engine *engine, const struct ctx *ctx, int *ret_minor, struct err *err) {
    AUTO_JSON json_t *json = NULL;
    struct call call = {.method = "GET", .path = "/version", .unversioned = true};
    if (call_json(engine, ctx, &call, &json, err) < 0)
        return -1;
    const char *text = json_string_value(json_object_get(json, "MinAPIVersion"));
    int minor = text ? parse_version(text) : -1;
    if (minor < 0)
        return err_set(err, ERR_INVALID, 0, "GET /version: the answer has no MinAPIVersion such as 1.12");
    *ret_minor = minor;
    return 0;
}

int engine_negotiate(struct engine *engine, const struct ctx *ctx, struct err *err) {
    AUTO_ANSWER struct call_answer answer = CALL_ANSWER;
    struct call ping = {.method = "GET", .path = "/_ping", .unversioned = true};
    if (call_run(engine, ctx, &ping, &answer, err) < 0)
        return -1;
    if (engine->version_forced)
        return 0;
    int most = parse_version(answer.api_version), least = 0;
    if (most < 0)
        return err_set(err, ERR_INVALID, 0,
                       "what answers at %s is not a Docker Engine: no Api-Version such as 1.41",
                       engine->host);
    if (most < API_MINOR_LEAST)
        return err_set(
            err, ERR_USAGE, 0,
            "the Docker Engine at %s speaks API 1.%d at most; 1.%d (Docker 19.03) or later is needed",
            engine->host, most, API_MINOR_LEAST);
    if (least_of_engine(engine, ctx, &least, err) < 0)
        return -1;
    if (least > API_MINOR_OURS)
        return err_set(
            err, ERR_USAGE, 0,
            "the Docker Engine at %s wants API 1.%d at least, and this program speaks up to 1.%d: install "
            "a newer release of it",
            engine->host, least, API_MINOR_OURS);
    snprintf(engine->version, sizeof engine->version, "1.%d", most < API_MINOR_OURS ? most : API_MINOR_OURS);
    return 0;
}
