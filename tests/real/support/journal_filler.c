#include "tests/real/support/journal_filler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/file_journal.h"
#include "io/journal_format.h"

struct journal_filler {
    struct loop *loop;
    struct file_journal *journal;
    uint64_t epoch; /* the highest of the Started records that it holds */
};

static bool on_replay(void *self, const void *record, size_t size, struct error *error)
{
    struct journal_filler *filler = self;
    (void)error;
    Journal__Record *read = journal__record__unpack(NULL, size, record);
    assert_non_null(read);
    if (read->body_case == JOURNAL__RECORD__BODY_STARTED && read->started->epoch > filler->epoch)
        filler->epoch = read->started->epoch;
    journal__record__free_unpacked(read, NULL);
    return true;
}

static void on_durable(void *self, uint64_t position)
{
    (void)self;
    (void)position;
}

struct journal_filler *journal_filler_open(const char *directory)
{
    struct journal_filler *filler = xcalloc(1, sizeof(*filler));
    struct file_journal_options options = {.directory = directory};
    struct file_journal_events events = {filler, on_replay, on_durable};
    struct error error;
    char text[1024];
    filler->loop = loop_new();
    filler->journal = file_journal_open(filler->loop, &options, &events, &error);
    if (!filler->journal)
        fail_msg("%s", error_format(&error, text, sizeof(text)));
    return filler;
}

void journal_filler_add(struct journal_filler *filler, const Journal__Record *record)
{
    static uint8_t bytes[LIMIT_RECORD_BYTES];
    const struct journal_port *port = file_journal_port(filler->journal);
    size_t size = journal__record__get_packed_size(record);
    assert_true(size <= sizeof(bytes));
    journal__record__pack(record, bytes);
    port->append(port->self, bytes, size, false);
}

void journal_filler_close(struct journal_filler *filler)
{
    file_journal_close(filler->journal);
    loop_free(filler->loop);
    free(filler);
}

/* Starts with a long name of the software are records that mean nothing and take room. */
void journal_fill(struct shop *shop)
{
    static char software[LIMIT_RECORD_BYTES - 256];
    char directory[128];
    uint64_t filled = 0;
    snprintf(directory, sizeof(directory), "%s/journal", shop->folder);
    struct journal_filler *filler = journal_filler_open(directory);
    memset(software, '-', sizeof(software) - 1);
    while (filled <= JOURNAL_SEGMENT_BYTES) {
        Journal__Record record = JOURNAL__RECORD__INIT;
        Journal__Started started = JOURNAL__STARTED__INIT;
        started.epoch = ++filler->epoch;
        started.cluster = (char *)"shop";
        started.coordinator = (char *)"c1";
        started.software = software;
        record.body_case = JOURNAL__RECORD__BODY_STARTED;
        record.started = &started;
        journal_filler_add(filler, &record);
        filled += sizeof(software);
    }
    journal_filler_close(filler);
}
