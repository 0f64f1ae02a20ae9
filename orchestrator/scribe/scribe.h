/* scribe - the role `berthd scribe` (proto/child.h). */
#ifndef BERTH_SCRIBE_H
#define BERTH_SCRIBE_H

int scribe_main(void); /* the exit status */

#endif
