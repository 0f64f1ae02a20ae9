#include "orchestrator/gateway/body.h"

#include <stdarg.h>
#include <stdio.h>

#include "orchestrator/gateway/problem.h"

enum { FAULT_MAX = 1024 };

json_t *body_read(struct request *request) {
    json_error_t error;
    /* A NUL within a string is for the reader of its field, which tells where it stands. */
    json_t *doc = json_loadb(buf_str(&request->body), request->body.len,
                             JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (doc)
        return doc;
    if (json_error_code(&error) == json_error_numeric_overflow)
        body_fault(
            request, "",
            "has a number on line %d, before column %d, that is too large to be kept exactly; write it "
            "as a string (whole numbers go from -2^63 to 2^63 - 1)",
            error.line, error.column);
    else
        http_problem(request, 400, "the body is not JSON: line %d, column %d: %s", error.line, error.column,
                     error.text);
    return NULL;
}

void body_fault(struct request *request, const char *pointer, const char *fmt, ...) {
    char detail[FAULT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    struct spec_fault fault = {.pointer = (char *)pointer, .detail = detail};
    struct spec_faults faults = {.items = {fault}, .count = 1};
    http_respond_json(request, 422, problem_make(422, "the body has 1 fault", request->request_id, &faults));
}
