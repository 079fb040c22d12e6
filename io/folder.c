#include "io/folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/check.h"
#include "core/map.h"
#include "io/log.h"

enum {
    /* An editor writes in several steps. */
    CALM_MS = 200,
    LOOK_MS = 2000,
};

/* ---- reading ------------------------------------------------------------------------------- */

static int is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot &&
           (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

static void free_entries(struct dirent **entries, int count)
{
    for (int i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
}

static char *join(const char *folder, const char *name)
{
    bool slash = folder[0] && folder[strlen(folder) - 1] == '/';
    return xasprintf("%s%s%s", folder, slash ? "" : "/", name);
}

/* One that is gone by now is none. */
static bool read_file(char *path, size_t most, struct folder_files *files, struct error *error)
{
    FILE *file = fopen(path, "re");
    if (!file && errno == ENOENT)
        return true;
    struct folder_file *read = &files->items[files->count];
    read->text = xmalloc(most + 2);
    read->size = file ? fread(read->text, 1, most + 1, file) : 0;
    bool good = file && !ferror(file);
    if (!good)
        error_set(error, ERROR_USAGE, "%s: can't be read: %s", path, strerror(errno));
    if (file)
        fclose(file);
    if (!good) {
        free(read->text);
        return false;
    }
    read->text = xrealloc(read->text, read->size + 1);
    read->text[read->size] = '\0';
    read->path = xstrdup(path);
    files->count++;
    return true;
}

bool folder_read(const char *path, size_t most, struct folder_files *files, struct error *error)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_yaml, alphasort);
    *files = (struct folder_files){0};
    if (count < 0)
        return error_set(error, ERROR_USAGE, "%s: can't be read: %s", path, strerror(errno));
    files->items = xcalloc((size_t)count + 1, sizeof(*files->items));
    bool good = true;
    for (int i = 0; i < count && good; i++) {
        char *name = join(path, entries[i]->d_name);
        good = read_file(name, most, files, error);
        free(name);
    }
    free_entries(entries, count);
    if (!good)
        folder_files_fini(files);
    return good;
}

void folder_files_fini(struct folder_files *files)
{
    for (int i = 0; i < files->count; i++) {
        free(files->items[i].path);
        free(files->items[i].text);
    }
    free(files->items);
    *files = (struct folder_files){0};
}

/* ---- watching ------------------------------------------------------------------------------ */

struct folder {
    char *path;
    size_t most;
    struct folder_events events;
    uv_fs_event_t notice;
    uv_timer_t timer;
    bool noticing;
    dev_t device; /* of the folder that is watched; another may have taken its name */
    ino_t number;
    uint64_t sight; /* of what was read last; 0: nothing was */
    bool lost;      /* it can't be read, and the log says so */
    int open;       /* handles */
};

/* What the names, sizes and times of the files come to. False: the folder is not there. */
static bool look(const struct folder *folder, uint64_t *sight)
{
    struct dirent **entries;
    int count = scandir(folder->path, &entries, is_yaml, alphasort);
    uint64_t sum = 1;
    for (int i = 0; i < count; i++) {
        char *path = join(folder->path, entries[i]->d_name);
        struct stat facts;
        if (stat(path, &facts) == 0) {
            uint64_t words[] = {sum,
                                hash_bytes(path, strlen(path)),
                                (uint64_t)facts.st_ino,
                                (uint64_t)facts.st_size,
                                (uint64_t)facts.st_mtim.tv_sec,
                                (uint64_t)facts.st_mtim.tv_nsec,
                                (uint64_t)facts.st_ctim.tv_sec,
                                (uint64_t)facts.st_ctim.tv_nsec};
            sum = hash_bytes(words, sizeof(words)) | 1;
        }
        free(path);
    }
    if (count >= 0)
        free_entries(entries, count);
    *sight = sum;
    return count >= 0;
}

static void lose(struct folder *folder, const struct error *error)
{
    if (!folder->lost)
        log_write(LOG_ERROR, "%s; what was read before stays", error->message);
    folder->lost = true;
    folder->sight = 0;
}

static void read_again(struct folder *folder)
{
    struct folder_files files;
    struct error error = {0};
    uint64_t sight;
    /* Before it is read: what changes meanwhile is read next time. */
    if (look(folder, &sight) && sight == folder->sight)
        return;
    if (!folder_read(folder->path, folder->most, &files, &error)) {
        lose(folder, &error);
        return;
    }
    folder->lost = false;
    folder->sight = sight;
    folder->events.changed(folder->events.self, &files);
    folder_files_fini(&files);
}

static void noticed(uv_fs_event_t *notice, const char *name, int events, int status)
{
    struct folder *folder = notice->data;
    (void)name;
    (void)events;
    (void)status;
    CHECK(uv_timer_start(&folder->timer, folder->timer.timer_cb, CALM_MS, LOOK_MS) == 0);
}

/* The name may belong to another folder by now, or to none. */
static void renew_notice(struct folder *folder)
{
    struct stat facts;
    bool there = stat(folder->path, &facts) == 0;
    if (folder->noticing && there && facts.st_dev == folder->device &&
        facts.st_ino == folder->number)
        return;
    if (folder->noticing)
        uv_fs_event_stop(&folder->notice);
    folder->noticing = there && uv_fs_event_start(&folder->notice, noticed, folder->path, 0) == 0;
    folder->device = there ? facts.st_dev : 0;
    folder->number = there ? facts.st_ino : 0;
}

static void ticked(uv_timer_t *timer)
{
    struct folder *folder = timer->data;
    renew_notice(folder);
    read_again(folder);
}

struct folder *folder_watch(struct loop *loop, const char *path, size_t most,
                            const struct folder_events *events)
{
    struct folder *folder = xcalloc(1, sizeof(*folder));
    folder->path = xstrdup(path);
    folder->most = most;
    folder->events = *events;
    CHECK(uv_fs_event_init(loop_uv(loop), &folder->notice) == 0);
    CHECK(uv_timer_init(loop_uv(loop), &folder->timer) == 0);
    folder->open = 2;
    folder->notice.data = folder->timer.data = folder;
    CHECK(uv_timer_start(&folder->timer, ticked, LOOK_MS, LOOK_MS) == 0);
    ticked(&folder->timer);
    return folder;
}

static void closed(uv_handle_t *handle)
{
    struct folder *folder = handle->data;
    if (--folder->open > 0)
        return;
    free(folder->path);
    free(folder);
}

void folder_free(struct folder *folder)
{
    if (!folder)
        return;
    uv_close((uv_handle_t *)&folder->notice, closed);
    uv_close((uv_handle_t *)&folder->timer, closed);
}
