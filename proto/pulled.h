/*
 * pulled - which images Berth has pulled onto this host's engine, and when a job last used each: only these
 * may the reaper ever remove.
 *
 * <state>/images/<64 hex digits of the image's id>: the references by which Berth has pulled it, a line each;
 * the time when the file was last written is that of its last use. Runners hold its lock together for as long
 * as they live; the reaper takes it alone before it removes the image, and then the file. So a runner that
 * has the lock keeps its image, and one that finds the file removed under its lock looks for the image again.
 * An image that was there before Berth pulled it has no file. (A runner that dies between a pull and its note
 * leaves an image that nobody removes.)
 */
#ifndef BERTH_PROTO_PULLED_H
#define BERTH_PROTO_PULLED_H

#include <stddef.h>
#include <stdint.h>

#include "base/cleanup.h"
#include "base/ctx.h"

enum {
    PULLED_MAX = 4096,             /* images that are looked at */
    PULLED_NOTE_BYTES_MAX = 65536, /* of references of one image; more are not noted */
};

/* <state_dir>/images, made where it is missing. *ret_fd is the caller's. */
int pulled_open(const char *state_dir, int *ret_fd, struct err *err);

/* A job uses the image. ref: it came by this one just now, and Berth may remove it later; NULL: it was there.
 * 1: nobody removes it while *ret_fd is open (-1: it is not Berth's to remove); 0: it was just removed.
 * ERR_SYS; ERR_CANCELED, ERR_DEADLINE. */
int pulled_hold(int dir_fd, const char *id, const char *ref, const struct ctx *ctx, int *ret_fd,
                struct err *err);

struct pulled {
    char *id;        /* "sha256:…" */
    char *refs;      /* each with a newline behind it */
    int64_t used_ns; /* since 1970 */
};
struct pulled_list {
    struct pulled *items;
    size_t count;
};
int pulled_list(int dir_fd, struct pulled_list *ret, struct err *err);
void pulled_list_done(struct pulled_list *list);
#define AUTO_PULLED_LIST CLEANUP(pulled_list_done)

/* For removing the image: nobody uses it, nor has since used_ns. ERR_AWAY: somebody does. *ret_fd keeps the
 * lock. */
int pulled_take(int dir_fd, const char *id, int64_t used_ns, int *ret_fd, struct err *err);
/* The image is gone. Under that lock. */
int pulled_forget(int dir_fd, const char *id, struct err *err);

#endif
