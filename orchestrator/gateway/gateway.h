/* gateway - the role `berthd gateway` (proto/child.h). */
#ifndef BERTH_GATEWAY_H
#define BERTH_GATEWAY_H

int gateway_main(void); /* the exit status */

#endif
