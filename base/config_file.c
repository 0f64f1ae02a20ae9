#include <string.h>

#include "base/config_private.h"

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

static char *skip_blanks(char *p) {
    while (is_blank(*p))
        p++;
    return p;
}

static void trim_end(char *text) {
    size_t len = strlen(text);
    while (len && is_blank(text[len - 1]))
        len--;
    text[len] = '\0';
}

struct config_file config_file_begin(char *text, size_t len) {
    return (struct config_file){.next = text, .end = text + len};
}

/* A quote closes the value when nothing but a comment follows; those before it belong to the value. */
static int take_quoted(char *p, const char **ret_value, struct err *err) {
    for (char *quote = strchr(p + 1, '"'); quote; quote = strchr(quote + 1, '"')) {
        char *rest = skip_blanks(quote + 1);
        if (*rest && *rest != '#')
            continue;
        *quote = '\0';
        *ret_value = p + 1;
        return 0;
    }
    return err_set(err, ERR_INVALID, 0, "the value begins with a quote that is not closed");
}

static const char *take_plain(char *p) {
    for (char *hash = p; (hash = strchr(hash, '#')); hash++)
        if (hash == p || is_blank(hash[-1])) {
            *hash = '\0';
            break;
        }
    trim_end(p);
    return p;
}

static int take_line(char *p, struct config_line *ret_line, struct err *err) {
    struct config_line line = {.key = p};
    char *equals = strchr(p, '=');
    if (!equals || equals == p)
        return err_set(err, ERR_INVALID, 0, "not a line like `key = value`");
    *equals = '\0';
    trim_end(p);
    if (strpbrk(p, " \t\"#"))
        return err_set(err, ERR_INVALID, 0, "not a line like `key = value`");
    char *value = skip_blanks(equals + 1);
    if (*value != '"')
        line.value = take_plain(value);
    else if (take_quoted(value, &line.value, err) < 0)
        return -1;
    *ret_line = line;
    return 0;
}

static bool has_control(const char *text, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)text[i] < 0x20 && !is_blank(text[i])) || text[i] == 0x7f)
            return true;
    return false;
}

int config_file_next(struct config_file *file, struct config_line *ret_line, struct err *err) {
    while (file->next < file->end) {
        char *start = file->next;
        char *newline = memchr(start, '\n', (size_t)(file->end - start));
        char *stop = newline ? newline : file->end;
        file->next = stop + 1;
        file->line++;
        *stop = '\0';
        if (has_control(start, (size_t)(stop - start)))
            return err_set(err, ERR_INVALID, 0, "a control character in the line");
        char *p = skip_blanks(start);
        if (*p == '\0' || *p == '#')
            continue;
        return take_line(p, ret_line, err) < 0 ? -1 : 1;
    }
    return 0;
}

static bool has_comment(const char *value) {
    for (const char *hash = value; (hash = strchr(hash, '#')); hash++)
        if (hash == value || is_blank(hash[-1]))
            return true;
    return false;
}

int config_file_quote(struct buf *out, const char *value) {
    size_t len = strlen(value);
    bool plain =
        len && !is_blank(value[0]) && !is_blank(value[len - 1]) && value[0] != '"' && !has_comment(value);
    return plain ? buf_adds(out, value) : buf_addf(out, "\"%s\"", value);
}
