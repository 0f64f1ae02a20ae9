/*
 * child - the contract between the parent and every child process.
 *
 * Descriptor CHILD_FD is a SOCK_SEQPACKET socket to the parent; stdin is /dev/null, stdout and stderr are the
 * parent's; nothing else is inherited. End of file on it: the parent is gone, end at once (containers stay).
 * One datagram is one message, a JSON object with "type" (proto/control.h). The first message from the parent
 * is always `config`; the child answers `ready` when it does its work. A child that ends before `ready` is
 * started again with back-off, one that ends later at once, one that ends with CHILD_EXIT_NEVER not at all.
 */
#ifndef BERTH_PROTO_CHILD_H
#define BERTH_PROTO_CHILD_H

enum {
    CHILD_FD = 3,
    CHILD_EXIT_DONE = 0,
    CHILD_EXIT_NEVER = 64, /* EX_USAGE: wrong settings; starting it again would not help */
    CHILD_EXIT_AWAY = 69,  /* EX_UNAVAILABLE: a dependency that is needed at start is away */
    CHILD_EXIT_BUG = 70,   /* EX_SOFTWARE */
    CHILD_EXIT_AGAIN = 75, /* EX_TEMPFAIL */
    CHILD_MESSAGE_MAX = 65536,
};

#endif
