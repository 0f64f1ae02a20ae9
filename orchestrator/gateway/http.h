/*
 * http - one request and its response.
 *
 * A request is owned by its connection and freed when the response is out or the connection is gone; a
 * handler runs once, when the body is there, and either responds at once or leaves a statement or a viewer
 * behind that does. Every response passes through here: http_respond, http_problem, or http_stream_begin for
 * one whose end is not known. libwebsockets' rule that one writes only when the socket takes it is kept here
 * and in ws.c, nowhere else.
 */
#ifndef BERTH_GATEWAY_HTTP_H
#define BERTH_GATEWAY_HTTP_H

#include <jansson.h>

#include "base/buf.h"
#include "orchestrator/gateway/gateway_private.h"
#include "orchestrator/gateway/hub.h"
#include "orchestrator/gateway/query.h"
#include "orchestrator/gateway/routes.h"

struct viewer;
struct opening;

enum {
    HTTP_BODY_MAX = 1024 * 1024,
    HTTP_DISCARD_MAX = 16 * 1024 * 1024, /* a refused body up to this is read, so that the answer arrives */
    HTTP_RESPONSE_MAX = 64 * 1024 * 1024,
    HTTP_WRITE_MAX = 65536, /* bytes in one write */
    HTTP_PATH_MAX = 1024,
    HTTP_HEADER_VALUE_MAX = 1024,
    HTTP_EXTRA_MAX = 2048, /* bytes of headers that a handler adds */
    HTTP_KEY_MAX = 255,    /* of an Idempotency-Key */
};

struct request {
    TAILQ_ENTRY(request) link; /* all there are */
    TAILQ_ENTRY(request) answered_link;
    struct gateway *gateway;
    struct lws *wsi;
    /* What was asked. */
    enum route_method method;
    bool head, http10;
    char path[HTTP_PATH_MAX];
    char id[ROUTE_PART_MAX]; /* of the path: a job's id, an orchestrator's name */
    char request_id[65];
    struct query query;
    const struct route *route;
    char content_type[128], accept[256], range[128], event_id[64];
    char key[HTTP_KEY_MAX + 1]; /* Idempotency-Key; "": none */
    int64_t body_expected;      /* bytes; -1: no Content-Length */
    bool dispatched;
    bool body_read; /* to its end */
    struct buf body;
    bool too_long; /* the body; told when all of it has come */
    /* What a handler keeps while it waits. */
    int64_t ticket; /* of its statement; 0: none */
    bool changes;   /* that statement, unlike one that only asks */
    json_t *known;  /* the answer as it would be without waiting, of a change that is done; NULL: none */
    sd_event_source *timer;
    db_done *on_silence; /* health: who is told when the database does not answer in time */
    struct viewer *viewer;
    struct opening *opening;
    struct hub_member waiter; /* log NULL: does not wait */
    void *state;              /* freed with free() */
    int64_t wait_ms;
    char job_id[ID_TEXT_MAX];
    int code_after_wait; /* the status of the response when the wait is over */
    /* The response. */
    int status; /* 0: none yet */
    struct buf extra, out;
    size_t out_pos;
    int64_t promised; /* bytes of a stream that Content-Length has told and that are still to come */
    bool close, streams, chunked, stream_ended;
    bool answer_waits;      /* none of it has been written */
    int64_t write_until_ns; /* CLOCK_BOOTTIME; the socket has to take more of it; 0: it has not been full */
    int64_t begun_ns;
};

/* Takes the request out of libwebsockets' headers and answers what can be answered at once. 0, or -1: hang
 * up. */
int http_begin(struct gateway *gateway, struct lws *wsi, const char *path, size_t path_len,
               struct request **ret);
/* Whether libwebsockets will look for a body behind these headers. */
bool http_has_body(struct lws *wsi);
/* All of it has been read: what follows belongs to the next one. */
bool http_is_whole(const struct request *request);
int http_body(struct request *request, const void *bytes, size_t len);
void http_body_done(struct request *request);
/* One whose answer is to be begun, or NULL. */
struct request *http_take_answered(void);
void http_answer_forget(struct request *request); /* it is taken, or ends before that */
/* The socket takes something. 1: go on; 0: the response is out and the request done; -1: hang up. */
int http_writable(struct request *request);
void http_free(struct request *request);

/* One more header of the response; before it is begun. */
void http_add_header(struct request *request, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void http_respond(struct request *request, int status, const char *type, const char *body, size_t len);
/* Takes over the document. */
void http_respond_json(struct request *request, int status, json_t *doc);
void http_problem(struct request *request, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void http_problem_faults(struct request *request, const struct spec_faults *faults);
/* A statement failed: the answer that is known already, else 503 when the database is away or cannot do it
 * now (trouble.h), else 500 and a line in the log. */
void http_problem_db(struct request *request, const struct err *err);

/* length -1: not known beforehand. Bytes then come from the request's viewer. */
void http_stream_begin(struct request *request, int status, const char *type, int64_t length);
void http_stream_wake(struct request *request);
/* Once a second: ends the requests that wait for something while their client has gone. */
void http_tick(void);

/* Reads the headers of a request that libwebsockets holds; "" when absent. False: longer than max. */
bool http_header(struct lws *wsi, enum lws_token_indexes token, char *out, size_t max);
int http_query(struct lws *wsi, struct query *query, struct err *err);

#endif
