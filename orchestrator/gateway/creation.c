#include "orchestrator/gateway/creation.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/units.h"
#include "orchestrator/gateway/asking.h"
#include "orchestrator/gateway/body.h"
#include "orchestrator/gateway/job_view.h"
#include "orchestrator/gateway/wait.h"

enum { HASH_BYTES = crypto_hash_sha256_BYTES };

struct creation {
    unsigned char hash[HASH_BYTES]; /* of what was asked for, written in one way */
};

static void hash_document(const json_t *doc, unsigned char hash[HASH_BYTES]) {
    AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
    crypto_hash_sha256(hash, (const unsigned char *)text, strlen(text));
}

/* The sum of memory is the parser's, which knows its ceiling. */
bool creation_fits(struct request *request, const struct spec *spec) {
    int64_t have = request->gateway->settings.cpus_milli, needs = spec_cpus_milli(spec);
    char needs_text[UNITS_TEXT_MAX], have_text[UNITS_TEXT_MAX];
    if (have == 0 || needs <= have)
        return true;
    body_fault(request, spec->services_count ? "/services" : "/limits/cpus",
               "the job needs %s CPUs in all its containers together; there are %s for all jobs (BERTH_CPUS)",
               units_format_milli(needs, needs_text), units_format_milli(have, have_text));
    return false;
}

static void answer(struct request *request, const PGresult *result, int status) {
    struct api_job job;
    enum status is;
    api_read_job(result, 0, &job);
    http_add_header(request, "Location", "/v1/jobs/%s", job.id);
    if (request->wait_ms <= 0 || !status_parse(job.status, &is) || status_is_terminal(is)) {
        http_respond_json(request, status, job_view(&job));
        return;
    }
    request->known = job_view(&job);
    wait_for_job(request, job.id, status);
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
    AUTO_FREE char *taken = err ? api_key_is_taken(err) : NULL;
    if (taken) {
        request->ticket = 0;
        http_problem(request, 409, "%s; this one asks to be refused then (concurrency.on_conflict)", taken);
        return;
    }
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

void creation_begin(struct request *request, const struct spec *spec, const char *retry_of,
                    const json_t *asked) {
    struct creation *creation = mem_alloc(sizeof *creation);
    AUTO_JSON json_t *complete = spec_to_json(spec);
    AUTO_FREE char *text = json_dumps(complete, JSON_COMPACT), *labels = spec_labels_text(spec);
    char id[ID_TEXT_MAX];
    struct err err;
    hash_document(asked, creation->hash);
    free(request->state);
    request->state = creation;
    id_new_v7(id);
    struct api_new_job job = {
        .id = id,
        .tenant = AUTH_TENANT,
        .name = spec->name,
        .priority = spec->priority,
        .run_at_us = spec->run_at_us,
        .queue_ms = spec->deadlines.queue_ms,
        .cpus_milli = spec_cpus_milli(spec),
        .memory_bytes = spec_memory_bytes(spec),
        .spec = text,
        .labels = labels,
        .concurrency_key = spec->concurrency.key,
        .concurrency_max = spec->concurrency.max,
        .on_conflict = spec->concurrency.key ? spec_conflict_words[spec->concurrency.on_conflict] : NULL,
        .retry_of = retry_of,
        .idempotency_key = *request->key ? request->key : NULL,
        .idempotency_hash = creation->hash,
        .idempotency_hash_len = HASH_BYTES,
    };
    asking_change(request, api_insert_job(request->gateway->db, &job, on_inserted, request, &err), &err);
}
