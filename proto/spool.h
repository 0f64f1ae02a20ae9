/*
 * spool - what berth-init writes down while a job runs: one append-only file of records.
 *
 * berth-init (libc only) writes it with spool_put_header(); the scribe reads it with spool_next(); the
 * runner reads only its last record, with spool_read_end(). The job itself can scribble on its own spool, so
 * a reader trusts nothing in it: every length is bounded, every header carries its own check, and bytes that
 * are no record are skipped and counted, never followed.
 *
 * Layout of a record, little-endian, SPOOL_HEADER_BYTES and then `len` bytes of payload:
 *   u8  magic (SPOOL_MAGIC)   u8 type (enum spool_type)   u8 stream (enum spool_stream)   u8 zero
 *   u32 len                   u64 time_us (wall clock)     u32 check (FNV-1a of the 16 bytes before it)
 *
 * Raw position = offset in this file. The END record is always the last one, and of fixed size.
 * This header and spool.c use libc only, because berth-init links them.
 */
#ifndef BERTH_PROTO_SPOOL_H
#define BERTH_PROTO_SPOOL_H

#include <stddef.h>
#include <stdint.h>

enum {
    SPOOL_MAGIC = 0xB7,
    SPOOL_HEADER_BYTES = 20,
    SPOOL_PAYLOAD_MAX = 65536, /* bytes of output in one record */
};

enum spool_type {
    SPOOL_OUTPUT = 1,      /* payload: bytes as the job wrote them */
    SPOOL_STARTED = 2,     /* the command was executed; payload: struct spool_started */
    SPOOL_SIGNAL = 3,      /* init received a signal and passed it on; payload: struct spool_signal */
    SPOOL_EXEC_FAILED = 4, /* the command could not be executed; payload: struct spool_exec_failed, then the
                              path tried; END follows with status as a shell would give (127, 126) */
    SPOOL_END = 5,         /* payload: struct spool_end; nothing follows */
    SPOOL_LOST = 6, /* output that is missing here, of the header's stream; payload: struct spool_lost */
};

enum spool_stream {
    SPOOL_STDOUT = 1,
    SPOOL_STDERR = 2,
    SPOOL_SYSTEM = 3, /* words of the runner, in its own spool */
};

/* Payloads are stored as these structs are laid out on x86-64 and arm64 (little-endian, naturally aligned).
 */
struct spool_started {
    int32_t pid;
    int32_t zero;
};
struct spool_signal {
    int32_t signal;
    int32_t sender_pid; /* 0: from outside the container */
};
struct spool_exec_failed {
    int32_t error; /* errno of execve */
    int32_t zero;
};

struct spool_lost {
    int64_t bytes; /* 1 or more */
    int32_t error; /* errno of why they could not be written */
    int32_t zero;
};

enum { SPOOL_UNKNOWN = -1 };

/* How the job ended, and what the container's own cgroup counted. SPOOL_UNKNOWN where the kernel's file could
 * not be read. */
struct spool_end {
    int32_t wait_status;  /* as wait(2) gave it for the command, or 127 << 8, 126 << 8 when it never ran */
    int32_t exec_errno;   /* 0: the command was executed */
    int64_t output_bytes; /* sum of the payloads of all SPOOL_OUTPUT records */
    int64_t cpu_us;       /* user + system of the whole container */
    int64_t memory_peak_bytes;
    int64_t pids_peak;
    int64_t oom_kills; /* processes that the kernel killed in this container for memory */
    int64_t throttled_us;
    int32_t signal_outside; /* the last signal from outside of the container that was passed on; 0: none */
    int32_t zero;
};

struct spool_header {
    enum spool_type type;
    enum spool_stream stream; /* SPOOL_OUTPUT and SPOOL_LOST only */
    uint32_t len;
    uint64_t time_us;
};

/* Encodes a header; the caller writes it together with its payload in one writev(2). */
void spool_put_header(unsigned char out[SPOOL_HEADER_BYTES], const struct spool_header *header);

enum spool_next {
    SPOOL_RECORD,  /* a whole record: header and payload are set */
    SPOOL_PARTIAL, /* the bytes may be the beginning of a record: come back with more of them */
    SPOOL_GARBAGE, /* *ret_used bytes are no record and must be skipped (and told as lost) */
};

/* Looks at the front of bytes[0..len). On SPOOL_RECORD, *ret_payload points into bytes and *ret_used is the
 * record's length. On SPOOL_PARTIAL *ret_used is 0. On SPOOL_GARBAGE *ret_used >= 1: up to the next byte at
 * which a record could begin. */
enum spool_next spool_next(const unsigned char *bytes, size_t len, struct spool_header *ret_header,
                           const unsigned char **ret_payload, size_t *ret_used);

/* Whether a record's header stands here; its payload need not be there. For who goes over records unread. */
int spool_get_header(const unsigned char bytes[SPOOL_HEADER_BYTES], struct spool_header *ret_header);

/* Reads the END record at the end of the file, and when it was written, unless that is NULL. 1: it is there;
 * 0: not (yet); -1: errno. */
int spool_read_end(int fd, struct spool_end *ret_end, uint64_t *ret_time_us);

#endif
