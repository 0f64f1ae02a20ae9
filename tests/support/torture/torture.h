/*
 * torture - a library for LD_PRELOAD that lets one call of one process fail, once. For tests only; in the
 * manner of curl's torture tests.
 *
 * It stands before libc, libpq and libcurl in the program that TORTURE_ONLY names, whichever process starts
 * it, and before the libraries that this program uses. A site is a call with the stack that leads to it. What
 * is to be done stands in the file `order` of TORTURE_DIR, which is read when the process begins: "count"
 * writes every site that is met to the file `sites`; SITE:HOW, as `sites` has them, lets the call at that
 * site fail in this way, the first time that it is met by any process: the file `fired` is the mark. Without
 * an order nothing is done.
 *
 *   TORTURE_DIR    a directory of one run, which has to be there
 *   TORTURE_ONLY   how the command line of the process begins, its program without the directory: "berthd
 * scribe" TORTURE_DEPTH, TORTURE_LIBRARY_DEPTH  how many frames make a site: of the program's own, and of
 * libraries before the first of these
 *
 * A line of `sites`: SITE CALL HOW,HOW… FRAME FRAME…, with frames as MODULE+OFFSET, the innermost first.
 * Written at once, since a process may end in any way.
 *
 * Under AddressSanitizer it has to come before the sanitizer's runtime, or that one's malloc would be the
 * only one asked: LD_PRELOAD names this library alone, and ASAN_OPTIONS has verify_asan_link_order=0, which
 * only keeps the runtime from insisting on the first place. The sanitizer's own wrappers are found behind
 * this library's.
 *
 * One thread only, as all programs here.
 */
#ifndef BERTH_TESTS_TORTURE_H
#define BERTH_TESTS_TORTURE_H

#include <stdbool.h>
#include <stddef.h>

/* For each wrapper: how this call has to fail now; NULL: it must not. hows: the ways there are, with commas.
 */
const char *torture_now(const char *call, const char *hows);

/* Sets errno when `how` is the name of one. False: it is not, or NULL. */
bool torture_errno(const char *how);
bool torture_is(const char *how, const char *word);

/* Half of it, but something; for calls that may do less than they were told to. */
size_t torture_half(size_t len);

/* The wrapped function itself, behind this library. */
void *torture_real(const char *name);

#define REAL(name)                                                                                           \
    static __typeof__(&name) real;                                                                           \
    if (!real)                                                                                               \
    real = (__typeof__(&name))torture_real(#name)

#endif
