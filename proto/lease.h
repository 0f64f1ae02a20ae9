/*
 * lease - the file "lease" in the state directory: until when the orchestrator's lease surely holds. The
 * parent writes it, runners read it before they start a container (docs/adr/0012).
 *
 * One line, "<boot id> <CLOCK_BOOTTIME in ms>\n", always of the same length and written with one write(2), so
 * that a reader sees the old or the new one.
 */
#ifndef BERTH_PROTO_LEASE_H
#define BERTH_PROTO_LEASE_H

#include <stdint.h>

#include "base/err.h"

#define LEASE_FILE "lease"
enum { LEASE_MODE = 0600, LEASE_TEXT_MAX = 64 };

int lease_write(int fd, const char *boot_id, int64_t until_ms, struct err *err);
/* CLOCK_BOOTTIME in ms; 0 for one of another boot, or for what is no lease. */
int64_t lease_read(int fd, const char *boot_id);

#endif
