/* troth top: looks at a coordinator again and again, and shows it on one screen. */
#include "cli/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/arguments.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "core/check.h"
#include "io/yaml.h"

enum { SLOWEST = 50, SIZE_LEAST = 20, SIZE_MOST = 10000 };
static const uint64_t interval_least_us = 100 * 1000, interval_most_us = 3600ull * 1000 * 1000;

struct top {
    struct options options;
    uint64_t interval_us;
    bool once;
    bool screen; /* stdout is a terminal, and text is wanted */
    struct connection *connection;
    struct top_look *before, *now;
    int64_t lost_us;
    struct error lost;
};

/* ---- the terminal -------------------------------------------------------------------------- */

static bool screen_taken;

/* Also at exit(), whatever for. */
static void give_back_screen(void)
{
    if (!screen_taken)
        return;
    screen_taken = false;
    fputs("\x1b[?25h\x1b[?1049l", stdout); /* the cursor, and what was there before */
    fflush(stdout);
}

static void take_screen(void)
{
    fputs("\x1b[?1049h\x1b[?25l\x1b[2J", stdout);
    screen_taken = true;
    atexit(give_back_screen);
}

static int environment_size(const char *name)
{
    const char *text = getenv(name);
    long size = text ? strtol(text, NULL, 10) : 0;
    return size >= SIZE_LEAST && size <= SIZE_MOST ? (int)size : 0;
}

/* COLUMNS counts more than what the terminal says. */
static void screen_size(const struct top *top, int *columns, int *rows)
{
    struct winsize size = {0};
    *columns = environment_size("COLUMNS");
    *rows = 0;
    if (!top->screen)
        return;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    if (*columns == 0)
        *columns = known && size.ws_col ? size.ws_col : 80;
    *rows = known && size.ws_row ? size.ws_row : 24;
}

/* In place: nothing flickers. The last line has no newline, which would scroll. */
static void draw(const char *text, int rows)
{
    int lines = 0;
    fputs("\x1b[H", stdout);
    for (const char *at = text; *at; lines++) {
        size_t size = strcspn(at, "\n");
        if (lines > 0)
            fputc('\n', stdout);
        fwrite(at, 1, size, stdout);
        fputs("\x1b[K", stdout);
        at += size + (at[size] == '\n');
    }
    if (lines < rows)
        fputs("\x1b[J", stdout);
}

/* ---- looking ------------------------------------------------------------------------------- */

static void look_free(struct top_look *look)
{
    Wire__Answer *answers[] = {look ? look->coordinator : NULL, look ? look->metrics : NULL,
                               look ? look->participants : NULL, look ? look->slowest : NULL};
    for (int i = 0; i < 4; i++) {
        if (answers[i])
            wire__answer__free_unpacked(answers[i], NULL);
    }
    free(look);
}

/* NULL with an error. */
static Wire__Answer *ask(struct top *top, const Wire__Query *query, struct error *error)
{
    Wire__Answer *answer = connection_query(top->connection, query, error);
    if (!answer || !problem_is_set(answer->problem))
        return answer;
    error_set(error, ERROR_REFUSED, "%s", answer->problem->message);
    error_hint(error, "%s", answer->problem->hint);
    wire__answer__free_unpacked(answer, NULL);
    return NULL;
}

/* What is under way, the oldest first. */
static Wire__Answer *ask_slowest(struct top *top, struct error *error)
{
    static const char *const states[] = {"open",      "voting",    "deciding", "pre-committed",
                                         "committed", "one-phase", "unknown"};
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTIONS;
    query.states = (char **)states; /* only packed */
    query.n_states = sizeof(states) / sizeof(*states);
    query.oldest_first = true;
    query.limit = SLOWEST;
    return ask(top, &query, error);
}

static Wire__Answer *ask_what(struct top *top, Wire__What what, struct error *error)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = what;
    return ask(top, &query, error);
}

static uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* False with an error. */
static bool look(struct top *top, struct error *error)
{
    struct top_look *look = xcalloc(1, sizeof(*look));
    bool done = (look->coordinator = ask_what(top, WIRE__WHAT__COORDINATOR, error)) != NULL &&
                (look->metrics = ask_what(top, WIRE__WHAT__METRICS, error)) != NULL &&
                (look->participants = ask_what(top, WIRE__WHAT__PARTICIPANTS, error)) != NULL &&
                (look->slowest = ask_slowest(top, error)) != NULL;
    if (!done) {
        look_free(look);
        return false;
    }
    look->wall_us = wall_now_us();
    top_read(&look->counts, look->metrics, monotonic_us());
    look_free(top->before);
    top->before = top->now;
    top->now = look;
    return true;
}

/* ---- showing ------------------------------------------------------------------------------- */

static void show(struct top *top)
{
    struct top_view view = {.before = top->before,
                            .now = top->now,
                            .address = top->options.coordinator,
                            .wall_us = wall_now_us(),
                            .lost_us = top->lost_us,
                            .reason = top->lost.message};
    struct json_writer writer = {0};
    int columns, rows;
    if (top->options.json) {
        json_open(&writer, '{');
        top_json(&writer, &view);
        json_close(&writer, '}');
        print_json(&writer);
    } else {
        screen_size(top, &columns, &rows);
        char *text = top_screen(&view, columns, rows);
        if (top->screen)
            draw(text, rows);
        else
            printf("%s%s", text, top->once ? "" : "\n");
        free(text);
    }
    fflush(stdout);
}

/* What it could not say is no reason to go: it may be back. */
static void round_of(struct top *top)
{
    struct error error = {0};
    if (look(top, &error)) {
        top->lost_us = 0;
        error_clear(&top->lost);
    } else if (!top->lost_us) {
        top->lost_us = wall_now_us();
        top->lost = error;
    }
}

/* Rates take two looks. */
static int run_once(struct top *top)
{
    struct error error = {0};
    for (int i = 0; i < 2; i++) {
        if (!look(top, &error))
            return print_failure(&top->options, &error);
        if (i == 0 && !connection_pause(top->connection, top->interval_us))
            return EXIT_DONE;
    }
    show(top);
    return EXIT_DONE;
}

static int run_on(struct top *top)
{
    struct error error = {0};
    if (!look(top, &error)) /* a coordinator that never answered is a mistake in the address */
        return print_failure(&top->options, &error);
    top->screen = !top->options.json && isatty(STDOUT_FILENO);
    if (top->screen)
        take_screen();
    do {
        show(top);
        if (ferror(stdout) || !connection_pause(top->connection, top->interval_us))
            break;
        round_of(top);
    } while (!connection_interrupted(top->connection));
    give_back_screen();
    return EXIT_DONE;
}

/* ---- the command --------------------------------------------------------------------------- */

static int run_with(struct top *top)
{
    struct error error = {0};
    top->connection = connection_open(&top->options, &error);
    if (!top->connection)
        return print_failure(&top->options, &error);
    int code = top->once ? run_once(top) : run_on(top);
    connection_close(top->connection);
    look_free(top->before);
    look_free(top->now);
    return code;
}

static int run_top(const struct command *self, int argc, char **argv)
{
    struct top top = {.interval_us = 2 * 1000 * 1000};
    const char *interval = NULL;
    const struct flag flags[] = {{"--interval", NULL, &interval, NULL},
                                 {"--once", NULL, NULL, &top.once},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count)
        return arguments_refuse(self, "top takes no \"%.60s\"", arguments.words[0]);
    if (interval && (!duration_parse(interval, &top.interval_us) ||
                     top.interval_us < interval_least_us || top.interval_us > interval_most_us))
        return arguments_refuse(self, "--interval: \"%.60s\" is no duration from 100ms to 1h",
                                interval);
    top.options = arguments.options;
    return run_with(&top);
}

const struct command top_command = {
    .name = "top",
    .usage = "[--interval 2s] [--once]",
    .summary = "watch a coordinator: rates, latencies, what waits",
    .help = "Draws one screen again and again until Ctrl-C; into a file or a pipe one block\n"
            "of text after the other, with --json one object a line. Rates and latencies are\n"
            "of the time since the screen before.\n"
            "\n"
            "  decided        from the beginning of a transaction to its decision\n"
            "  applied        from the decision to commit to its last acknowledgement\n"
            "  journal flush  what the disk takes to make a batch of records durable\n"
            "  saga step      from a try of a step to its answer\n"
            "  VOTE, APPLY    the mean time until a participant has voted, and until it has\n"
            "                 committed what was decided\n"
            "  SLOWEST        the oldest transactions that are not decided, or not applied\n"
            "\n"
            "Participants in trouble come first: without a session, with the database down,\n"
            "with branches held for an operator. A coordinator that goes away is waited for.\n"
            "\n"
            "Flags:\n"
            "  --interval DURATION   how often (default 2s)\n"
            "  --once                one screen after one interval\n"
            "\n"
            "Exit codes: 0 shown; 2 a mistake in the words; 3 nobody answers at first.\n"
            "\n"
            "Examples:\n"
            "  troth top\n"
            "  troth top --interval 10s --json >>top.log\n",
    .run = run_top,
};
