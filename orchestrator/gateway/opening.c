#include "orchestrator/gateway/opening.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "orchestrator/gateway/segments.h"

struct opening {
    struct gateway *gateway;
    struct logs_query query;
    struct hub_head head;
    int stream;             /* its number in this log */
    int64_t ticket, before; /* before: what lies from here on has been looked through */
    int64_t newlines;
    bool at_end; /* nothing of the stream was seen yet: a newline here ends the last line */
    opening_done *done;
    void *arg;
};

void opening_cancel(struct opening *opening) {
    if (!opening)
        return;
    if (opening->ticket > 0)
        db_async_forget(opening->gateway->db, opening->ticket);
    free(opening);
}

static void finish(struct opening *opening, const struct err *err, const struct hub_head *head,
                   int64_t cursor) {
    struct opening over = *opening;
    free(opening);
    over.done(over.arg, err, head ? &over.head : NULL, cursor);
}

/* One segment from its end to its begin; the offset behind the newline that is one too many, or -1. */
static int64_t tail_in_segment(const struct segment *segment, int64_t lines, int64_t *seen, bool *at_end) {
    for (int64_t i = segment->end - segment->start; i > 0; i--) {
        bool newline = segment->bytes[i - 1] == '\n', last = *at_end;
        *at_end = false;
        if (newline && !last && ++*seen == lines)
            return segment->start + i;
    }
    return -1;
}

int64_t opening_tail_in(const struct api_chunk *chunk, int stream, int64_t lines, int64_t *seen,
                        bool *at_end) {
    size_t max = chunk->segments_len / SEGMENT_BYTES + 1, count = 0;
    AUTO_FREE struct segment *segments = mem_alloc(max * sizeof *segments);
    struct segment segment = {0};
    for (int64_t at = chunk->offset; count < max && segment_at(chunk, at, &segment); at = segment.end)
        segments[count++] = segment;
    while (count-- > 0) {
        if (stream != STREAM_NONE && stream != segments[count].stream)
            continue;
        int64_t found = tail_in_segment(&segments[count], lines, seen, at_end);
        if (found >= 0)
            return found;
    }
    return -1;
}

static void look_back(struct opening *opening);

static void on_chunks(void *arg, const PGresult *result, const struct err *err) {
    struct opening *opening = arg;
    struct err why;
    int64_t found = -1;
    opening->ticket = 0;
    if (err) {
        finish(opening, err, NULL, 0);
        return;
    }
    int rows = PQntuples(result);
    for (int row = 0; row < rows && found < 0; row++) {
        struct api_chunk chunk;
        if (api_read_chunk(result, row, &chunk, &why) < 0) {
            finish(opening, &why, NULL, 0);
            return;
        }
        found = opening_tail_in(&chunk, opening->stream, opening->query.tail, &opening->newlines,
                                &opening->at_end);
        opening->before = chunk.offset;
        api_chunk_done(&chunk);
    }
    if (found < 0 && rows > 0)
        look_back(opening);
    else
        finish(opening, NULL, &opening->head, found < 0 ? 0 : found);
}

static void look_back(struct opening *opening) {
    struct err err;
    const char *day = *opening->head.created_on ? opening->head.created_on : NULL;
    opening->ticket = api_log_chunks(opening->gateway->db, opening->head.attempt_id, day, opening->before,
                                     true, on_chunks, opening, &err);
    if (opening->ticket < 0)
        finish(opening, &err, NULL, 0);
}

static void on_head(void *arg, const PGresult *result, const struct err *err) {
    struct opening *opening = arg;
    struct api_head head;
    opening->ticket = 0;
    if (err || PQntuples(result) == 0) {
        finish(opening, err, NULL, 0);
        return;
    }
    api_read_head(result, 0, &head);
    hub_head_copy(&head, &opening->head);
    bool to_come = head.number == 1 && head.attempt == 0;
    if (head.attempt_id == 0 && !to_come && opening->query.attempt > 0) {
        finish(opening, NULL, NULL, 0);
        return;
    }
    opening->before = head.log_bytes;
    opening->at_end = true;
    opening->stream = streams_find(opening->head.services, opening->query.stream);
    if (opening->query.tail > 0 && head.log_bytes > 0 && opening->stream != STREAMS_NO_SUCH)
        look_back(opening);
    else if (opening->query.tail >= 0)
        finish(opening, NULL, &opening->head, head.log_bytes);
    else
        finish(opening, NULL, &opening->head, opening->query.offset > 0 ? opening->query.offset : 0);
}

struct opening *opening_start(struct gateway *gateway, const char *job, const struct logs_query *query,
                              opening_done *done, void *arg, struct err *err) {
    struct opening *opening = mem_alloc(sizeof *opening);
    *opening = (struct opening){.gateway = gateway, .query = *query, .done = done, .arg = arg};
    opening->ticket = api_log_open(gateway->db, AUTH_TENANT, job, query->attempt, on_head, opening, err);
    if (opening->ticket < 0) {
        free(opening);
        return NULL;
    }
    return opening;
}
