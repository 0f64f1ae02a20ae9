/*
 * message - what a viewer of a live log gets, one JSON object each; the same on WebSocket, SSE and ndjson.
 * contract.md, section 4. Written by the gateway, read by the client.
 *
 * {"type":"hello","job":"…","attempt":1,"status":"running","offset":0}
 * {"type":"log","offset":0,"ts":"…","stream":"stdout","text":"…"}  or "base64" where the bytes are not UTF-8
 *     stream: as proto/stream.h names it ("stdout", "stderr", "system", "service:db")
 * {"type":"gap","offset":4096,"bytes":1000000,"cause":"log_limit"|"lost"|"skipped"|"expired"}
 * {"type":"status","status":"running","reason":null,"attempt":1,"ts":"…"}
 * {"type":"attempt","attempt":2}
 * {"type":"end","offset":4096,"status":"succeeded","exit_code":0,"sha256":"…"}
 */
#ifndef BERTH_PROTO_MESSAGE_H
#define BERTH_PROTO_MESSAGE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum message_type {
    MESSAGE_HELLO,
    MESSAGE_LOG,
    MESSAGE_GAP,
    MESSAGE_STATUS,
    MESSAGE_ATTEMPT,
    MESSAGE_END,
    MESSAGE_TYPE_COUNT
};

#define MESSAGE_SUBPROTOCOL "berth.v1"

enum message_close {
    MESSAGE_CLOSE_END = 1000,
    MESSAGE_CLOSE_AWAY = 1001,
    MESSAGE_CLOSE_BAD = 4400,
    MESSAGE_CLOSE_UNAUTHORIZED = 4401,
    MESSAGE_CLOSE_FORBIDDEN = 4403,
    MESSAGE_CLOSE_NOT_FOUND = 4404,
    MESSAGE_CLOSE_SLOW = 4408,
    MESSAGE_CLOSE_MANY = 4429,
};

/* Appends one log message. `bytes` must begin at a character's border when they are UTF-8; the caller keeps
 * an incomplete character at the end back unless the stream ends there. -1: out's maximum. */
int message_put_log(struct buf *out, int64_t offset, int64_t time_us, const char *stream,
                    const unsigned char *bytes, size_t len);
int message_put_gap(struct buf *out, int64_t offset, int64_t bytes, const char *cause);

/* One decoded message; strings are borrowed from `doc`. */
struct message {
    enum message_type type;
    const char *job, *status, *reason, *stream, *cause, *sha256;
    int64_t attempt, offset, bytes, time_us;
    int exit_code;       /* -1: none */
    unsigned char *data; /* MESSAGE_LOG; owned */
    size_t data_len;
    json_t *doc; /* owned */
};
int message_parse(const char *text, size_t len, struct message *ret_message, struct err *err);
void message_done(struct message *message);

#endif
