/* What stands in a request beside its path and body. The first line is the query, the second a header. */
#include <stdlib.h>
#include <string.h>

#include "base/address.h"
#include "base/cleanup.h"
#include "base/mem.h"
#include "orchestrator/gateway/auth.h"
#include "orchestrator/gateway/query.h"
#include "orchestrator/gateway/routes.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

static void check_query(const char *text, size_t len) {
    struct query query = {0};
    struct list_query list;
    struct logs_query logs;
    struct err err;
    int64_t ms = 0;
    while (len > 0) {
        const char *end = memchr(text, '&', len);
        size_t n = end ? (size_t)(end - text) : len;
        if (query_add(&query, text, n, &err) < 0)
            break;
        text += n + (end ? 1 : 0);
        len -= n + (end ? 1 : 0);
    }
    if (query_wait(&query, &ms, &err) == 0 && (ms < 0 || ms > QUERY_WAIT_MAX_MS))
        abort();
    if (query_list(&query, &list, &err) == 0 && (list.limit < 1 || list.limit > QUERY_LIMIT_MAX))
        abort();
    if (query_logs(&query, false, &logs, &err) == 0 && logs.tail >= 0 && logs.offset >= 0)
        abort();
    query_done(&query);
}

static void check_header(const char *text) {
    int64_t first = -1, last = -1, us = 0, attempt, offset;
    char id[ID_TEXT_MAX], part[ROUTE_PART_MAX], cursor[QUERY_CURSOR_MAX];
    size_t len;
    unsigned allow;
    struct address address;
    if (query_range(text, 1000, &first, &last) == QUERY_RANGE_OK &&
        (first < 0 || first > last || last >= 1000))
        abort();
    if (query_cursor_read(text, &us, id, NULL) == 0 && (!id_valid(id) || !query_cursor_make(us, id, cursor)))
        abort();
    if (query_event_id(text, &attempt, &offset) && (attempt < 1 || offset < 0))
        abort();
    query_accept(text);
    query_request_id_ok(text);
    auth_bearer(text, &len);
    auth_subprotocol(text, &len);
    auth_offers_first(text, "berth.v1");
    if (address_parse(text, &address, NULL) == 0 && (address.port < 1 || address.port > ADDRESS_PORT_MAX))
        abort();
    const struct route *route = route_find(routes, ROUTE_GET, text, part, &allow);
    if (route && strstr(route->pattern, "{id}") && !id_valid(part))
        abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    AUTO_FREE char *text = mem_alloc(size + 1);
    memcpy(text, data, size);
    char *line = memchr(text, '\n', size);
    check_query(text, line ? (size_t)(line - text) : size);
    check_header(line ? line + 1 : text);
    return 0;
}
