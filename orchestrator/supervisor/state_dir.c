#include "orchestrator/supervisor/state_dir.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/id.h"
#include "base/mem.h"
#include "proto/place.h"

enum { LINE_MAX_BYTES = 1024, INIT_HASH_DIGITS = 12, HOST_NAME_MAX_BYTES = 63 };

/* One line of a small file, without its newline. 1: there; 0: no such file. */
static int read_line(int dir_fd, const char *name, char out[LINE_MAX_BYTES], struct err *err) {
    if (faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    AUTO_BUF struct buf text = BUF(LINE_MAX_BYTES - 1);
    if (file_read(dir_fd, name, LINE_MAX_BYTES - 1, &text, err) < 0)
        return -1;
    snprintf(out, LINE_MAX_BYTES, "%.*s", (int)strcspn(buf_str(&text), "\n"), buf_str(&text));
    return 1;
}

static int write_line(int dir_fd, const char *name, const char *line, mode_t mode, struct err *err) {
    AUTO_FREE char *text = mem_printf("%s\n", line);
    return file_write_atomic(dir_fd, name, text, strlen(text), mode, err);
}

/* Of the process, not of the open file (fcntl(2), F_SETLK): a child that has not executed its program yet, or
 * is still dying, would else hold a killed berthd's lock. Closing any descriptor of the file lets it go. */
static int take_lock(const char *path, struct state_dir *d, struct err *err) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0)
        return err_sys(err, "state directory %s cannot be written: lock", path);
    if (fcntl(d->lock_fd, F_SETLK, &whole) == 0)
        return 0;
    if (errno != EACCES && errno != EAGAIN)
        return err_sys(err, "lock state directory %s", path);
    return err_set(
        err, ERR_LIMIT, 0,
        "state directory %s is in use by another berthd; stop that one, or give this one a directory "
        "of its own with BERTH_STATE_DIR",
        path);
}

static int take_id(struct state_dir *d, struct err *err) {
    char line[LINE_MAX_BYTES];
    int found = read_line(d->fd, "id", line, err);
    if (found < 0)
        return -1;
    if (found && !id_valid(line))
        return err_set(err, ERR_INVALID, 0,
                       "the file id is not a UUID; put it back, or remove it if no job of this "
                       "directory is to be taken up again");
    if (!found) {
        id_new_v7(line);
        if (write_line(d->fd, "id", line, 0644, err) < 0)
            return -1;
    }
    snprintf(d->id, sizeof d->id, "%.*s", ATTEMPT_ID_MAX - 1, line);
    return 0;
}

static int find_home(struct state_dir *d, struct err *err) {
    char boot[CLOCK_BOOT_ID_MAX];
    struct stat st;
    if (clock_boot_id(boot, err) < 0)
        return -1;
    if (fstat(d->lock_fd, &st) < 0)
        return err_sys(err, "look at the file lock");
    snprintf(d->home, sizeof d->home, "%s/%llu", boot, (unsigned long long)st.st_ino);
    return 0;
}

static int make_parts(struct state_dir *d, struct err *err) {
    if ((mkdirat(d->fd, ATTEMPT_DIR, 0700) < 0 && errno != EEXIST) ||
        fchmodat(d->fd, ATTEMPT_DIR, 0700, 0) < 0)
        return err_sys(err, "make the directory " ATTEMPT_DIR);
    if ((mkdirat(d->fd, PLACE_BIN, 0755) < 0 && errno != EEXIST) || fchmodat(d->fd, PLACE_BIN, 0755, 0) < 0)
        return err_sys(err, "make the directory " PLACE_BIN);
    d->attempts_fd = openat(d->fd, ATTEMPT_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return d->attempts_fd < 0 ? err_sys(err, "open the directory " ATTEMPT_DIR) : 0;
}

static bool is_no_room(const struct err *err) {
    return err->kind == ERR_SYS && (err->code == ENOSPC || err->code == EDQUOT);
}

/* A full disk is no reason not to start: the jobs that run need somebody, and only new ones need room. */
static int check_writable(const struct state_dir *d, struct err *err) {
    struct err why = {0};
    if (write_line(d->fd, ".probe", "", 0600, &why) == 0)
        return unlinkat(d->fd, ".probe", 0) < 0 ? err_sys(err, "remove .probe") : 0;
    if (is_no_room(&why))
        return 0;
    if (err)
        *err = why;
    return -1;
}

static int open_all(const char *path, struct state_dir *d, struct err *err) {
    static const char remedy[] = "make it writable for this user, or name another one with BERTH_STATE_DIR";
    if (dir_make(path, 0755, err) < 0)
        return err_wrap(err, "state directory %s cannot be made (%s)", path, remedy);
    d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0)
        return err_sys(err, "state directory %s cannot be opened (%s)", path, remedy);
    if (check_writable(d, err) < 0)
        return err_wrap(err, "state directory %s cannot be written (%s)", path, remedy);
    if (take_lock(path, d, err) < 0)
        return -1;
    if (take_id(d, err) < 0 || find_home(d, err) < 0 || make_parts(d, err) < 0)
        return err_wrap(err, "state directory %s", path);
    return 0;
}

int state_dir_open(const char *path, struct state_dir *ret_dir, struct err *err) {
    struct state_dir d = STATE_DIR_NONE;
    if (open_all(path, &d, err) < 0) {
        state_dir_close(&d);
        return -1;
    }
    *ret_dir = d;
    return 0;
}

void state_dir_close(struct state_dir *dir) {
    cleanup_fd_p(&dir->attempts_fd);
    cleanup_fd_p(&dir->lock_fd);
    cleanup_fd_p(&dir->fd);
    *dir = STATE_DIR_NONE;
}

/* What a name may be made of, see settings.c. */
static void host_name(char out[LINE_MAX_BYTES]) {
    char host[LINE_MAX_BYTES] = "";
    if (gethostname(host, sizeof host - 1) < 0 || !isalnum((unsigned char)host[0]))
        snprintf(host, sizeof host, "berth");
    for (char *p = host; *p; p++)
        if (!isalnum((unsigned char)*p) && !strchr("._-", *p))
            *p = '-';
    snprintf(out, LINE_MAX_BYTES, "%.*s", HOST_NAME_MAX_BYTES, host);
}

int state_dir_instance(const struct state_dir *dir, char **ret_name, struct err *err) {
    char line[LINE_MAX_BYTES];
    int found = read_line(dir->fd, "instance", line, err);
    if (found == 0) {
        host_name(line);
        found = write_line(dir->fd, "instance", line, 0644, err);
    }
    if (found < 0)
        return err_wrap(err, "name of this orchestrator");
    if (!*line)
        return err_set(
            err, ERR_INVALID, 0,
            "the file instance in the state directory is empty; write this orchestrator's name into it");
    *ret_name = mem_strdup(line);
    return 0;
}

int state_dir_cgroup(const struct state_dir *dir, char **ret_cgroup, struct err *err) {
    char line[LINE_MAX_BYTES] = "";
    if (read_line(dir->fd, "cgroup", line, err) < 0)
        return err_wrap(err, "control group of the jobs");
    *ret_cgroup = mem_strdup(line);
    return 0;
}

int state_dir_keep_cgroup(const struct state_dir *dir, const char *cgroup, struct err *err) {
    return write_line(dir->fd, "cgroup", cgroup, 0644, err);
}

int state_dir_admin_token(const struct state_dir *dir, char **ret_token, bool *ret_new, struct err *err) {
    char line[LINE_MAX_BYTES];
    int found = read_line(dir->fd, "admin_token", line, err);
    if (found < 0)
        return err_wrap(err, "admin token");
    if (!found) {
        unsigned char bytes[STATE_TOKEN_BYTES];
        if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
            return err_sys(err, "make the admin token");
        size_t prefix = strlen(STATE_TOKEN_PREFIX);
        memcpy(line, STATE_TOKEN_PREFIX, prefix);
        sodium_bin2base64(line + prefix, sizeof line - prefix, bytes, sizeof bytes,
                          sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        if (write_line(dir->fd, "admin_token", line, 0600, err) < 0)
            return err_wrap(err, "keep the admin token");
    }
    if (!*line)
        return err_set(err, ERR_INVALID, 0,
                       "the file admin_token in the state directory is empty; remove it to get a new token");
    *ret_token = mem_strdup(line);
    *ret_new = !found;
    explicit_bzero(line, sizeof line);
    return 0;
}

/* Where there is no room for a note there is none, and the reaper leaves all copies alone. */
static int note_init(const struct state_dir *dir, const char *name, struct err *err) {
    char noted[LINE_MAX_BYTES];
    struct err why = {0};
    if (read_line(dir->fd, PLACE_INIT_NOTE, noted, NULL) > 0 && strcmp(noted, name) == 0)
        return 0;
    if (write_line(dir->fd, PLACE_INIT_NOTE, name, 0644, &why) == 0)
        return 0;
    if (is_no_room(&why) && (unlinkat(dir->fd, PLACE_INIT_NOTE, 0) == 0 || errno == ENOENT))
        return 0;
    if (err)
        *err = why;
    return -1;
}

int state_dir_copy_init(const struct state_dir *dir, const char *dir_path, const char *init_path,
                        char **ret_path, struct err *err) {
    AUTO_BUF struct buf content = BUF(STATE_INIT_MAX_BYTES);
    if (file_read(AT_FDCWD, init_path, STATE_INIT_MAX_BYTES, &content, err) < 0)
        return err_wrap(err, "berth-init (BERTH_INIT_PATH names another)");
    if (content.len < 4 || memcmp(content.data, "\177ELF", 4) != 0)
        return err_set(err, ERR_INVALID, 0,
                       "berth-init at %s is no program; name the right file with BERTH_INIT_PATH", init_path);
    unsigned char hash[crypto_hash_sha256_BYTES];
    char hex[2 * sizeof hash + 1];
    crypto_hash_sha256(hash, (const unsigned char *)content.data, content.len);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    AUTO_FREE char *name = mem_printf(PLACE_BIN "/" PLACE_INIT_PREFIX "%.*s", INIT_HASH_DIGITS, hex);
    struct stat st;
    /* Before the copy: the reaper removes copies that are neither used nor noted. */
    if (note_init(dir, name + sizeof PLACE_BIN, err) < 0)
        return err_wrap(err, "note which berth-init is used");
    bool there = fstatat(dir->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
                 st.st_size == (off_t)content.len && (st.st_mode & 0777) == 0755;
    if (!there && file_write_atomic(dir->fd, name, content.data, content.len, 0755, err) < 0)
        return err_wrap(err, "copy berth-init into the state directory");
    *ret_path = mem_printf("%s/%s", dir_path, name);
    return 0;
}
