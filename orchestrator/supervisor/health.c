/* health - what this host has that jobs need, for /readyz: the engine, as the probe and then the reaper see
 * it, and room in the state directory, which the parent looks at itself. The gateway, which can reach
 * neither, is told over its socket, so that it also knows while the database is away. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "orchestrator/supervisor/supervisor_private.h"

/* Below this nothing new is begun: what is left belongs to the ends of what runs. */
enum { STATE_ROOM_MIN_BYTES = 8 * 1024 * 1024, STATE_ROOM_MIN_FILES = 64 };

static void tell(const struct supervisor *s, enum health_part part) {
    const struct child *gateway = children_find_role(&s->children, CHILD_GATEWAY);
    const struct health *h = &s->health[part];
    struct control message = {.type = CONTROL_HEALTH, .part = part, .ok = h->ok, .detail = (char *)h->detail};
    struct err err = {0};
    if (!h->known || !gateway || gateway->state != CHILD_READY || gateway->fd < 0)
        return;
    if (control_send(gateway->fd, &message, &err) < 0)
        log_debug("the gateway was not told of this host's health", LERR(&err));
}

void health_tell(const struct supervisor *s) {
    for (unsigned i = 0; i < HEALTH_PART_COUNT; i++)
        tell(s, (enum health_part)i);
}

void health_set(struct supervisor *s, enum health_part part, bool ok, const char *detail) {
    struct health *h = &s->health[part];
    bool turned = !h->known || h->ok != ok;
    if (!turned && strcmp(h->detail, detail) == 0)
        return;
    if (turned && !ok)
        log_warn("a dependency of jobs is away; what runs goes on", LS("dependency", health_part_word(part)),
                 LS("error", detail));
    else if (turned && h->known)
        log_info("a dependency of jobs is back", LS("dependency", health_part_word(part)));
    h->known = true;
    h->ok = ok;
    snprintf(h->detail, sizeof h->detail, "%s", detail);
    tell(s, part);
    if (turned && ok)
        dispatch_kick(s);
}

/* A file system that does not tell its size is taken to have room. */
void health_look(struct supervisor *s) {
    struct statvfs fs;
    if (s->dispatch.directory_retry_ms) /* it was tried, and that counts for more */
        return;
    if (fstatvfs(s->state.attempts_fd, &fs) < 0) {
        health_set(s, HEALTH_STATE_DIR, false, strerror(errno));
        return;
    }
    bool no_room = fs.f_blocks > 0 && (uint64_t)fs.f_bavail * fs.f_frsize < STATE_ROOM_MIN_BYTES;
    bool no_files = fs.f_files > 0 && fs.f_favail < STATE_ROOM_MIN_FILES;
    const char *detail = fs.f_flag & ST_RDONLY ? "it can only be read from"
                         : no_room             ? "its disk is full"
                         : no_files            ? "its file system has no inodes left"
                                               : "";
    health_set(s, HEALTH_STATE_DIR, !*detail, detail);
}

int health_try_room(const struct supervisor *s, struct err *err) {
    static const char name[] = ".room"; /* no attempt's */
    if (mkdirat(s->state.attempts_fd, name, 0700) < 0 && errno != EEXIST)
        return err_sys(err, "make a directory");
    return unlinkat(s->state.attempts_fd, name, AT_REMOVEDIR) < 0 ? err_sys(err, "remove a directory") : 0;
}

bool health_has_room(const struct supervisor *s) {
    return s->health[HEALTH_STATE_DIR].ok;
}
