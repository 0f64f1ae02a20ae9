/* What a client is told when a statement failed. */
#include "base/clock.h"
#include "base/log.h"
#include "orchestrator/db/trouble.h"
#include "orchestrator/gateway/http.h"

enum { AWAY_RETRY_S = 2, TROUBLE_LOG_EVERY_MS = 60000 };

/* PostgreSQL's own words are for the operator: once, and again now and then while it lasts. */
static void note_trouble(struct gateway *gateway, const struct trouble *trouble, const struct err *err) {
    static int64_t logged_ms;
    int64_t now_ms = clock_boot_ms();
    bool told = trouble == gateway->trouble && now_ms - logged_ms < TROUBLE_LOG_EVERY_MS;
    gateway->trouble = trouble;
    gateway->trouble_ms = now_ms;
    if (told)
        return;
    logged_ms = now_ms;
    log_warn("the database cannot do what is asked, clients get 503", LS("state", trouble->state), LERR(err));
}

static void answer_away(struct request *request, const struct err *err) {
    http_add_header(request, "Retry-After", "%d", AWAY_RETRY_S);
    if (!request->changes || err->kind != ERR_AWAY || err->code == DB_NOT_DONE)
        http_problem(request, 503, "the database cannot be reached; try again soon");
    else
        http_problem(
            request, 503,
            "the database broke off before it had answered, and it is not known whether this was done; %s",
            *request->key ? "repeat it with the same Idempotency-Key" : "look before you repeat it");
}

void http_problem_db(struct request *request, const struct err *err) {
    const struct trouble *trouble = trouble_find(err);
    if (request->known) { /* whoever read of an error would ask for the same change again */
        http_respond_json(request, request->code_after_wait, STEAL(request->known));
        return;
    }
    if (err->kind == ERR_DB && (err->code == db_sqlstate("22P05") || err->code == db_sqlstate("22021"))) {
        http_problem(request, 422, "a text holds a character that cannot be stored (U+0000)");
    } else if (trouble) {
        note_trouble(request->gateway, trouble, err);
        http_add_header(request, "Retry-After", "%d", trouble->retry_s);
        http_problem(request, 503, "%s; try again later", trouble->text);
    } else if (err->kind == ERR_DB || err->kind == ERR_BUG || err->kind == ERR_INVALID) {
        log_error("the database refused a statement", LS("path", request->path),
                  LS("request", request->request_id), LERR(err));
        http_problem(
            request, 500,
            "the database refused this; the log of the orchestrator says why, under this request id");
    } else {
        answer_away(request, err);
    }
}
