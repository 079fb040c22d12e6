/* troth audit: what people ordered, as a process wrote it down. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/arguments.h"
#include "cli/print.h"
#include "cli/wrap.h"
#include "core/check.h"
#include "core/json.h"
#include "io/audit.h"
#include "io/yaml.h"

static const char *text_of(const struct json *line, const char *name)
{
    const struct json *member = json_member(line, name);
    return member && member->type == JSON_STRING ? member->text : "";
}

static bool one_file(const struct command *self, struct arguments *arguments, int *code)
{
    *code = EXIT_DONE;
    if (arguments->help)
        return false;
    if (arguments->word_count == 1)
        return true;
    *code = arguments_refuse(self, "%s needs one FILE, the `audit` of trothd.yaml", self->name);
    return false;
}

/* ---- audit verify ------------------------------------------------------------------------- */

/* Looks for the hash of a copy. */
struct search {
    const char *hash; /* NULL: for nothing */
    uint64_t torn;    /* lines that close off a torn one */
    uint64_t line;    /* that has the hash; 0: none */
};

static bool search_line(void *self, const char *text)
{
    struct search *search = self;
    struct json *line = json_parse(text, strlen(text), NULL);
    CHECK(line != NULL); /* it is sound */
    search->torn += json_member(line, "torn_bytes") != NULL;
    if (search->hash && strcmp(text_of(line, "hash"), search->hash) == 0)
        search->line = strtoull(json_member(line, "line")->text, NULL, 10);
    json_free(line);
    return true;
}

static void print_facts(const char *path, bool sound, const struct audit_facts *facts,
                        const struct search *search)
{
    time_text first, last;
    print_escaped(stdout, path);
    printf(": %s\n", sound ? "sound" : "BROKEN; sound before that:");
    printf("  lines      %" PRIu64 "\n", facts->lines);
    if (facts->lines)
        printf("  first      %s\n  last       %s\n  last hash  %s\n",
               time_format(first, facts->first_us), time_format(last, facts->last_us),
               facts->last_hash);
    if (search->torn)
        printf("  torn       %" PRIu64 ", cut short by a crash and closed off\n", search->torn);
    if (search->line)
        printf("  expected   hash is that of line %" PRIu64 ": nothing up to it was changed\n",
               search->line);
    else if (sound)
        puts("\nThat lines are missing at its end shows only who knows their hash from elsewhere:\n"
             "the log of the process has that of each. --expect HASH looks for it.");
}

static void json_facts(bool sound, const struct audit_facts *facts, const struct search *search,
                       const struct error *error, int code)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "sound");
    json_boolean(&writer, sound);
    json_name(&writer, "lines");
    json_unsigned(&writer, facts->lines);
    json_time(&writer, "first", facts->first_us);
    json_time(&writer, "last", facts->last_us);
    json_name(&writer, "last_hash");
    json_string(&writer, facts->lines ? facts->last_hash : NULL);
    json_name(&writer, "torn");
    json_unsigned(&writer, search->torn);
    json_name(&writer, "expected_line");
    if (search->line)
        json_unsigned(&writer, search->line);
    else
        json_string(&writer, NULL);
    if (!sound)
        json_error(&writer, error);
    json_name(&writer, "exit");
    json_integer(&writer, code);
    json_close(&writer, '}');
    print_json(&writer);
}

static int run_verify(const struct command *self, int argc, char **argv)
{
    int code;
    struct search search = {0};
    const struct flag flags[] = {{"--expect", NULL, &search.hash, NULL}, {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (!one_file(self, &arguments, &code))
        return code;
    struct error error = {0};
    struct audit_facts facts = {0};
    const char *path = arguments.words[0];
    if (search.hash && (strlen(search.hash) != sizeof(facts.last_hash) - 1 ||
                        strspn(search.hash, "0123456789abcdef") != strlen(search.hash)))
        return arguments_refuse(self, "--expect: \"%.80s\" is no hash: 64 characters of 0-9 a-f",
                                search.hash);
    bool sound = audit_verify(path, &facts, search_line, &search, &error);
    if (sound && search.hash && !search.line) {
        sound = error_set(&error, ERROR_CORRUPT, "%s: no line has the expected hash", path);
        error_detail(&error, "lines are missing at its end, or it is another file, or all of it "
                             "was written anew");
    }
    code = sound ? EXIT_DONE : exit_of(error.kind);
    if (arguments.options.json) {
        json_facts(sound, &facts, &search, &error, code);
        return code;
    }
    if (sound || error.kind == ERROR_CORRUPT)
        print_facts(path, sound, &facts, &search);
    if (sound)
        return code;
    fflush(stdout);
    print_error(&error);
    return code;
}

const struct command audit_verify_command = {
    .name = "audit verify",
    .usage = "FILE [--expect HASH]",
    .summary = "check that an audit log was not changed",
    .help = "Reads all of the audit log in FILE. Each line has the hash of the one before it,\n"
            "so one that was changed, removed, moved or put in between is told. Nothing is\n"
            "locked or changed, so FILE may be in use or a copy.\n"
            "\n"
            "Who may write the file could cut lines off its end, or write all of it anew.\n"
            "That shows who knows a hash from elsewhere: the process's own log has the hash\n"
            "of each line, and so had an earlier run of this command.\n"
            "\n"
            "A line that a crash cut short is closed off by the next start of the process,\n"
            "and is no damage then. A file that is moved away is whole in itself: the process\n"
            "begins a new one.\n"
            "\n"
            "  --expect HASH    some line must have this hash\n"
            "\n"
            "Exit code: 0 sound; 2 it can't be read; 5 broken.\n"
            "\n"
            "Example:\n"
            "  troth audit verify /var/lib/troth/audit.log\n",
    .run = run_verify,
};

/* ---- audit show --------------------------------------------------------------------------- */

struct show {
    const char *by, *subject, *action;
    int64_t since_us; /* 0: from the first on */
    bool as_json;
    uint64_t rows;
};

static bool contains(const char *text, const char *part)
{
    return !part || strstr(text, part) != NULL;
}

static bool wanted(const struct show *show, const struct json *line)
{
    int64_t at_us = 0;
    return contains(text_of(line, "by"), show->by) &&
           contains(text_of(line, "subject"), show->subject) &&
           contains(text_of(line, "action"), show->action) &&
           (!show->since_us ||
            (audit_time_parse(text_of(line, "at"), &at_us) && at_us >= show->since_us));
}

enum { INDENT = 4 };

static void print_text(const char *name, const char *text)
{
    char rail[2 * INDENT + 1];
    if (!*text)
        return;
    snprintf(rail, sizeof(rail), "%*s", 2 * INDENT, "");
    char *line = xasprintf("%s%s", name, text);
    printf("%*s", INDENT, "");
    print_wrapped(stdout, line, 2 * INDENT, rail);
    putchar('\n');
    free(line);
}

/* A row, and below it why, how it was before and what came of it. */
static void print_entry(const struct json *line)
{
    char *action = escaped(text_of(line, "action"));
    const char *by = text_of(line, "by"), *reason = text_of(line, "reason");
    /* Its fraction of a second is in the line: --json. */
    printf("%-19.19s  %-7s  %-19s  ", text_of(line, "at"), text_of(line, "stage"), action);
    print_escaped(stdout, text_of(line, "subject"));
    putchar('\n');
    free(action);
    char *who = xasprintf("%s%s%s", by, *by && *reason ? ": " : "", reason);
    print_text("", who);
    free(who);
    print_text("before: ", text_of(line, "before"));
    print_text("after: ", text_of(line, "after"));
}

static bool show_line(void *self, const char *text)
{
    struct show *show = self;
    struct json *line = json_parse(text, strlen(text), NULL);
    CHECK(line != NULL); /* it is sound */
    if (wanted(show, line)) {
        if (!show->as_json && show->rows == 0)
            printf("%-19s  %-7s  %-19s  %s\n", "TIME", "STAGE", "ACTION", "SUBJECT");
        show->rows++;
        if (show->as_json) {
            print_json_text(stdout, text);
            putchar('\n');
        } else {
            print_entry(line);
        }
    }
    json_free(line);
    return !ferror(stdout);
}

/* A duration is so long ago; else a day or a moment. */
static bool read_since(const char *text, int64_t *since_us)
{
    uint64_t age_us;
    char *whole = NULL;
    bool good = duration_parse(text, &age_us);
    if (good) {
        *since_us = wall_now_us() - (int64_t)age_us;
        return true;
    }
    if (strlen(text) == 10)
        whole = xasprintf("%sT00:00:00.000000Z", text);
    else if (strlen(text) == 19)
        whole = xasprintf("%s.000000Z", text);
    good = whole && audit_time_parse(whole, since_us);
    free(whole);
    return good;
}

static int run_show(const struct command *self, int argc, char **argv)
{
    int code;
    struct show show = {0};
    const char *since = NULL;
    const struct flag flags[] = {{"--by", NULL, &show.by, NULL},
                                 {"--subject", NULL, &show.subject, NULL},
                                 {"--action", NULL, &show.action, NULL},
                                 {"--since", NULL, &since, NULL},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (!one_file(self, &arguments, &code))
        return code;
    if (since && !read_since(since, &show.since_us))
        return arguments_refuse(self,
                                "--since: \"%.60s\" is no duration such as 2h, no day such as "
                                "2026-11-21 and no moment such as 2026-11-21T03:00:00",
                                since);
    struct error error = {0};
    struct audit_facts facts;
    show.as_json = arguments.options.json;
    bool sound = audit_verify(arguments.words[0], &facts, show_line, &show, &error);
    if (!show.as_json && sound && show.rows == 0)
        puts("nothing of that kind");
    if (sound)
        return EXIT_DONE;
    fflush(stdout);
    print_error(&error); /* on stderr also with --json: the lines stand on stdout */
    return exit_of(error.kind);
}

const struct command audit_show_command = {
    .name = "audit show",
    .usage = "FILE [--by NAME] [--subject ID] [--since WHEN] [flags]",
    .summary = "list what people ordered, newest last",
    .help = "Lists what an audit log holds: who ordered what and why, and what came of it.\n"
            "Times are UTC. The log is checked meanwhile; where it is broken is told, and\n"
            "what is behind that is not listed. With --json each line is as in the file.\n"
            "\n"
            "A STAGE is ordered (before anything is done), done or refused.\n"
            "\n"
            "  --by NAME        only those by somebody whose name contains this\n"
            "  --subject ID     only those of a transaction or saga whose id contains this\n"
            "  --action WORDS   only those that contain this: resolve, \"saga retry\"\n"
            "  --since WHEN     only the last 2h, or from 2026-11-21 or\n"
            "                   2026-11-21T03:00:00 on\n"
            "\n"
            "Exit code: 0 listed; 2 it can't be read; 5 broken.\n"
            "\n"
            "Examples:\n"
            "  troth audit show /var/lib/troth/audit.log --since 2h\n"
            "  troth audit show audit.log --subject shop.c1.1795222861.42\n",
    .run = run_show,
};
