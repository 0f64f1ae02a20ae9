#include "orchestrator/gateway/problem.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

static const struct {
    int status;
    const char *title;
} titles[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {411, "Length Required"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {422, "Unprocessable Content"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {500, "Internal Server Error"},
    {503, "Service Unavailable"},
};

const char *problem_title(int status) {
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

/* A text that was cut may end within a character, which JSON cannot carry. */
static char *whole_text(const char *text) {
    char *copy = mem_strdup(text);
    size_t len = strlen(copy);
    for (size_t i = 0; i < len;) {
        size_t n = utf8_char_len(copy + i, len - i);
        if (n == 0)
            copy[i] = '?';
        i += n ? n : 1;
    }
    return copy;
}

json_t *problem_make(int status, const char *detail, const char *instance, const struct spec_faults *faults) {
    AUTO_FREE char *text = whole_text(detail);
    /* "about:blank": the status says it all, and title is its words (RFC 9457, section 4.2.1). */
    json_t *doc = json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank", "title",
                            problem_title(status), "status", status, "detail", text, "instance", instance);
    if (!faults || !doc)
        return doc;
    json_t *errors = json_array();
    for (size_t i = 0; i < faults->count; i++)
        json_array_append_new(errors, json_pack("{s:s, s:s}", "pointer", faults->items[i].pointer, "detail",
                                                faults->items[i].detail));
    json_object_set_new(doc, "errors", errors);
    if (faults->omitted)
        json_object_set_new(doc, "errors_omitted", json_integer((json_int_t)faults->omitted));
    return doc;
}
