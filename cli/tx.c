/* troth tx: the transactions that a coordinator knows, or in its absence a participant. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/saga.h"
#include "cli/sites.h"
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

/* Of what ended long ago only the outcome is kept. */
static bool is_retained(const Wire__TransactionView *tx)
{
    return tx->begun_us == 0 && tx->n_branches == 0 && tx->n_sites == 0;
}

static const char *protocol_word(const Wire__TransactionView *tx)
{
    return is_three_phase(tx) ? "3pc" : "2pc";
}

/* Of "shop.c1.5.17/book" the saga, a new text; NULL: it is no step of a saga. */
static char *saga_of(const Wire__TransactionView *tx)
{
    return *tx->saga_step ? xstrndup(tx->saga_step, strcspn(tx->saga_step, "/")) : NULL;
}

static const char *step_of(const Wire__TransactionView *tx)
{
    const char *slash = strchr(tx->saga_step, '/');
    return slash ? slash + 1 : "";
}

static void json_saga_step(struct json_writer *writer, const Wire__TransactionView *tx)
{
    char *saga = saga_of(tx);
    json_name(writer, "saga");
    json_string(writer, saga);
    json_name(writer, "step");
    json_string(writer, saga ? step_of(tx) : NULL);
    free(saga);
}

/* The members of the open object. */
static void json_transaction(struct json_writer *writer, const Wire__TransactionView *tx)
{
    json_name(writer, "gtrid");
    json_string(writer, tx->gtrid);
    json_name(writer, "state");
    json_string(writer, tx->state);
    json_name(writer, "in_doubt");
    json_boolean(writer, tx->in_doubt);
    json_name(writer, "protocol");
    json_string(writer, is_retained(tx) ? NULL : protocol_word(tx));
    json_name(writer, "key");
    json_string(writer, *tx->key ? tx->key : NULL);
    json_saga_step(writer, tx);
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
    if (is_three_phase(tx))
        json_three_phase(writer, tx);
    if (is_three_phase(tx) || *tx->waits_for) {
        json_name(writer, "waits_for");
        json_string(writer, *tx->waits_for ? tx->waits_for : NULL);
    }
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
    static const char *const headers[] = {"GTRID",    "STATE",        "BY", "AGE",
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
        table_add(&table, protocol_word(tx));
        table_add(&table, tx->begun_us ? age_format(age, wall_now_us() - tx->begun_us) : "-");
        table_add(&table, tx->in_doubt ? "yes" : "-");
        add_participants(&table, tx);
    }
    table_end(&table, stdout, 0);
    if (answer->more)
        printf("and %" PRIu64 " more; these are the newest\n", answer->more);
}

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

static int list_transactions(const struct options *options, const Wire__Query *query)
{
    struct error error = {0};
    struct answerer who;
    Wire__Answer *answer = connect_and_query(options, query, &who, &error);
    if (!answer)
        return print_failure(options, &error);
    int code = EXIT_DONE;
    if (problem_is_set(answer->problem))
        code = print_answer_problem(options, answer->problem, ERROR_USAGE);
    else if (options->json)
        print_list_json(answer, &who);
    else {
        print_answerer(&who);
        print_list(answer, query->in_doubt);
    }
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
            "newest of what has ended; at most 100 rows. BY is the protocol: 2pc or 3pc.\n"
            "\n"
            "While the coordinator is away, --coordinator with the `listen` address of a\n"
            "participant lists what that one has in doubt or finishes without it.\n"
            "\n"
            "  --in-doubt         only those with a branch that is prepared and not known to\n"
            "                     be told the decision; and hazards\n"
            "  --participant P    only those with a branch at P\n"
            "\n"
            "Examples:\n"
            "  troth tx list --in-doubt\n"
            "  troth tx list --participant payments --json\n"
            "  troth --coordinator tcp://127.0.0.1:7412 tx list\n",
    .run = run_list,
};

/* ---- tx show ------------------------------------------------------------------------------ */

static void print_fact(const char *name, const char *value)
{
    printf("%-12s ", name);
    print_escaped(stdout, value);
    putchar('\n');
}

/* A participant knows when it saw the transaction, not what its coordinator has written down. */
static void print_moment(const char *name, int64_t us, int64_t since_us, const struct answerer *who)
{
    time_text text, age;
    if (us <= 0) {
        print_fact(name, who->participant ? "not known here" : "not yet");
        return;
    }
    printf("%-12s %s", name, time_format(text, us));
    if (since_us > 0)
        printf(" (after %s)", age_format(age, us - since_us));
    else
        printf(" (%s ago)", age_format(age, wall_now_us() - us));
    putchar('\n');
}

/* A site can know what was decided without knowing when. */
static void print_decided(const Wire__TransactionView *tx, const struct answerer *who)
{
    const char *decision = decision_known(tx);
    if (tx->decided_us || !decision) {
        print_moment("decided", tx->decided_us, tx->begun_us, who);
        return;
    }
    printf("%-12s %s; when is not known here\n", "decided", decision);
}

static void print_phase(const Wire__TransactionView *tx)
{
    const char *meaning = phase_meaning(tx->phase);
    if (!*tx->phase)
        return;
    char *text = xasprintf("%s%s%s", tx->phase, meaning ? ": " : "", meaning ? meaning : "");
    print_fact("phase", text);
    free(text);
}

static const char *in_doubt_words(const Wire__TransactionView *tx)
{
    if (!tx->in_doubt)
        return "no";
    if (is_three_phase(tx))
        return "yes: a branch is prepared, and not known to have ended";
    return "yes: a branch is prepared and the decision is not known to be carried out there";
}

static void print_saga_step(const Wire__TransactionView *tx)
{
    char *saga = saga_of(tx);
    if (!saga)
        return;
    char *text = xasprintf("%s of saga %s", step_of(tx), saga);
    print_fact("is the step", text);
    free(text);
    free(saga);
}

static void print_timeline(const Wire__TransactionView *tx, const struct answerer *who)
{
    print_fact("transaction", tx->gtrid);
    print_fact("state", tx->state);
    if (is_retained(tx)) {
        print_fact("the rest", "is not kept: it ended long ago, or before the coordinator's start");
        return;
    }
    print_fact("in doubt", in_doubt_words(tx));
    print_fact("protocol", protocol_word(tx));
    print_phase(tx);
    if (*tx->key)
        print_fact("key", tx->key);
    print_saga_step(tx);
    print_moment("begun", tx->begun_us, 0, who);
    print_decided(tx, who);
    print_moment("ended", tx->ended_us, tx->begun_us, who);
    if (is_three_phase(tx))
        print_fact("terminator", *tx->terminator ? tx->terminator : "none: it goes its usual way");
    if (is_three_phase(tx) || *tx->waits_for)
        print_fact("waits for", *tx->waits_for ? tx->waits_for : "nothing");
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
    if (tx->n_branches == 0)
        return;
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
    struct connection *connection = connection_open(options, &error);
    if (!connection)
        return print_failure(options, &error);
    struct answerer who = connection_answerer(connection);
    Wire__Answer *answer = connection_query(connection, &query, &error);
    bool saga = answer && answer->n_transactions == 0 && !who.participant &&
                saga_is_known(connection, gtrid);
    connection_close(connection);
    if (!answer)
        return print_failure(options, &error);
    int code = EXIT_DONE;
    if (saga) {
        error_set(&error, ERROR_USAGE, "%s is a saga, not a transaction", gtrid);
        error_hint(&error, "troth saga show %s", gtrid);
        code = print_failure(options, &error);
    } else if (problem_is_set(answer->problem)) {
        code = print_answer_problem(options, answer->problem, ERROR_PROTOCOL);
    } else if (answer->n_transactions == 0) {
        error_set(&error, ERROR_PROTOCOL, "%s is not known to %s %s", gtrid,
                  who.participant ? "participant" : "coordinator", who.name);
        error_hint(&error, "what ended long ago is forgotten; troth tx list shows what is known");
        code = print_failure(options, &error);
    } else if (options->json) {
        struct json_writer writer = {0};
        json_open(&writer, '{');
        json_transaction(&writer, answer->transactions[0]);
        json_answerer(&writer, &who);
        json_close(&writer, '}');
        print_json(&writer);
    } else {
        print_answerer(&who);
        print_timeline(answer->transactions[0], &who);
        print_branches(answer->transactions[0]);
        print_sites(answer->transactions[0]);
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
    .summary = "show one transaction, its branches and sites",
    .help = "Shows when the transaction was begun, decided and ended, why it aborted, and\n"
            "each branch: its state, its xid and gid in the participant's database (see\n"
            "pg_prepared_xacts there), and its problem.\n"
            "\n"
            "Of three-phase commit also the phase, who finishes it in the coordinator's\n"
            "place, what it waits for, and its sites, the coordinator and the participants.\n"
            "A majority of them decides by what their registers hold:\n"
            "\n"
            "  can-commit              the votes are gathered\n"
            "  pre-commit              all voted yes; the sites are asked to accept commit\n"
            "  do-commit               decided; the branches carry it out\n"
            "\n"
            "  empty                   it has promised and accepted nothing\n"
            "  promised 2.payments     it takes nothing below round 2 of payments\n"
            "  accepted commit at 0.c1 it has said commit, in round 0, which is c1's own\n"
            "  knows commit            it knows the decision\n"
            "  not heard               nothing is known of it\n"
            "\n"
            "While the coordinator is away, --coordinator with the `listen` address of a\n"
            "participant shows what that one knows.\n"
            "\n"
            "Exit code: 0 shown; 5 who was asked does not know the transaction.\n"
            "\n"
            "Examples:\n"
            "  troth tx show shop.c1.1795222861.42\n"
            "  troth --coordinator tcp://127.0.0.1:7412 tx show shop.c1.1795222861.42\n",
    .run = run_show,
};
