#include "proto/pulled.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/fdutil.h"
#include "base/lock.h"
#include "base/mem.h"
#include "proto/place.h"

#define ID_PREFIX "sha256:"

enum {
    READ_BYTES_MAX = 131072 /* several may add at once */,
    ID_DIGITS = 64,
    DIR_MODE = 0700,
    NOTE_MODE = 0600
};

int pulled_open(const char *state_dir, int *ret_fd, struct err *err) {
    AUTO_FREE char *path = mem_printf("%s/" PLACE_IMAGES, state_dir);
    return dir_make_open(path, DIR_MODE, ret_fd, err);
}

static bool is_digits(const char *text) {
    return strspn(text, "0123456789abcdef") == ID_DIGITS && text[ID_DIGITS] == '\0';
}

/* NULL: an id of another form, of which no note is kept. */
static const char *file_of(const char *id) {
    size_t len = sizeof ID_PREFIX - 1;
    return strncmp(id, ID_PREFIX, len) == 0 && is_digits(id + len) ? id + len : NULL;
}

/* Only whole lines: what was written by a runner that died is read up to there. */
static int read_refs(int fd, struct buf *refs, struct err *err) {
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_sys(err, "read the note of an image");
    if (fd_read_all(fd, refs, err) < 0)
        return -1;
    while (refs->len && refs->data[refs->len - 1] != '\n')
        refs->data[--refs->len] = '\0';
    return 0;
}

static bool has_line(const char *refs, const char *ref) {
    size_t len = strlen(ref);
    for (const char *line = refs; *line; line += strcspn(line, "\n") + 1)
        if (strncmp(line, ref, len) == 0 && line[len] == '\n')
            return true;
    return false;
}

static int add_ref(int fd, const char *ref, struct err *err) {
    AUTO_BUF struct buf refs = BUF(READ_BYTES_MAX);
    AUTO_FREE char *line = mem_printf("%s\n", ref);
    if (read_refs(fd, &refs, err) < 0)
        return -1;
    if (has_line(buf_str(&refs), ref) || refs.len + strlen(line) > PULLED_NOTE_BYTES_MAX)
        return 0;
    return fd_write_all(fd, line, strlen(line), err); /* in one call at the end: several may do so */
}

int pulled_hold(int dir_fd, const char *id, const char *ref, const struct ctx *ctx, int *ret_fd,
                struct err *err) {
    const char *file = file_of(id);
    struct stat st;
    *ret_fd = -1;
    if (!file)
        return 1;
    AUTO_FD int fd =
        openat(dir_fd, file, O_RDWR | O_APPEND | O_CLOEXEC | O_NOFOLLOW | (ref ? O_CREAT : 0), NOTE_MODE);
    if (fd < 0)
        return errno == ENOENT ? 1 : err_sys(err, "open the note of image %s", id);
    if (lock_wait_shared(fd, ctx, "wait for the image's removal", err) < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_nlink == 0)
        return 0;
    if (ref && add_ref(fd, ref, err) < 0)
        return -1;
    if (futimens(fd, NULL) < 0)
        return err_sys(err, "note the use of image %s", id);
    *ret_fd = STEAL_FD(fd);
    return 1;
}

static int64_t used_ns(const struct stat *st) {
    return st->st_mtim.tv_sec * NS_PER_S + st->st_mtim.tv_nsec;
}

/* False: it has just gone, or is nothing that was written here. */
static bool read_one(int dir_fd, const char *file, struct pulled *ret) {
    AUTO_FD int fd = openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    AUTO_BUF struct buf refs = BUF(READ_BYTES_MAX);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || read_refs(fd, &refs, NULL) < 0)
        return false;
    *ret = (struct pulled){
        .id = mem_printf(ID_PREFIX "%s", file), .refs = buf_steal(&refs), .used_ns = used_ns(&st)};
    return true;
}

int pulled_list(int dir_fd, struct pulled_list *ret, struct err *err) {
    AUTO_DIR DIR *dir = dir_open(dir_fd);
    if (!dir)
        return err_sys(err, "read the notes of images");
    struct pulled_list list = {.items = mem_alloc(PULLED_MAX * sizeof *list.items)};
    for (const struct dirent *e; list.count < PULLED_MAX && (e = readdir(dir));)
        if (is_digits(e->d_name) && read_one(dir_fd, e->d_name, &list.items[list.count]))
            list.count++;
    *ret = list;
    return 0;
}

void pulled_list_done(struct pulled_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].id);
        free(list->items[i].refs);
    }
    free(list->items);
    *list = (struct pulled_list){0};
}

int pulled_take(int dir_fd, const char *id, int64_t since_ns, int *ret_fd, struct err *err) {
    const char *file = file_of(id);
    AUTO_FD int fd = file ? openat(dir_fd, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;
    struct stat st;
    if (fd < 0)
        return err_sys(err, "open the note of image %s", id);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0 ||
        used_ns(&st) != since_ns)
        return err_set(err, ERR_AWAY, 0, "a job uses image %s", id);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

int pulled_forget(int dir_fd, const char *id, struct err *err) {
    const char *file = file_of(id);
    if (file && unlinkat(dir_fd, file, 0) < 0 && errno != ENOENT)
        return err_sys(err, "remove the note of image %s", id);
    return 0;
}
