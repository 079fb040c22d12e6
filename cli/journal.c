/* troth journal: reads a coordinator's journal from its files. Nothing is locked or changed, so it
 * may be a copy, or the one of a coordinator that runs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/journal_line.h"
#include "cli/print.h"
#include "cli/progress.h"
#include "core/check.h"
#include "io/file_journal.h"
#include "journal.pb-c.h"

/* ---- journal dump ------------------------------------------------------------------------- */

struct dump {
    const char *directory;
    struct progress progress;
    bool as_json;
    uint64_t unknown; /* records that can't be read */
};

static bool dump_record(void *self, const struct journal_visit *visit)
{
    struct dump *dump = self;
    progress_journal(&dump->progress, dump->directory, visit);
    struct line line = {.as_json = dump->as_json};
    Journal__Record *record = journal__record__unpack(NULL, visit->size, visit->record);
    if (line.as_json) {
        json_open(&line.json, '{');
        line_text(&line, "file", visit->file);
        line_number(&line, "offset", visit->offset);
        line_number(&line, "batch", visit->batch);
    } else {
        printf("%s:%" PRIu64 " batch %" PRIu64, visit->file, visit->offset, visit->batch);
    }
    Journal__Record none = JOURNAL__RECORD__INIT;
    if (!line_record(&line, record ? record : &none)) {
        line_number(&line, "bytes", visit->size);
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
    struct dump dump = {.directory = arguments.words[0], .as_json = arguments.options.json};
    struct journal_report report = {0};
    progress_begin(&dump.progress, "printing the journal");
    dump.progress.off =
        dump.progress.off || isatty(STDOUT_FILENO); /* the records themselves show it */
    bool whole = journal_read(dump.directory, dump_record, &dump, &report, &error);
    progress_end(&dump.progress);
    if (!whole) {
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
    const char *directory;
    struct progress progress;
    uint64_t unknown;
    char file[64]; /* of the first unknown record */
    uint64_t offset;
};

/* Frames carry a checksum; what is in them must also be a record. */
static bool verify_record(void *self, const struct journal_visit *visit)
{
    struct verify *verify = self;
    progress_journal(&verify->progress, verify->directory, visit);
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
    line_flag(&line, "sound", sound);
    line_number(&line, "segments", report->segments);
    line_number(&line, "frames", report->frames);
    line_number(&line, "records", report->records);
    line_number(&line, "bytes", report->bytes);
    line_flag(&line, "torn_tail", report->torn_tail);
    if (report->torn_tail) {
        line_text(&line, "torn_file", report->torn_file);
        line_number(&line, "torn_offset", report->torn_offset);
    }
    if (!sound) {
        json_name(&line.json, "problem");
        json_open(&line.json, '{');
        line_text(&line, "message", error->message);
        line_text(&line, "detail", error->detail);
        line_text(&line, "hint", error->hint);
        json_close(&line.json, '}');
    }
    line_number(&line, "exit", (uint64_t)code);
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
    struct verify verify = {.directory = arguments.words[0]};
    struct journal_report report = {0};
    progress_begin(&verify.progress, "checking the journal");
    bool sound = journal_read(verify.directory, verify_record, &verify, &report, &error);
    progress_end(&verify.progress);
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
