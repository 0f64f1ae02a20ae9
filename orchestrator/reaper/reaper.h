/* reaper - the role `berthd reaper` (proto/child.h). */
#ifndef BERTH_REAPER_H
#define BERTH_REAPER_H

#include <stdbool.h>

int reaper_main(void); /* the exit status */

struct settings;
/* `berthd reap`: one sweep now; dry_run only says what it would remove. Returns the exit status. */
int reap_command(const struct settings *settings, bool dry_run);

#endif
