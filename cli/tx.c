/* troth tx: the transactions that a coordinator knows. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/table.h"
#include "core/check.h"
#include "core/id.h"

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_branch(struct json_writer *writer, const Wire__BranchView *branch)
{
    json_open(writer, '{');
    json_name(writer, "participant");
    json_string(writer, branch->participant);
    json_name(writer, "state");
    json_string(writer, branch->state);
    json_name(writer, "xid");
    if (branch->xid)
        json_unsigned(writer, branch->xid);
    else
        json_string(writer, NULL);
    json_name(writer, "gid");
    json_string(writer, *branch->gid ? branch->gid : NULL);
    json_name(writer, "operations");
    json_open(writer, '[');
    for (size_t i = 0; i < branch->n_operations; i++)
        json_string(writer, branch->operations[i]);
    json_close(writer, ']');
    json_name(writer, "problem");
    json_problem(writer, branch->problem);
    json_close(writer, '}');
}

static void json_transaction(struct json_writer *writer, const Wire__TransactionView *tx)
{
    json_open(writer, '{');
    json_name(writer, "gtrid");
    json_string(writer, tx->gtrid);
    json_name(writer, "state");
    json_string(writer, tx->state);
    json_name(writer, "in_doubt");
    json_boolean(writer, tx->in_doubt);
    json_name(writer, "protocol");
    json_string(writer, tx->protocol == WIRE__PROTOCOL__THREE_PHASE ? "3pc" : "2pc");
    json_name(writer, "key");
    json_string(writer, *tx->key ? tx->key : NULL);
    json_time(writer, "begun", tx->begun_us);
    json_time(writer, "decided", tx->decided_us);
    json_time(writer, "ended", tx->ended_us);
    json_name(writer, "problem");
    json_problem(writer, tx->problem);
    json_name(writer, "branches");
    json_open(writer, '[');
    for (size_t i = 0; i < tx->n_branches; i++)
        json_branch(writer, tx->branches[i]);
    json_close(writer, ']');
    json_close(writer, '}');
}

static int answer_problem(const struct options *options, const Wire__Problem *problem,
                          enum error_kind kind)
{
    struct error error = {0};
    char *line = problem_line(problem);
    error_set(&error, kind, "%s", line);
    error_detail(&error, "%s", problem->detail);
    error_hint(&error, "%s", problem->hint);
    free(line);
    return print_failure(options, &error);
}

/* ---- tx list ------------------------------------------------------------------------------ */

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

static void print_list(const Wire__Answer *answer, bool in_doubt)
{
    static const char *const headers[] = {"GTRID",    "STATE",        "AGE",
                                          "IN DOUBT", "PARTICIPANTS", NULL};
    struct table table = {0};
    time_text age;
    if (answer->n_transactions == 0) {
        printf("no transactions%s\n", in_doubt ? " in doubt" : "");
        return;
    }
    table_begin(&table, headers);
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const Wire__TransactionView *tx = answer->transactions[i];
        table_add(&table, tx->gtrid);
        table_add(&table, tx->state);
        table_add(&table, age_format(age, wall_now_us() - tx->begun_us));
        table_add(&table, tx->in_doubt ? "yes" : "-");
        add_participants(&table, tx);
    }
    table_end(&table, stdout, 0);
    if (answer->more)
        printf("and %" PRIu64 " more; these are the newest\n", answer->more);
}

static void print_list_json(const Wire__Answer *answer)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "transactions");
    json_open(&writer, '[');
    for (size_t i = 0; i < answer->n_transactions; i++)
        json_transaction(&writer, answer->transactions[i]);
    json_close(&writer, ']');
    json_name(&writer, "more");
    json_unsigned(&writer, answer->more);
    json_close(&writer, '}');
    print_json(&writer);
}

static int list_transactions(const struct options *options, const Wire__Query *query)
{
    struct error error = {0};
    Wire__Answer *answer = connect_and_query(options, query, &error);
    if (!answer)
        return print_failure(options, &error);
    int code = EXIT_DONE;
    if (problem_is_set(answer->problem))
        code = answer_problem(options, answer->problem, ERROR_USAGE);
    else if (options->json)
        print_list_json(answer);
    else
        print_list(answer, query->in_doubt);
    wire__answer__free_unpacked(answer, NULL);
    return code;
}

static int run_list(const struct command *self, int argc, char **argv)
{
    bool in_doubt = false;
    const char *participant = NULL;
    const struct flag flags[] = {{"--in-doubt", NULL, NULL, &in_doubt},
                                 {"--participant", NULL, &participant, NULL},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count)
        return arguments_refuse(self, "tx list takes no \"%.60s\"", arguments.words[0]);
    if (participant && !name_valid(participant))
        return arguments_refuse(self, "--participant: a name is %s", name_rule);
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTIONS;
    query.in_doubt = in_doubt;
    if (participant)
        query.participant = (char *)participant; /* only packed */
    return list_transactions(&arguments.options, &query);
}

const struct command tx_list_command = {
    .name = "tx list",
    .usage = "[--in-doubt] [--participant P]",
    .summary = "list transactions, newest first",
    .help = "Lists what is running, what is not applied everywhere yet, hazards, and the\n"
            "newest of what has ended; at most 100 rows.\n"
            "\n"
            "  --in-doubt         only those with a branch that is prepared and not known to\n"
            "                     be told the decision; and hazards\n"
            "  --participant P    only those with a branch at P\n"
            "\n"
            "Examples:\n"
            "  troth tx list --in-doubt\n"
            "  troth tx list --participant payments --json\n",
    .run = run_list,
};

/* ---- tx show ------------------------------------------------------------------------------ */

static void print_fact(const char *name, const char *value)
{
    printf("%-12s ", name);
    print_escaped(stdout, value);
    putchar('\n');
}

static void print_moment(const char *name, int64_t us, int64_t since_us)
{
    time_text text, age;
    if (us <= 0) {
        print_fact(name, "not yet");
        return;
    }
    printf("%-12s %s", name, time_format(text, us));
    if (since_us > 0)
        printf(" (after %s)", age_format(age, us - since_us));
    else
        printf(" (%s ago)", age_format(age, wall_now_us() - us));
    putchar('\n');
}

static void print_timeline(const Wire__TransactionView *tx)
{
    print_fact("transaction", tx->gtrid);
    print_fact("state", tx->state);
    print_fact("in doubt", tx->in_doubt ? "yes: a branch is prepared and the decision is not known "
                                          "to be carried out there"
                                        : "no");
    print_fact("protocol", tx->protocol == WIRE__PROTOCOL__THREE_PHASE ? "3pc" : "2pc");
    if (*tx->key)
        print_fact("key", tx->key);
    print_moment("begun", tx->begun_us, 0);
    print_moment("decided", tx->decided_us, tx->begun_us);
    print_moment("ended", tx->ended_us, tx->begun_us);
    if (problem_is_set(tx->problem)) {
        char *line = problem_line(tx->problem);
        print_fact("problem", line);
        free(line);
        print_problem_rest(stdout, tx->problem, 13);
    }
}

static void add_operations(struct table *table, const Wire__BranchView *branch)
{
    char *text = xstrdup("");
    for (size_t i = 0; i < branch->n_operations; i++) {
        char *longer = xasprintf("%s%s%s", text, i ? " " : "", branch->operations[i]);
        free(text);
        text = longer;
    }
    table_add(table, text);
    free(text);
}

static void print_branches(const Wire__TransactionView *tx)
{
    static const char *const headers[] = {"PARTICIPANT", "STATE", "XID", "GID", "OPERATIONS", NULL};
    struct table table = {0};
    putchar('\n');
    table_begin(&table, headers);
    for (size_t i = 0; i < tx->n_branches; i++) {
        const Wire__BranchView *branch = tx->branches[i];
        table_add(&table, branch->participant);
        table_add(&table, branch->state);
        if (branch->xid)
            table_add_format(&table, "%" PRIu64, branch->xid);
        else
            table_add(&table, "-");
        table_add(&table, branch->gid);
        add_operations(&table, branch);
    }
    table_end(&table, stdout, 0);
    for (size_t i = 0; i < tx->n_branches; i++) {
        const Wire__BranchView *branch = tx->branches[i];
        if (!problem_is_set(branch->problem))
            continue;
        char *line = problem_line(branch->problem);
        putchar('\n');
        print_escaped(stdout, branch->participant);
        fputs(": ", stdout);
        print_escaped(stdout, line);
        putchar('\n');
        print_problem_rest(stdout, branch->problem, 2);
        free(line);
    }
}

static int show_transaction(const struct options *options, const char *gtrid)
{
    struct error error = {0};
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTION;
    query.gtrid = (char *)gtrid; /* only packed */
    Wire__Answer *answer = connect_and_query(options, &query, &error);
    if (!answer)
        return print_failure(options, &error);
    int code = EXIT_DONE;
    if (problem_is_set(answer->problem)) {
        code = answer_problem(options, answer->problem, ERROR_PROTOCOL);
    } else if (answer->n_transactions == 0) {
        error_set(&error, ERROR_PROTOCOL, "%s is not known to the coordinator", gtrid);
        error_hint(&error, "what ended long ago is forgotten; troth tx list shows what is known");
        code = print_failure(options, &error);
    } else if (options->json) {
        struct json_writer writer = {0};
        json_transaction(&writer, answer->transactions[0]);
        print_json(&writer);
    } else {
        print_timeline(answer->transactions[0]);
        print_branches(answer->transactions[0]);
    }
    wire__answer__free_unpacked(answer, NULL);
    return code;
}

static int run_show(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.command = self};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "tx show needs one GTRID");
    struct gid id;
    const char *gtrid = arguments.words[0];
    if (gid_parse(gtrid, &id))
        return arguments_refuse(
            self, "\"%.200s\" is the gid of one branch; the GTRID is %s.%s.%" PRIu64 ".%" PRIu64,
            gtrid, id.cluster, id.coordinator, id.tx.epoch, id.tx.seq);
    if (!gtrid_parse(gtrid, &id))
        return arguments_refuse(self,
                                "\"%.120s\" is no GTRID: cluster.coordinator.epoch.number, as "
                                "troth tx list shows it",
                                gtrid);
    return show_transaction(&arguments.options, gtrid);
}

const struct command tx_show_command = {
    .name = "tx show",
    .usage = "GTRID",
    .summary = "show one transaction and its branches",
    .help = "Shows when the transaction was begun, decided and ended, why it aborted, and\n"
            "each branch: its state, its xid and gid in the participant's database (see\n"
            "pg_prepared_xacts there), and its problem.\n"
            "\n"
            "Exit code: 0 shown; 5 the coordinator does not know the transaction.\n"
            "\n"
            "Example:\n"
            "  troth tx show shop.c1.1795222861.42\n",
    .run = run_show,
};
