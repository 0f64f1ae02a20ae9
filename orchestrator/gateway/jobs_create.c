#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/handlers.h"
#include "orchestrator/gateway/job_view.h"
#include "orchestrator/gateway/wait.h"

enum { HASH_BYTES = crypto_hash_sha256_BYTES };

struct creation {
    unsigned char hash[HASH_BYTES]; /* of the body, written in one way */
};

static json_t *read_body(struct request *request) {
    json_error_t error;
    /* A NUL within a string is for the spec's parser, which tells where it stands. */
    json_t *doc = json_loadb(buf_str(&request->body), request->body.len,
                             JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!doc)
        http_problem(request, 400, "the body is not JSON: line %d, column %d: %s", error.line, error.column,
                     error.text);
    return doc;
}

static void hash_body(const json_t *doc, unsigned char hash[HASH_BYTES]) {
    AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
}

static void answer(struct request *request, const PGresult *result, int status) {
    struct api_job job;
    enum status is;
    api_read_job(result, 0, &job);
    http_add_header(request, "Location", "/v1/jobs/%s", job.id);
    if (request->wait_ms > 0 && status_parse(job.status, &is) && !status_is_terminal(is))
        wait_for_job(request, job.id, status);
    else
        http_respond_json(request, status, job_view(&job));
}

static void on_earlier(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    const struct creation *creation = request->state;
    AUTO_FREE unsigned char *hash = NULL;
    size_t len;
    if (asking_failed(request, err))
        return;
    if (PQntuples(result) == 0) { /* removed between the two statements */
        http_add_header(request, "Retry-After", "1");
        http_problem(request, 503, "the job that had this Idempotency-Key was just removed; try again");
        return;
    }
    if (api_read_hash(result, 0, &hash, &len, NULL) < 0 || len != HASH_BYTES ||
        memcmp(hash, creation->hash, HASH_BYTES) != 0) {
        http_problem(request, 422, "Idempotency-Key was used before, with another body");
        return;
    }
    answer(request, result, 200);
}

static void on_inserted(void *arg, const PGresult *result, const struct err *err) {
    struct request *request = arg;
    struct err why;
    if (asking_failed(request, err))
        return;
    if (PQntuples(result) == 0) {
        asking_sent(
            request,
            api_job_by_key(request->gateway->db, AUTH_TENANT, request->key, on_earlier, request, &why), &why);
        return;
    }
    gateway_hint_jobs(request->gateway);
    answer(request, result, 201);
}

static void insert(struct request *request, const struct spec *spec) {
    const struct creation *creation = request->state;
    AUTO_JSON json_t *complete = spec_to_json(spec);
    AUTO_FREE char *text = json_dumps(complete, JSON_COMPACT), *labels = spec_labels_text(spec);
    char id[ID_TEXT_MAX];
    struct err err;
    id_new_v7(id);
    struct api_new_job job = {
        .id = id,
        .tenant = AUTH_TENANT,
        .name = spec->name,
        .priority = spec->priority,
        .run_at_us = spec->run_at_us,
        .queue_ms = spec->deadlines.queue_ms,
        .cpus_milli = spec->limits.cpus_milli,
        .memory_bytes = spec->limits.memory_bytes,
        .spec = text,
        .labels = labels,
        .idempotency_key = *request->key ? request->key : NULL,
        .idempotency_hash = creation->hash,
        .idempotency_hash_len = HASH_BYTES,
    };
    asking_sent(request, api_insert_job(request->gateway->db, &job, on_inserted, request, &err), &err);
}

void jobs_create(struct request *request) {
    struct err err;
    if (query_wait(&request->query, &request->wait_ms, &err) < 0) {
        http_problem(request, 400, "%s", err.text);
        return;
    }
    AUTO_JSON json_t *doc = read_body(request);
    if (!doc)
        return;
    AUTO_SPEC struct spec *spec = NULL;
    AUTO_FAULTS struct spec_faults faults = {0};
    if (spec_parse(doc, &request->gateway->policy, &spec, &faults) < 0) {
        http_problem_faults(request, &faults);
        return;
    }
    struct creation *creation = mem_alloc(sizeof *creation);
    hash_body(doc, creation->hash);
    request->state = creation;
    insert(request, spec);
}
