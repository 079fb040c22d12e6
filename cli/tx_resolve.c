/* troth tx resolve, tx forget: what an operator orders about a transaction. Both first ask what the
 * order would do, show it, and only then give it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/evidence.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "cli/tx.h"
#include "cli/wrap.h"
#include "core/check.h"

/* ---- what comes back ---------------------------------------------------------------------- */

static const char *deed_word(Wire__Deed deed)
{
    switch (deed) {
    case WIRE__DEED__DEED_ABORT:
        return "abort";
    case WIRE__DEED__DEED_WAIT:
        return "wait";
    case WIRE__DEED__DEED_HEURISTIC:
        return "heuristic";
    case WIRE__DEED__DEED_FORGET:
        return "forget";
    default:
        return "nothing";
    }
}

/* Nothing is left to do, or it comes by itself: no order is needed for that. */
static bool is_idle(const Wire__Resolution *resolution)
{
    return resolution->deed == WIRE__DEED__DEED_NONE || resolution->deed == WIRE__DEED__DEED_WAIT;
}

static enum error_kind refusal(const Wire__Problem *problem)
{
    static const struct {
        const char *code;
        enum error_kind kind;
    } kinds[] = {
        {"contradicts", ERROR_REFUSED}, {"undecided", ERROR_REFUSED},
        {"judged", ERROR_REFUSED},      {"owed", ERROR_REFUSED},
        {"busy", ERROR_BUSY},           {"draining", ERROR_BUSY},
        {"unsure", ERROR_PROTOCOL},     {"database_down", ERROR_UNREACHABLE},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strcmp(problem->code, kinds[i].code) == 0)
            return kinds[i].kind;
    }
    return ERROR_USAGE;
}

/* ---- text --------------------------------------------------------------------------------- */

static void print_item(const char *text)
{
    fputs("  ", stdout);
    print_wrapped(stdout, text, 2, "    ");
    putchar('\n');
}

static void print_items(const char *title, char *const *texts, size_t count)
{
    if (count > 0)
        puts(title);
    for (size_t i = 0; i < count; i++)
        print_item(texts[i]);
}

static void print_resolution(const Wire__TxOrder *order, const Wire__Resolution *resolution,
                             bool preview)
{
    const char *message = *resolution->message ? resolution->message : deed_word(resolution->deed);
    char *text = xasprintf("%s: %s", order->gtrid, message);
    print_wrapped(stdout, text, 0, "  ");
    putchar('\n');
    free(text);
    print_items(preview ? "would be done:" : "done:", resolution->steps, resolution->n_steps);
    print_items("can't be known:", resolution->unknowns, resolution->n_unknowns);
    if (preview)
        print_evidence(resolution->testimonies, resolution->n_testimonies,
                       "what the databases hold:");
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_resolution(struct json_writer *writer, const Wire__Resolution *resolution)
{
    if (!resolution) {
        json_string(writer, NULL);
        return;
    }
    json_open(writer, '{');
    json_text(writer, "deed", deed_word(resolution->deed));
    json_text(writer, "message", resolution->message);
    json_texts(writer, "steps", resolution->steps, resolution->n_steps);
    json_texts(writer, "unknowns", resolution->unknowns, resolution->n_unknowns);
    json_evidence(writer, "evidence", resolution->testimonies, resolution->n_testimonies);
    json_close(writer, '}');
}

static void print_order_json(const Wire__TxOrder *order, const Wire__Resolution *preview,
                             const Wire__Resolution *done, const struct answerer *who)
{
    bool resolve = order->kind == WIRE__TX_ORDER_KIND__RESOLVE;
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_text(&writer, "order", resolve ? "resolve" : "forget");
    json_text(&writer, "gtrid", order->gtrid);
    json_text(&writer, "outcome", !resolve ? NULL : order->commit ? "commit" : "abort");
    json_text(&writer, "reason", order->reason);
    json_text(&writer, "by", order->by);
    json_name(&writer, "preview");
    json_resolution(&writer, preview);
    json_name(&writer, "done");
    json_resolution(&writer, done);
    json_answerer(&writer, who);
    json_name(&writer, "exit");
    json_integer(&writer, EXIT_DONE);
    json_close(&writer, '}');
    print_json(&writer);
}

/* ---- giving the order --------------------------------------------------------------------- */

struct manner {
    bool yes, dry_run;
};

static int answer_unknown(const struct options *options, const Wire__TxOrder *order,
                          const struct error *why)
{
    struct error error = {0};
    error_set(&error, ERROR_PROTOCOL, "not known whether it was done: %s", why->message);
    error_hint(&error, "troth tx explain %s tells; the same order a second time does no harm",
               order->gtrid);
    return print_failure(options, &error);
}

/* The answer with a resolution, or NULL and the exit code. */
static Wire__Answer *tell(struct connection *connection, const struct options *options,
                          const Wire__TxOrder *order, int *code)
{
    struct error error = {0};
    bool sent;
    Wire__Answer *answer = connection_order_tx(connection, order, &sent, &error);
    if (answer && answer->resolution && !problem_is_set(answer->problem))
        return answer;
    if (answer && !problem_is_set(answer->problem))
        error_set(&error, ERROR_PROTOCOL, "the answer does not tell");
    if (answer && problem_is_set(answer->problem))
        *code = print_answer_problem(options, answer->problem, refusal(answer->problem));
    else if (sent && !order->dry_run)
        *code = answer_unknown(options, order, &error);
    else
        *code = print_failure(options, &error);
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    return NULL;
}

/* Of a person at a terminal; anything but yes is no. */
static bool is_confirmed(void)
{
    char line[16] = "";
    fputs("Do it? [y/N] ", stdout);
    fflush(stdout);
    if (!fgets(line, sizeof(line), stdin)) {
        putchar('\n');
        return false;
    }
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, "y") == 0 || strcmp(line, "Y") == 0 || strcmp(line, "yes") == 0;
}

static int do_it(struct connection *connection, const struct options *options,
                 const Wire__TxOrder *order, const Wire__Resolution *preview)
{
    int code = EXIT_DONE;
    struct answerer who = connection_answerer(connection);
    Wire__Answer *answer = tell(connection, options, order, &code);
    if (!answer)
        return code;
    if (options->json) {
        print_order_json(order, preview, answer->resolution, &who);
    } else {
        putchar('\n');
        print_resolution(order, answer->resolution, false);
    }
    wire__answer__free_unpacked(answer, NULL);
    return EXIT_DONE;
}

/* The answer to a dry run, which is shown; or NULL and the exit code. */
static Wire__Answer *preview(const struct options *options, const Wire__TxOrder *order,
                             struct connection *connection, int *code)
{
    Wire__TxOrder question = *order;
    struct answerer who = connection_answerer(connection);
    question.dry_run = true;
    Wire__Answer *answer = tell(connection, options, &question, code);
    if (!answer || options->json)
        return answer;
    print_answerer(&who);
    print_resolution(order, answer->resolution, true);
    return answer;
}

/* A session does not outlive the time that a person takes: there is one before, and one after. */
static int give(const struct options *options, const Wire__TxOrder *order,
                const struct manner *manner)
{
    struct error error = {0};
    int code = EXIT_DONE;
    struct connection *connection = connection_open(options, &error);
    if (!connection)
        return print_failure(options, &error);
    struct answerer who = connection_answerer(connection);
    Wire__Answer *answer = preview(options, order, connection, &code);
    bool ends = !answer || manner->dry_run || is_idle(answer->resolution);
    bool asks = !ends && !manner->yes && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
    if (ends || asks) {
        connection_close(connection);
        connection = NULL;
    }
    if (asks && !is_confirmed()) {
        puts("nothing was done");
        code = EXIT_ABORTED;
    } else if (asks && !(connection = connection_open(options, &error))) {
        code = print_failure(options, &error);
    }
    if (connection)
        code = do_it(connection, options, order, answer->resolution);
    else if (answer && ends && options->json)
        print_order_json(order, answer->resolution, NULL, &who);
    if (connection)
        connection_close(connection);
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    return code;
}

/* ---- the words ---------------------------------------------------------------------------- */

/* What is common to both: the id, the reason, where, and who says so. False: a message was printed,
 * and *code is the exit code. */
static bool read_order(const struct command *self, const struct arguments *arguments,
                       const char *reason, const char *participant, Wire__TxOrder *order, int *code)
{
    struct error error = {0};
    *code = EXIT_USAGE;
    if (arguments->word_count == 0)
        return arguments_refuse(self, "%s needs a GTRID", self->name) == EXIT_DONE;
    const char *id = arguments->words[0];
    if (!gtrid_parse(id, &(struct gid){0}) && !gid_parse(id, &(struct gid){0})) {
        *code = foreign_refuse(self, &arguments->options, id);
        return false;
    }
    if (!tx_gtrid_check(self, id))
        return false;
    if (!reason)
        return arguments_refuse(self, "%s needs --reason 'why', for the record", self->name) ==
               EXIT_DONE;
    if (arguments->word_count > 1)
        return arguments_refuse(self, "\"%.60s\": a reason of several words stands in quotes",
                                arguments->words[1]) == EXIT_DONE;
    if (!operator_reason_check(reason, &error)) {
        *code = print_failure(&arguments->options, &error);
        return false;
    }
    if (participant && !name_valid(participant))
        return arguments_refuse(self, "--participant: a name is %s", name_rule) == EXIT_DONE;
    order->gtrid = (char *)id; /* only packed, all of them */
    order->reason = (char *)reason;
    if (participant)
        order->participant = (char *)participant;
    return true;
}

/* JSON on a terminal asks nothing: it has to be said that it is wanted. */
static bool asks_in_json(const struct arguments *arguments, const struct manner *manner)
{
    return arguments->options.json && !manner->yes && !manner->dry_run && isatty(STDIN_FILENO) &&
           isatty(STDOUT_FILENO);
}

static int run_order(const struct command *self, int argc, char **argv, Wire__TxOrderKind kind)
{
    bool commit = false, abort = false;
    struct manner manner = {0};
    const char *reason = NULL, *participant = NULL;
    struct flag flags[8] = {{"--reason", NULL, &reason, NULL},
                            {"--participant", NULL, &participant, NULL},
                            {"--yes", NULL, NULL, &manner.yes},
                            {"--dry-run", NULL, NULL, &manner.dry_run}};
    if (kind == WIRE__TX_ORDER_KIND__RESOLVE) {
        flags[4] = (struct flag){"--commit", NULL, NULL, &commit};
        flags[5] = (struct flag){"--abort", NULL, NULL, &abort};
    }
    struct arguments arguments = {.command = self, .flags = flags};
    operator_text by;
    int code;
    Wire__TxOrder order = WIRE__TX_ORDER__INIT;
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (kind == WIRE__TX_ORDER_KIND__RESOLVE && commit == abort)
        return arguments_refuse(self, "tx resolve needs one of --commit and --abort");
    if (!read_order(self, &arguments, reason, participant, &order, &code))
        return code;
    if (asks_in_json(&arguments, &manner))
        return arguments_refuse(self, "--json asks no question: --yes or --dry-run says what is "
                                      "meant");
    order.kind = kind;
    order.commit = commit;
    order.by = (char *)operator_name(by);
    return give(&arguments.options, &order, &manner);
}

static int run_resolve(const struct command *self, int argc, char **argv)
{
    return run_order(self, argc, argv, WIRE__TX_ORDER_KIND__RESOLVE);
}

static int run_forget(const struct command *self, int argc, char **argv)
{
    return run_order(self, argc, argv, WIRE__TX_ORDER_KIND__FORGET);
}

const struct command tx_resolve_command = {
    .name = "tx resolve",
    .usage = "GTRID --commit|--abort --reason 'WHY' [flags]",
    .summary = "end a transaction that nobody decides",
    .help = "Asks all databases what they hold, shows what would be done, and does it. What\n"
            "is undecided is aborted by the protocol; what is decided is never overruled; and\n"
            "where nobody is left to decide, the outcome is forced on the branches that are\n"
            "prepared: that is recorded as heuristic, compared with all that becomes known\n"
            "later, and listed until troth tx forget.\n"
            "\n"
            "  --commit, --abort  one of them; troth tx explain GTRID tells which is safe\n"
            "  --reason 'WHY'     needed: it is kept in records, rows and the audit log\n"
            "  --dry-run          only show what would be done\n"
            "  --yes              ask no question; without a terminal none is asked\n"
            "  --participant P    only the branch at P; needed at a participant's `listen`\n"
            "                     address, while the coordinator is away\n"
            "\n"
            "Exit codes: 0 done, or nothing is to be done; 1 not confirmed; 2 a mistake in\n"
            "the words, or no such transaction; 3 nobody answers; 4 refused: it contradicts\n"
            "what was decided or proved, it will be decided by itself, or its own\n"
            "coordinator is there; 5 not known whether it was done.\n"
            "\n"
            "Examples:\n"
            "  troth tx resolve shop.c1.1795222861.42 --abort --reason 'c1 lost' --dry-run\n"
            "  troth --coordinator tcp://127.0.0.1:7412 tx resolve shop.c1.1795222861.42 \\\n"
            "    --participant payments --commit --reason 'orders has it committed'\n",
    .run = run_resolve,
};

const struct command tx_forget_command = {
    .name = "tx forget",
    .usage = "GTRID --reason 'WHY' [flags]",
    .summary = "take a dealt-with hazard or forced outcome off the list",
    .help = "For when the data was looked at and set right by hand: a hazard, a heuristic or\n"
            "a mixed outcome goes from the list. Refused while anything of the transaction is\n"
            "still to be done. The journal, the rows and the audit log keep what happened.\n"
            "\n"
            "  --reason 'WHY'     needed: what was done about it\n"
            "  --dry-run          only show what would be done\n"
            "  --yes              ask no question; without a terminal none is asked\n"
            "  --participant P    only P's own record; needed at a participant's `listen`\n"
            "                     address, while the coordinator is away\n"
            "\n"
            "Exit codes: 0 forgotten, or there was nothing; 1 not confirmed; 2 a mistake in\n"
            "the words, or no such transaction; 3 nobody answers; 4 something is still owed;\n"
            "5 not known whether it was done.\n"
            "\n"
            "Example:\n"
            "  troth tx forget shop.c1.1795222861.42 --reason 'charged ada by hand, #881'\n",
    .run = run_forget,
};
