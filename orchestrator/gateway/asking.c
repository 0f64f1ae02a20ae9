#include "orchestrator/gateway/asking.h"

void asking_sent(struct request *request, int64_t ticket, const struct err *err) {
    request->ticket = ticket;
    request->changes = false;
    if (ticket < 0)
        http_problem_db(request, err);
}

void asking_change(struct request *request, int64_t ticket, const struct err *err) {
    asking_sent(request, ticket, err);
    request->changes = true;
}

bool asking_failed(struct request *request, const struct err *err) {
    request->ticket = 0;
    if (err)
        http_problem_db(request, err);
    return err;
}

bool asking_found(struct request *request, const char *job, const PGresult *result, const struct err *err,
                  struct api_job *ret_job) {
    if (asking_failed(request, err))
        return false;
    if (PQntuples(result) == 0) {
        http_problem(request, 404, "there is no job %s", job);
        return false;
    }
    api_read_job(result, 0, ret_job);
    return true;
}
