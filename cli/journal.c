/* troth journal: reads a coordinator's journal from its files. Nothing is locked or changed, so it
 * may be a copy, or the one of a coordinator that runs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/arguments.h"
#include "cli/print.h"
#include "core/check.h"
#include "io/file_journal.h"
#include "journal.pb-c.h"

/* ---- one record as a line ----------------------------------------------------------------- */

/* Facts go out as they come: as words of a text line or as members of a JSON object. */
struct line {
    bool as_json;
    struct json_writer json;
};

static void put_text(struct line *line, const char *name, const char *text)
{
    if (line->as_json) {
        json_name(&line->json, name);
        json_string(&line->json, text);
        return;
    }
    printf(" %s ", name);
    print_escaped(stdout, *text ? text : "\"\"");
}

static void put_number(struct line *line, const char *name, uint64_t number)
{
    if (line->as_json) {
        json_name(&line->json, name);
        json_unsigned(&line->json, number);
    } else {
        printf(" %s %" PRIu64, name, number);
    }
}

static void put_time(struct line *line, const char *name, int64_t us)
{
    time_text text;
    if (line->as_json)
        json_time(&line->json, name, us);
    else if (us > 0)
        printf(" %s %s", name, time_format(text, us));
}

static void put_flag(struct line *line, const char *name, bool flag)
{
    if (line->as_json) {
        json_name(&line->json, name);
        json_boolean(&line->json, flag);
    } else if (flag) {
        printf(" %s", name);
    }
}

static void put_txid(struct line *line, uint64_t epoch, uint64_t seq)
{
    if (!line->as_json) {
        printf(" %" PRIu64 ".%" PRIu64, epoch, seq);
        return;
    }
    put_number(line, "epoch", epoch);
    put_number(line, "seq", seq);
}

static void put_branches(struct line *line, Journal__Branch **branches, size_t count)
{
    if (line->as_json) {
        json_name(&line->json, "branches");
        json_open(&line->json, '[');
    }
    for (size_t i = 0; i < count; i++) {
        const Journal__Branch *branch = branches[i];
        if (line->as_json) {
            json_open(&line->json, '{');
            put_text(line, "participant", branch->participant);
            put_number(line, "index", branch->index);
            put_number(line, "xid", branch->xid);
            put_flag(line, "applied", branch->applied);
            json_close(&line->json, '}');
        } else {
            fputs(i ? ", " : " branches ", stdout);
            print_escaped(stdout, branch->participant);
            printf(" #%" PRIu32 " xid %" PRIu64 "%s", branch->index, branch->xid,
                   branch->applied ? " applied" : "");
        }
    }
    if (line->as_json)
        json_close(&line->json, ']');
}

static void put_key(struct line *line, const Journal__Key *key)
{
    size_t size = key->fingerprint.len;
    char *hex = xmalloc(2 * size + 1);
    hex[0] = '\0';
    for (size_t i = 0; i < size; i++)
        sprintf(hex + 2 * i, "%02x", key->fingerprint.data[i]);
    put_text(line, "key", key->key);
    put_text(line, "fingerprint", hex);
    free(hex);
    put_flag(line, "results_dropped", key->results_dropped);
    if (!line->as_json) {
        put_number(line, "results", key->n_results);
        return;
    }
    json_name(&line->json, "results");
    json_open(&line->json, '[');
    for (size_t i = 0; i < key->n_results; i++)
        json_string(&line->json, key->results[i]);
    json_close(&line->json, ']');
}

static void put_retained(struct line *line, const Journal__Retained *retained)
{
    uint64_t count = 0, last = 0;
    for (size_t i = 0; i < 8 * retained->bits.len; i++) {
        if (retained->bits.data[i / 8] & 1u << i % 8) {
            count++;
            last = i;
        }
    }
    put_number(line, "epoch", retained->epoch);
    put_number(line, "first", retained->first);
    put_number(line, "last", count ? retained->first + last : retained->first);
    put_number(line, "count", count);
    put_time(line, "at", retained->last_us);
}

static void put_type(struct line *line, const char *type)
{
    if (!line->as_json) {
        printf(" %s", type);
        return;
    }
    json_name(&line->json, "type");
    json_string(&line->json, type);
}

static void put_committed(struct line *line, const Journal__Committed *committed)
{
    put_type(line, "committed");
    put_txid(line, committed->epoch, committed->seq);
    put_time(line, "at", committed->at_us);
    put_time(line, "begun", committed->begun_us);
    put_branches(line, committed->branches, committed->n_branches);
    if (committed->key)
        put_key(line, committed->key);
}

static void put_started(struct line *line, const Journal__Started *started)
{
    put_type(line, "started");
    put_number(line, "epoch", started->epoch);
    put_text(line, "cluster", started->cluster);
    put_text(line, "coordinator", started->coordinator);
    put_time(line, "at", started->at_us);
    put_text(line, "software", started->software);
}

static void put_hazard(struct line *line, const Journal__Hazard *hazard)
{
    put_type(line, "hazard");
    put_txid(line, hazard->epoch, hazard->seq);
    put_number(line, "branch", hazard->branch);
    put_time(line, "at", hazard->at_us);
    put_text(line, "reason", hazard->reason);
}

/* False: a record that this program does not know. */
static bool put_record(struct line *line, const Journal__Record *record)
{
    switch (record->body_case) {
    case JOURNAL__RECORD__BODY_STARTED:
        put_started(line, record->started);
        return true;
    case JOURNAL__RECORD__BODY_COMMITTED:
        put_committed(line, record->committed);
        return true;
    case JOURNAL__RECORD__BODY_ENDED:
        put_type(line, "ended");
        put_txid(line, record->ended->epoch, record->ended->seq);
        put_time(line, "at", record->ended->at_us);
        return true;
    case JOURNAL__RECORD__BODY_HAZARD:
        put_hazard(line, record->hazard);
        return true;
    case JOURNAL__RECORD__BODY_STOPPED:
        put_type(line, "stopped");
        put_time(line, "at", record->stopped->at_us);
        return true;
    case JOURNAL__RECORD__BODY_RETAINED:
        put_type(line, "retained");
        put_retained(line, record->retained);
        return true;
    case JOURNAL__RECORD__BODY_LOW_WATER:
        put_type(line, "low_water");
        put_txid(line, record->low_water->epoch, record->low_water->seq);
        return true;
    case JOURNAL__RECORD__BODY_KEY:
        put_type(line, "key");
        put_txid(line, record->key->epoch, record->key->seq);
        put_key(line, record->key);
        put_time(line, "at", record->key->at_us);
        return true;
    default:
        put_type(line, "unknown");
        return false;
    }
}

/* ---- journal dump ------------------------------------------------------------------------- */

struct dump {
    bool as_json;
    uint64_t unknown; /* records that can't be read */
};

static bool dump_record(void *self, const struct journal_visit *visit)
{
    struct dump *dump = self;
    struct line line = {.as_json = dump->as_json};
    Journal__Record *record = journal__record__unpack(NULL, visit->size, visit->record);
    if (line.as_json) {
        json_open(&line.json, '{');
        put_text(&line, "file", visit->file);
        put_number(&line, "offset", visit->offset);
        put_number(&line, "batch", visit->batch);
    } else {
        printf("%s:%" PRIu64 " batch %" PRIu64, visit->file, visit->offset, visit->batch);
    }
    Journal__Record none = JOURNAL__RECORD__INIT;
    if (!put_record(&line, record ? record : &none)) {
        put_number(&line, "bytes", visit->size);
        dump->unknown++;
    }
    if (record)
        journal__record__free_unpacked(record, NULL);
    if (line.as_json) {
        json_close(&line.json, '}');
        print_json(&line.json);
    } else {
        putchar('\n');
    }
    return !ferror(stdout);
}

static bool one_directory(const struct command *self, struct arguments *arguments, int *code)
{
    *code = EXIT_DONE;
    if (arguments->help)
        return false;
    if (arguments->word_count == 1)
        return true;
    *code = arguments_refuse(self, "%s needs one DIR, the journal.directory of trothd.yaml",
                             self->name);
    return false;
}

static int run_dump(const struct command *self, int argc, char **argv)
{
    int code;
    struct arguments arguments = {.command = self};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (!one_directory(self, &arguments, &code))
        return code;
    struct error error = {0};
    struct dump dump = {.as_json = arguments.options.json};
    struct journal_report report = {0};
    if (!journal_read(arguments.words[0], dump_record, &dump, &report, &error)) {
        print_error(&error); /* on stderr also with --json: the records stand on stdout */
        return exit_of(error.kind);
    }
    if (report.torn_tail)
        fprintf(stderr,
                "troth: torn tail in %s at offset %" PRIu64 "; what is before it is whole\n",
                report.torn_file, report.torn_offset);
    if (dump.unknown == 0)
        return EXIT_DONE;
    error_set(&error, ERROR_CORRUPT, "%" PRIu64 " records are unknown to this version",
              dump.unknown);
    error_hint(&error, "a newer trothd wrote them; use its troth");
    print_error(&error);
    return exit_of(error.kind);
}

const struct command journal_dump_command = {
    .name = "journal dump",
    .usage = "DIR",
    .summary = "print every record of a journal",
    .help = "Prints one record a line, in order: where it lies, its type and its contents.\n"
            "With --json each line is an object. Nothing is locked or changed, so DIR may be\n"
            "in use or a copy. Damage is told on stderr, after what can be read.\n"
            "\n"
            "Exit code: 0 done; 2 there is no journal in DIR; 5 damaged.\n"
            "\n"
            "Examples:\n"
            "  troth journal dump /var/lib/troth\n"
            "  troth journal dump --json /var/lib/troth | grep '\"type\":\"hazard\"'\n",
    .run = run_dump,
};

/* ---- journal verify ----------------------------------------------------------------------- */

struct verify {
    uint64_t unknown;
    char file[64]; /* of the first unknown record */
    uint64_t offset;
};

/* Frames carry a checksum; what is in them must also be a record. */
static bool verify_record(void *self, const struct journal_visit *visit)
{
    struct verify *verify = self;
    Journal__Record *record = journal__record__unpack(NULL, visit->size, visit->record);
    bool known = record && record->body_case != JOURNAL__RECORD__BODY__NOT_SET;
    if (!known && verify->unknown++ == 0) {
        snprintf(verify->file, sizeof(verify->file), "%s", visit->file);
        verify->offset = visit->offset;
    }
    if (record)
        journal__record__free_unpacked(record, NULL);
    return true;
}

static void print_report(const char *directory, bool sound, const struct journal_report *report)
{
    time_text bytes;
    print_escaped(stdout, directory);
    printf(": %s\n", sound ? "sound" : "DAMAGED; read so far:");
    printf("  %" PRIu64 " segment%s, %" PRIu64 " frames, %" PRIu64 " records, %s\n",
           report->segments, report->segments == 1 ? "" : "s", report->frames, report->records,
           bytes_format(bytes, report->bytes));
    if (report->torn_tail) {
        printf("  torn tail in ");
        print_escaped(stdout, report->torn_file);
        printf(" at offset %" PRIu64 ": the last write was cut short by a crash;\n"
               "  nothing durable is in it, and the next start of trothd cuts it\n",
               report->torn_offset);
    }
}

static int report_json(bool sound, const struct journal_report *report, const struct error *error)
{
    struct line line = {.as_json = true};
    int code = sound ? EXIT_DONE : exit_of(error->kind);
    json_open(&line.json, '{');
    put_flag(&line, "sound", sound);
    put_number(&line, "segments", report->segments);
    put_number(&line, "frames", report->frames);
    put_number(&line, "records", report->records);
    put_number(&line, "bytes", report->bytes);
    put_flag(&line, "torn_tail", report->torn_tail);
    if (report->torn_tail) {
        put_text(&line, "torn_file", report->torn_file);
        put_number(&line, "torn_offset", report->torn_offset);
    }
    if (!sound) {
        json_name(&line.json, "problem");
        json_open(&line.json, '{');
        put_text(&line, "message", error->message);
        put_text(&line, "detail", error->detail);
        put_text(&line, "hint", error->hint);
        json_close(&line.json, '}');
    }
    put_number(&line, "exit", (uint64_t)code);
    json_close(&line.json, '}');
    print_json(&line.json);
    return code;
}

static int run_verify(const struct command *self, int argc, char **argv)
{
    int code;
    struct arguments arguments = {.command = self};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (!one_directory(self, &arguments, &code))
        return code;
    struct error error = {0};
    struct verify verify = {0};
    struct journal_report report = {0};
    bool sound = journal_read(arguments.words[0], verify_record, &verify, &report, &error);
    if (sound && verify.unknown) {
        sound = error_set(&error, ERROR_CORRUPT,
                          "%" PRIu64 " records are unknown to this version, the first in %s at "
                          "offset %" PRIu64,
                          verify.unknown, verify.file, verify.offset);
        error_hint(&error, "a newer trothd wrote them; use its troth");
    }
    if (arguments.options.json)
        return report_json(sound, &report, &error);
    if (sound || error.kind == ERROR_CORRUPT)
        print_report(arguments.words[0], sound, &report);
    if (sound)
        return EXIT_DONE;
    fflush(stdout);
    print_error(&error);
    return exit_of(error.kind);
}

const struct command journal_verify_command = {
    .name = "journal verify",
    .usage = "DIR",
    .summary = "check a journal for damage",
    .help = "Reads all of the journal in DIR and checks every frame. Nothing is locked or\n"
            "changed, so DIR may be in use or a copy.\n"
            "\n"
            "A torn tail (the last write was cut short by a crash) is no damage: nobody was\n"
            "told of what is in it. It is told, and the next start of trothd cuts it.\n"
            "Damage in front of something valid is: trothd refuses to start on it, because a\n"
            "decision could be lost. Its file and offset are told.\n"
            "\n"
            "Exit code: 0 sound; 2 there is no journal in DIR; 5 damaged.\n"
            "\n"
            "Example:\n"
            "  troth journal verify /var/lib/troth\n",
    .run = run_verify,
};
