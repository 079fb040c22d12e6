#include "cli/given.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/print.h"
#include "core/check.h"
#include "core/limits.h"

bool key_check(const char *key, struct error *error)
{
    size_t size = strlen(key);
    if (size == 0 || size > LIMIT_KEY_BYTES)
        return error_set(error, ERROR_USAGE, "key: has %zu bytes; 1 to %d are allowed", size,
                         LIMIT_KEY_BYTES);
    for (const char *at = key; *at;) {
        uint32_t point = 0;
        int bytes = utf8_next(at, &point);
        if (bytes == 0 || point < 0x20 || point == 0x7f)
            return error_set(error, ERROR_USAGE,
                             "key: byte %zu is a control character or not UTF-8",
                             (size_t)(at - key) + 1);
        at += bytes;
    }
    return true;
}

char *json_without_spaces(const char *json, size_t size)
{
    char *out = xmalloc(size + 1), *to = out;
    bool in_string = false;
    for (size_t i = 0; i < size; i++) {
        if (!in_string && strchr(" \t\r\n", json[i]))
            continue;
        *to++ = json[i];
        if (json[i] == '"')
            in_string = !in_string;
        else if (in_string && json[i] == '\\')
            *to++ = json[++i];
    }
    *to = '\0';
    return out;
}

static struct yaml *load_stdin(struct error *error)
{
    char *text = xmalloc(LIMIT_FILE_BYTES + 1);
    size_t size = 0;
    struct yaml *yaml = NULL;
    for (;;) {
        ssize_t got = read(STDIN_FILENO, text + size, LIMIT_FILE_BYTES + 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got > 0)
            size += (size_t)got;
        if (got < 0)
            error_set(error, ERROR_USAGE, "stdin can't be read: %s", strerror(errno));
        else if (got == 0 || size > LIMIT_FILE_BYTES)
            yaml = yaml_load_text("stdin", text, size, error);
        else
            continue;
        free(text);
        return yaml;
    }
}

struct yaml *file_or_stdin(const char *path, struct error *error)
{
    return strcmp(path, "-") == 0 ? load_stdin(error) : yaml_load(path, error);
}
