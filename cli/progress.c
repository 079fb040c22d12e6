#include "cli/progress.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "io/journal_format.h"

enum {
    PATIENCE_US = 1000 * 1000,
    PAUSE_US = 100 * 1000,
    /* Looking at the clock costs more than a record. */
    CALLS_A_LOOK = 256,
    BAR_COLUMNS = 30,
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void progress_begin(struct progress *progress, const char *what)
{
    *progress = (struct progress){.what = what, .off = !isatty(STDERR_FILENO)};
    progress->due_us = now_us() + PATIENCE_US;
}

static void draw(const struct progress *progress, uint64_t done, uint64_t total)
{
    char bar[BAR_COLUMNS + 1];
    double share = total ? (double)done / (double)total : 0;
    share = share > 1 ? 1 : share;
    int full = (int)(share * BAR_COLUMNS);
    memset(bar, '#', (size_t)full);
    memset(bar + full, '.', (size_t)(BAR_COLUMNS - full));
    bar[BAR_COLUMNS] = '\0';
    fprintf(stderr, "\r%s [%s] %3d%%", progress->what, bar, (int)(share * 100));
    fflush(stderr);
}

void progress_at(struct progress *progress, uint64_t done, uint64_t total)
{
    if (progress->off || progress->calls++ % CALLS_A_LOOK)
        return;
    int64_t now = now_us();
    if (now < progress->due_us)
        return;
    draw(progress, done, total);
    progress->shown = true;
    progress->due_us = now + PAUSE_US;
}

static uint64_t bytes_of(int directory_fd, const char *name)
{
    struct stat facts;
    return fstatat(directory_fd, name, &facts, 0) == 0 ? (uint64_t)facts.st_size : 0;
}

/* The log begins with the first file that is visited: all from there on. */
static uint64_t bytes_from(const char *directory, const char *first)
{
    uint64_t total = 0;
    DIR *stream = opendir(directory);
    if (!stream)
        return 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        uint32_t number;
        bool new;
        if (journal_name_parse(entry->d_name, &number, &new) &&
            !new &&strcmp(entry->d_name, first) >= 0)
            total += bytes_of(dirfd(stream), entry->d_name);
    }
    closedir(stream);
    return total;
}

static void enter_file(struct progress *progress, const char *directory, const char *file)
{
    if (!progress->file[0])
        progress->total = bytes_from(directory, file);
    int fd = progress->file[0] ? open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        progress->before += bytes_of(fd, progress->file);
        close(fd);
    }
    snprintf(progress->file, sizeof(progress->file), "%s", file);
}

void progress_journal(struct progress *progress, const char *directory,
                      const struct journal_visit *visit)
{
    if (progress->off)
        return;
    if (strcmp(progress->file, visit->file) != 0)
        enter_file(progress, directory, visit->file);
    progress_at(progress, progress->before + visit->offset, progress->total);
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}
