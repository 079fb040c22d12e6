#include "cli/offline.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "cli/print.h"
#include "cli/progress.h"
#include "coordinator/views.h"
#include "core/check.h"
#include "io/file_journal.h"
#include "journal.pb-c.h"
#include "saga/definition.h"

struct offline {
    struct offline_facts facts;
    const char *directory;
    struct server *server; /* NULL until the first record has said whose journal it is */
    struct error error;    /* of a record that makes no sense */
    struct progress progress;
};

/* ---- ports to nowhere --------------------------------------------------------------------- */

static uint64_t now_us(void *self)
{
    (void)self;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static int64_t wall_us(void *self)
{
    (void)self;
    return wall_now_us();
}

static void random_bytes(void *self, void *buffer, size_t size)
{
    (void)self;
    CHECK(getrandom(buffer, size, 0) == (ssize_t)size);
}

static void no_log(void *self, enum log_level level, const char *line)
{
    (void)self, (void)level, (void)line;
}

static bool no_send(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)self, (void)route, (void)frame, (void)size;
    return false;
}

static struct saga_plan *load_plan(void *self, const char *file, const char *text, size_t size,
                                   struct error *error)
{
    (void)self;
    return saga_definition_load(file, text, size, error);
}

static void free_plan(void *self, struct saga_plan *plan)
{
    (void)self;
    saga_plan_free(plan);
}

static struct server *make_server(const struct offline_facts *facts)
{
    static const struct host_port host = {NULL, now_us, wall_us, random_bytes, no_log};
    static const struct link_port link = {NULL, no_send, NULL};
    const struct server_config config = {.cluster = facts->cluster,
                                         .coordinator = facts->coordinator,
                                         .transaction_timeout_us = 30 * 1000 * 1000,
                                         .heartbeat_us = 500 * 1000,
                                         .retain_us = UINT64_MAX, /* nothing is forgotten here */
                                         .loader = {NULL, load_plan, free_plan}};
    return server_new(&config, &host, &link);
}

/* ---- reading ------------------------------------------------------------------------------ */

/* 0: it does not say. */
static int64_t time_of(const Journal__Record *record)
{
    switch (record->body_case) {
    case JOURNAL__RECORD__BODY_STARTED:
        return record->started->at_us;
    case JOURNAL__RECORD__BODY_COMMITTED:
        return record->committed->at_us;
    case JOURNAL__RECORD__BODY_ENDED:
        return record->ended->at_us;
    case JOURNAL__RECORD__BODY_HAZARD:
        return record->hazard->at_us;
    case JOURNAL__RECORD__BODY_STOPPED:
        return record->stopped->at_us;
    case JOURNAL__RECORD__BODY_PROPOSED:
        return record->proposed->proposal ? record->proposed->proposal->begun_us : 0;
    case JOURNAL__RECORD__BODY_DECIDED:
        return record->decided->at_us;
    case JOURNAL__RECORD__BODY_HEURISTIC:
        return record->heuristic->at_us;
    case JOURNAL__RECORD__BODY_FORGOTTEN:
        return record->forgotten->at_us;
    case JOURNAL__RECORD__BODY_SAGA_BEGAN:
        return record->saga_began->at_us;
    case JOURNAL__RECORD__BODY_SAGA_EVENT:
        return record->saga_event->at_us;
    default:
        return 0;
    }
}

/* The first record of every journal, and of every checkpoint. */
static bool begin(struct offline *offline, const Journal__Record *record)
{
    const Journal__Started *started = record->started;
    if (record->body_case != JOURNAL__RECORD__BODY_STARTED || !name_valid(started->cluster) ||
        !name_valid(started->coordinator)) {
        error_set(&offline->error, ERROR_CORRUPT, "the journal does not say whose it is");
        return error_hint(&offline->error, "look at it with `troth journal dump %s`",
                          offline->directory);
    }
    snprintf(offline->facts.cluster, sizeof(offline->facts.cluster), "%s", started->cluster);
    snprintf(offline->facts.coordinator, sizeof(offline->facts.coordinator), "%s",
             started->coordinator);
    offline->server = make_server(&offline->facts);
    return true;
}

static void name_place(struct offline *offline, const struct journal_visit *visit)
{
    struct error *error = &offline->error;
    char *detail =
        xasprintf("%s%sin %s/%s, the frame at offset %" PRIu64, error->detail,
                  *error->detail ? "; " : "", offline->directory, visit->file, visit->offset);
    error_detail(error, "%s", detail);
    free(detail);
}

static bool replay(void *self, const struct journal_visit *visit)
{
    struct offline *offline = self;
    progress_journal(&offline->progress, offline->directory, visit);
    Journal__Record *record = journal__record__unpack(NULL, visit->size, visit->record);
    Journal__Record none = JOURNAL__RECORD__INIT;
    bool fine = offline->server || begin(offline, record ? record : &none);
    if (fine)
        fine = server_replay(offline->server, visit->record, visit->size, &offline->error);
    if (fine && time_of(record) > 0)
        offline->facts.as_of_us = time_of(record);
    if (!fine)
        name_place(offline, visit);
    if (record)
        journal__record__free_unpacked(record, NULL);
    return fine;
}

/* Whether somebody has its lock, without trying for it: a coordinator that starts at this moment
 * would find it taken. */
static bool is_locked(const char *directory)
{
    char *path = xasprintf("%s/lock", directory), wanted[80], line[256];
    struct stat facts;
    bool found = false;
    FILE *locks = stat(path, &facts) == 0 ? fopen("/proc/locks", "re") : NULL;
    free(path);
    if (!locks)
        return false;
    snprintf(wanted, sizeof(wanted), " %02x:%02x:%" PRIu64 " ", major(facts.st_dev),
             minor(facts.st_dev), (uint64_t)facts.st_ino);
    while (!found && fgets(line, sizeof(line), locks))
        found = strstr(line, "FLOCK") && strstr(line, wanted);
    fclose(locks);
    return found;
}

struct offline *offline_open(const char *directory, struct error *error)
{
    struct offline *offline = xcalloc(1, sizeof(*offline));
    struct error reading = {0};
    offline->directory = directory;
    offline->facts.in_use = is_locked(directory);
    progress_begin(&offline->progress, "reading the journal");
    bool whole = journal_read(directory, replay, offline, NULL, &reading);
    progress_end(&offline->progress);
    if (offline->error.kind != ERROR_NONE)
        reading = offline->error;
    if (offline->server) {
        offline->facts.damage = reading;
        /* What the last run left out it never decided: that is known to the next run, and not when
         * there is something behind the damage. */
        if (reading.kind == ERROR_NONE)
            recovery_begin(&offline->server->recovery, wall_now_us());
        return offline;
    }
    if (whole && reading.kind == ERROR_NONE)
        error_set(&reading, ERROR_USAGE, "the journal in %s holds no record yet", directory);
    if (reading.kind == ERROR_CORRUPT)
        reading.kind = ERROR_IO; /* as with damage further on: the file is bad, not an outcome */
    if (error)
        *error = reading;
    offline_close(offline);
    return NULL;
}

void offline_close(struct offline *offline)
{
    server_free(offline->server);
    free(offline);
}

const struct offline_facts *offline_facts(const struct offline *offline)
{
    return &offline->facts;
}

/* The draft points into the server: the answer is copied through its bytes. */
Wire__Answer *offline_query(struct offline *offline, const Wire__Query *query)
{
    struct draft draft;
    server_answer_query(offline->server, query, &draft);
    size_t size = wire__answer__get_packed_size(&draft.answer);
    uint8_t *bytes = xmalloc(size + 1);
    wire__answer__pack(&draft.answer, bytes);
    Wire__Answer *answer = wire__answer__unpack(NULL, size, bytes);
    CHECK(answer != NULL);
    free(bytes);
    draft_fini(&draft);
    return answer;
}
