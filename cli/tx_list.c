/* troth tx list: the transactions that a coordinator knows, or in its absence a participant. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/print.h"
#include "cli/table.h"
#include "cli/tx.h"
#include "core/check.h"
#include "io/yaml.h"

enum { DEFAULT_ROWS = 100, LIMIT_ROWS = 10000, LIMIT_STATES = 16 };

/* ---- text --------------------------------------------------------------------------------- */

/* A peer may leave out fields, never a string: protobuf-c gives "" for those. */
static void add_participants(struct table *table, const Wire__TransactionView *tx)
{
    char *text = xstrdup("");
    for (size_t i = 0; i < tx->n_branches; i++) {
        char *longer = xasprintf("%s%s%s", text, i ? " " : "", tx->branches[i]->participant);
        free(text);
        text = longer;
    }
    table_add(table, text);
    free(text);
}

static bool is_filtered(const Wire__Query *query)
{
    return query->in_doubt || query->heuristic || query->hazard || query->n_states > 0 ||
           query->older_us > 0 || *query->participant || *query->from;
}

static void print_empty(const Wire__Query *query)
{
    if (query->in_doubt && !query->heuristic && !query->hazard && !query->n_states &&
        !query->older_us && !*query->from)
        puts("no transactions in doubt");
    else
        puts(is_filtered(query) ? "no such transactions" : "no transactions");
}

/* The same words again, and where to go on. */
static void print_more(const Wire__Answer *answer, const Wire__Query *query)
{
    const Wire__TransactionView *last = answer->transactions[answer->n_transactions - 1];
    if (answer->more == 0)
        return;
    printf("and %" PRIu64 " more: troth tx list", answer->more);
    for (size_t i = 0; i < query->n_states; i++) {
        fputs(i ? "," : " --state ", stdout);
        print_escaped(stdout, query->states[i]);
    }
    printf("%s%s%s%s", query->in_doubt ? " --in-doubt" : "", query->heuristic ? " --heuristic" : "",
           query->hazard ? " --hazard" : "", query->oldest_first ? " --oldest" : "");
    if (*query->participant)
        printf(" --participant %s", query->participant);
    if (query->older_us)
        printf(" --older %" PRIu64 "s", (query->older_us + 999999) / 1000000);
    if (query->limit)
        printf(" --limit %" PRIu32, query->limit);
    fputs(" --after ", stdout);
    print_escaped(stdout, last->gtrid);
    putchar('\n');
}

/* What the marks mean is said once, below the list. */
static void print_marks(const Wire__Answer *answer)
{
    bool serious = false;
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const char *mark = tx_mark(answer->transactions[i]);
        serious = serious || (*mark && strcmp(mark, "in doubt") != 0);
    }
    if (serious)
        puts("hazard, heuristic, mixed: an operator's: troth tx explain GTRID");
}

static void print_list(const Wire__Answer *answer, const Wire__Query *query)
{
    static const char *const headers[] = {"GTRID", "STATE",        "BY", "AGE",
                                          "MARK",  "PARTICIPANTS", NULL};
    enum { BY = 2 };
    struct table table = {0};
    time_text age;
    if (answer->n_transactions == 0) {
        print_empty(query);
        return;
    }
    table_begin(&table, headers);
    table.spare = 1u << BY;
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const Wire__TransactionView *tx = answer->transactions[i];
        table_add(&table, tx->gtrid);
        table_add(&table, tx->state);
        table_add(&table, tx_protocol(tx));
        table_add(&table, tx_since_us(tx) ? age_between(age, tx_since_us(tx), wall_now_us()) : "-");
        table_add(&table, tx_mark(tx));
        add_participants(&table, tx);
    }
    table_end(&table, stdout, 0);
    print_more(answer, query);
    print_marks(answer);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void print_list_json(const Wire__Answer *answer, const struct answerer *who)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "transactions");
    json_open(&writer, '[');
    for (size_t i = 0; i < answer->n_transactions; i++) {
        json_open(&writer, '{');
        json_transaction(&writer, answer->transactions[i]);
        json_close(&writer, '}');
    }
    json_close(&writer, ']');
    json_name(&writer, "more");
    json_unsigned(&writer, answer->more);
    json_answerer(&writer, who);
    json_close(&writer, '}');
    print_json(&writer);
}

int tx_list_print(const struct options *options, const Wire__Query *query,
                  const Wire__Answer *answer, const struct answerer *who)
{
    if (problem_is_set(answer->problem))
        return print_answer_problem(options, answer->problem, ERROR_USAGE);
    if (options->json) {
        print_list_json(answer, who);
    } else {
        print_answerer(who);
        print_list(answer, query);
    }
    return EXIT_DONE;
}

/* ---- asking ------------------------------------------------------------------------------- */

static int list_once(const struct options *options, const Wire__Query *query)
{
    struct error error = {0};
    struct answerer who;
    Wire__Answer *answer = connect_and_query(options, query, &who, &error);
    if (!answer)
        return print_failure(options, &error);
    int code = tx_list_print(options, query, answer, &who);
    wire__answer__free_unpacked(answer, NULL);
    return answerer_exit(&who, code);
}

/* What a round of --watch begins with: on a terminal a clean page. */
static void begin_round(const struct options *options, bool first)
{
    time_text now;
    if (options->json)
        return;
    if (isatty(STDOUT_FILENO))
        fputs("\x1b[H\x1b[2J", stdout);
    else if (!first)
        putchar('\n');
    printf("%s\n", time_format(now, wall_now_us()));
}

/* What a terminal has room for, below and above what is printed besides. */
static uint32_t rows_of_screen(void)
{
    enum { OTHER_LINES = 6, LEAST = 5 };
    struct winsize size;
    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0)
        return 0;
    return size.ws_row > OTHER_LINES + LEAST ? size.ws_row - OTHER_LINES : LEAST;
}

/* False: a signal ended it meanwhile. page: the query for what the screen has room for. */
static bool list_round(struct connection *connection, const struct options *options,
                       const Wire__Query *query, const Wire__Query *page, bool first, int *code)
{
    struct error error = {0};
    Wire__Answer *answer = connection_query(connection, page, &error);
    struct answerer who = connection_answerer(connection);
    bool goes_on = !connection_interrupted(connection);
    if (goes_on) {
        begin_round(options, first);
        *code =
            answer ? tx_list_print(options, query, answer, &who) : print_failure(options, &error);
        fflush(stdout);
    }
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    return goes_on && !ferror(stdout);
}

/* Until a signal ends it. A coordinator that goes away is waited for. */
static int list_again_and_again(const struct options *options, const Wire__Query *query,
                                uint64_t pause_us)
{
    struct error error = {0};
    Wire__Query page = *query;
    int code = EXIT_DONE;
    if (!page.limit && !options->json)
        page.limit = rows_of_screen();
    struct connection *connection = connection_open(options, &error);
    if (!connection)
        return print_failure(options, &error);
    for (bool first = true; list_round(connection, options, query, &page, first, &code);) {
        first = false;
        if (!connection_pause(connection, pause_us))
            break;
    }
    connection_close(connection);
    return code;
}

/* ---- the command -------------------------------------------------------------------------- */

struct wishes {
    bool in_doubt, heuristic, hazard, oldest, watch;
    const char *participant, *states, *older, *limit, *after, *pause;
};

static bool read_states(const char *text, char **states, size_t *count)
{
    for (*count = 0; *count < LIMIT_STATES;) {
        size_t size = strcspn(text, ",");
        char *word = xstrndup(text, size);
        states[(*count)++] = word;
        if (strspn(word, "abcdefghijklmnopqrstuvwxyz-") != size || size == 0 || size > 32)
            return false;
        if (!text[size])
            return true;
        text += size + 1;
    }
    return false;
}

static bool read_limit(const char *text, uint32_t *limit)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    *limit = (uint32_t)number;
    return *text >= '0' && *text <= '9' && !*end && number >= 1 && number <= LIMIT_ROWS;
}

/* The query that is wished for; false: a message was printed. query->states is filled either way.
 */
static bool read_wishes(const struct command *self, const struct wishes *wishes, Wire__Query *query,
                        uint64_t *pause_us)
{
    query->in_doubt = wishes->in_doubt;
    query->heuristic = wishes->heuristic;
    query->hazard = wishes->hazard;
    query->oldest_first = wishes->oldest;
    if (wishes->participant && !name_valid(wishes->participant))
        return arguments_refuse(self, "--participant: a name is %s", name_rule) == EXIT_DONE;
    if (wishes->participant)
        query->participant = (char *)wishes->participant; /* only packed */
    if (wishes->states && !read_states(wishes->states, query->states, &query->n_states))
        return arguments_refuse(self, "--state: \"%.60s\" is no list such as committed,hazard",
                                wishes->states) == EXIT_DONE;
    if (wishes->older && !duration_parse(wishes->older, &query->older_us))
        return arguments_refuse(self, "--older: \"%.60s\" is not a duration such as 30s or 5m",
                                wishes->older) == EXIT_DONE;
    if (wishes->limit && !read_limit(wishes->limit, &query->limit))
        return arguments_refuse(self, "--limit: \"%.60s\" is no number from 1 to %d", wishes->limit,
                                LIMIT_ROWS) == EXIT_DONE;
    if (wishes->after && !tx_gtrid_check(self, wishes->after))
        return false;
    if (wishes->after)
        query->from = (char *)wishes->after;
    if (wishes->pause &&
        (!duration_parse(wishes->pause, pause_us) || *pause_us < 100000 || *pause_us > 3600000000))
        return arguments_refuse(self, "--watch: \"%.60s\" is no duration from 100ms to 1h",
                                wishes->pause) == EXIT_DONE;
    return true;
}

static int run_list(const struct command *self, int argc, char **argv)
{
    struct wishes wishes = {0};
    const char *journal = NULL;
    const struct flag flags[] = {{"--in-doubt", NULL, NULL, &wishes.in_doubt},
                                 {"--heuristic", NULL, NULL, &wishes.heuristic},
                                 {"--hazard", NULL, NULL, &wishes.hazard},
                                 {"--state", NULL, &wishes.states, NULL},
                                 {"--participant", NULL, &wishes.participant, NULL},
                                 {"--older", NULL, &wishes.older, NULL},
                                 {"--oldest", NULL, NULL, &wishes.oldest},
                                 {"--limit", NULL, &wishes.limit, NULL},
                                 {"--after", NULL, &wishes.after, NULL},
                                 {"--watch", NULL, &wishes.pause, &wishes.watch},
                                 {"--journal", NULL, &journal, NULL},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count)
        return arguments_refuse(self, "tx list takes no \"%.60s\"; troth tx show GTRID shows one",
                                arguments.words[0]);
    if (journal && wishes.watch)
        return arguments_refuse(self, "--watch looks at what runs, --journal at what was written");
    arguments.options.journal = journal;
    char *states[LIMIT_STATES] = {0};
    uint64_t pause_us = 2000000;
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTIONS;
    query.states = states;
    int code = EXIT_USAGE;
    if (read_wishes(self, &wishes, &query, &pause_us))
        code = wishes.watch ? list_again_and_again(&arguments.options, &query, pause_us)
                            : list_once(&arguments.options, &query);
    for (size_t i = 0; i < query.n_states; i++)
        free(states[i]);
    return code;
}

const struct command tx_list_command = {
    .name = "tx list",
    .usage = "[--in-doubt] [--heuristic] [--hazard] [flags]",
    .summary = "list transactions, newest first",
    .help = "Lists what is running, what is not applied everywhere yet, hazards, what\n"
            "operators forced, and the newest of what has ended. BY is the protocol, 2pc or\n"
            "3pc. MARK tells what needs eyes, the most serious first:\n"
            "\n"
            "  mixed        databases differ, after an operator forced an outcome\n"
            "  hazard       a branch can't be proved to be what was decided\n"
            "  heuristic    an operator forced an outcome; nothing known contradicts it\n"
            "  in doubt     a branch is prepared, and not known to be told the decision\n"
            "\n"
            "Flags, all of which must fit a transaction:\n"
            "  --in-doubt         with a branch in doubt, or a hazard\n"
            "  --heuristic        with an outcome that an operator forced, also mixed\n"
            "  --hazard           hazards and mixed ones; with --heuristic: of either kind\n"
            "  --state S[,S]      in one of these states, as STATE tells them\n"
            "  --participant P    with a branch at P\n"
            "  --older DURATION   begun at least so long ago: 30s, 5m\n"
            "  --oldest           the oldest first\n"
            "  --limit N          at most N rows (default 100)\n"
            "  --after GTRID      those that come after this one: the next page\n"
            "  --watch [2s]       again and again until Ctrl-C, as many as the screen takes;\n"
            "                     with --json an object a line\n"
            "  --journal DIR      asks nobody: reads the journal in DIR, which may be a copy;\n"
            "                     what a restart would find is listed\n"
            "\n"
            "While the coordinator is away, --coordinator with the `listen` address of a\n"
            "participant lists what that one has in doubt or finishes without it.\n"
            "\n"
            "Exit codes: 0 listed; 2 a mistake in the words; 3 nobody answers.\n"
            "\n"
            "Examples:\n"
            "  troth tx list --in-doubt --older 1m --oldest\n"
            "  troth tx list --hazard --participant payments --json\n"
            "  troth tx list --in-doubt --watch\n"
            "  troth --coordinator tcp://127.0.0.1:7412 tx list\n",
    .run = run_list,
};
