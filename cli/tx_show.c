/* troth tx show: one transaction, what happened to it in order of time, its branches and sites. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/saga.h"
#include "cli/sites.h"
#include "cli/table.h"
#include "cli/tx.h"
#include "cli/wrap.h"
#include "core/check.h"

enum { FACT_COLUMNS = 13 };
#define FACT_RAIL "             "

/* ---- facts -------------------------------------------------------------------------------- */

static void print_fact(const char *name, const char *value)
{
    printf("%-*s ", FACT_COLUMNS - 1, name);
    print_wrapped(stdout, value, FACT_COLUMNS, FACT_RAIL);
    putchar('\n');
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
    if (tx->hazard)
        return "yes: see hazard";
    if (is_three_phase(tx))
        return "yes: a branch is prepared, and not known to have ended";
    return "yes: a branch is prepared and the decision is not known to be carried out there";
}

/* What an operator must know before all else. */
static void print_marks(const Wire__TransactionView *tx)
{
    if (strcmp(tx->heuristic, "mixed") == 0)
        print_fact("mixed", "yes: databases differ, after an operator forced an outcome");
    else if (*tx->heuristic)
        print_fact("heuristic", strcmp(tx->heuristic, "commit") == 0
                                    ? "commit: an operator forced it; nothing known contradicts it"
                                    : "abort: an operator forced it; nothing known contradicts it");
    if (tx->hazard && *tx->heuristic && !*tx->decision)
        print_fact("hazard", "yes: what was decided is not known, so nothing of it can be proved");
    else if (tx->hazard)
        print_fact("hazard", "yes: a branch can't be proved to be what was decided");
}

static void print_saga_step(const Wire__TransactionView *tx)
{
    char *saga = tx_saga(tx);
    if (!saga)
        return;
    char *text = xasprintf("%s of saga %s", tx_step(tx), saga);
    print_fact("is the step", text);
    free(text);
    free(saga);
}

/* What a problem says below its line. */
static void print_more(const char *label, const char *text)
{
    if (*text)
        print_fact(label, text);
}

static void print_facts(const Wire__TransactionView *tx)
{
    print_fact("transaction", tx->gtrid);
    print_fact("state", tx->state);
    if (tx_is_retained(tx)) {
        print_fact("the rest", "is not kept: it ended long ago, or before the coordinator's start");
        return;
    }
    print_marks(tx);
    print_fact("in doubt", in_doubt_words(tx));
    print_fact("protocol", *tx_protocol(tx) ? tx_protocol(tx) : "not known here");
    print_phase(tx);
    if (*tx->key)
        print_fact("key", tx->key);
    print_saga_step(tx);
    if (is_three_phase(tx))
        print_fact("terminator", *tx->terminator ? tx->terminator : "none: it goes its usual way");
    if (is_three_phase(tx) || *tx->waits_for)
        print_fact("waits for", *tx->waits_for ? tx->waits_for : "nothing");
    if (problem_is_set(tx->problem)) {
        char *line = problem_line(tx->problem);
        print_fact("problem", line);
        free(line);
        print_more("  detail", tx->problem->detail);
        print_more("  hint", tx->problem->hint);
    }
}

/* ---- the timeline ------------------------------------------------------------------------- */

struct moment {
    int64_t us;
    size_t number; /* of those at the same time */
    char *text;
};

struct timeline {
    struct moment *moments;
    size_t count, room;
};

/* Takes the text; nothing is known without its time. */
static void add_moment(struct timeline *line, int64_t us, char *text)
{
    if (us <= 0) {
        free(text);
        return;
    }
    if (line->count == line->room) {
        line->room = line->room ? 2 * line->room : 16;
        line->moments = xrealloc(line->moments, line->room * sizeof(line->moments[0]));
    }
    line->moments[line->count] = (struct moment){us, line->count, text};
    line->count++;
}

static const char *vote_words(const Wire__BranchView *branch)
{
    if (strcmp(branch->state, "refused") == 0)
        return "voted no";
    if (strcmp(branch->state, "read-only") == 0)
        return "had only read";
    return "voted yes: prepared";
}

/* A new text. */
static char *end_words(const Wire__BranchView *branch)
{
    if (strcmp(branch->state, "hazard") == 0)
        return xasprintf("%s: hazard%s%s", branch->participant, branch->problem ? ": " : "",
                         branch->problem ? branch->problem->message : "");
    return xasprintf("%s: %s", branch->participant,
                     strcmp(branch->state, "applied") == 0   ? "applied"
                     : strcmp(branch->state, "aborted") == 0 ? "rolled back"
                                                             : branch->state);
}

static void add_heuristics(struct timeline *line, const Wire__TransactionView *tx)
{
    for (size_t i = 0; i < tx->n_heuristics; i++)
        add_moment(line, tx->heuristics[i]->at_us, heuristic_line(tx->heuristics[i]));
    /* Those of the branches are among them, unless who answers knows only its own. */
    for (size_t i = 0; i < tx->n_branches && tx->n_heuristics == 0; i++) {
        const Wire__Heuristic *heuristic = tx->branches[i]->heuristic;
        if (heuristic)
            add_moment(line, heuristic->at_us, heuristic_line(heuristic));
    }
}

/* The decision's word, by all that tells it; NULL: none is known. */
static const char *decision_word(const Wire__TransactionView *tx)
{
    if (*tx->decision)
        return tx->decision;
    if (strcmp(tx->state, "committed") == 0 || strcmp(tx->state, "applied") == 0)
        return "commit";
    return strcmp(tx->state, "aborted") == 0 ? "abort" : decision_known(tx);
}

/* Votes are kept by the millisecond, and the decision waits for the last one. */
static int64_t vote_us(const Wire__TransactionView *tx, const Wire__BranchView *branch)
{
    bool rounded = tx->decided_us > 0 && branch->voted_us > tx->decided_us &&
                   branch->voted_us - tx->decided_us < 1000;
    return rounded ? tx->decided_us : branch->voted_us;
}

/* Nothing is known of it but what an operator forced. */
static bool is_forced_only(const Wire__TransactionView *tx)
{
    return strcmp(tx->state, "heuristic") == 0;
}

static bool is_told_as_forced(const Wire__BranchView *branch)
{
    return branch->heuristic && !*branch->heuristic->found && strcmp(branch->state, "hazard") != 0;
}

static void add_moments(struct timeline *line, const Wire__TransactionView *tx)
{
    const char *decision = decision_word(tx);
    if (!is_forced_only(tx)) /* else that is when it was forced */
        add_moment(line, tx->begun_us, xstrdup("begun"));
    for (size_t i = 0; i < tx->n_branches; i++)
        add_moment(line, vote_us(tx, tx->branches[i]),
                   xasprintf("%s: %s", tx->branches[i]->participant, vote_words(tx->branches[i])));
    add_moment(line, tx->decided_us,
               xasprintf("decided%s%s", decision ? ": " : "", decision ? decision : ""));
    for (size_t i = 0; i < tx->n_branches; i++) {
        if (!is_told_as_forced(tx->branches[i]))
            add_moment(line, tx->branches[i]->ended_us, end_words(tx->branches[i]));
    }
    add_heuristics(line, tx);
    add_moment(line, tx->ended_us, xstrdup("ended: nothing is owed any more"));
}

static int by_time(const void *a, const void *b)
{
    const struct moment *left = a, *right = b;
    if (left->us != right->us)
        return left->us < right->us ? -1 : 1;
    return left->number < right->number ? -1 : left->number > right->number;
}

/* "2026-11-21T01:01:01.123Z   +12ms  text"; what follows is below the text. */
static void print_moment(const struct moment *moment, int64_t since_us)
{
    static const char rail[] = "                                  ";
    time_text text, age, after = "";
    if (since_us > 0 && moment->us > since_us)
        snprintf(after, sizeof(after), "+%.30s", age_between(age, since_us, moment->us));
    int at = printf("%-24s %7s  ", time_format(text, moment->us), after);
    print_wrapped(stdout, moment->text, at, rail);
    putchar('\n');
}

/* A site can know what was decided without knowing when; a participant knows when it saw the
 * transaction, not what its coordinator has written down. */
static void print_missing(const Wire__TransactionView *tx, const struct answerer *who)
{
    bool unknown = who->participant || is_forced_only(tx);
    const char *missing = unknown ? "not known here" : "not yet", *decision;
    if (!tx->begun_us || is_forced_only(tx))
        print_fact("begun", missing);
    if (!tx->decided_us && (decision = decision_word(tx))) {
        char *text = xasprintf("%s; when is not known here", decision);
        print_fact("decided", text);
        free(text);
    } else if (!tx->decided_us) {
        print_fact("decided", missing);
    }
    if (!tx->ended_us)
        print_fact("ended", missing);
}

static void print_timeline(const Wire__TransactionView *tx, const struct answerer *who)
{
    struct timeline line = {0};
    add_moments(&line, tx);
    if (tx->begun_us && !tx->ended_us)
        add_moment(&line, wall_now_us(), xstrdup("now"));
    if (line.count > 0)
        qsort(line.moments, line.count, sizeof(line.moments[0]), by_time);
    if (line.count > 0)
        putchar('\n');
    for (size_t i = 0; i < line.count; i++) {
        print_moment(&line.moments[i], is_forced_only(tx) ? 0 : tx->begun_us);
        free(line.moments[i].text);
    }
    free(line.moments);
    print_missing(tx, who);
}

/* ---- branches ----------------------------------------------------------------------------- */

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

/* "payments: what", wrapped. */
static void print_of_branch(const Wire__BranchView *branch, const char *label, const char *what)
{
    char *text = xasprintf("%s: %s%s", branch->participant, label, what);
    print_wrapped(stdout, text, 0, "  ");
    putchar('\n');
    free(text);
}

/* What the transaction's own problem says stands above. */
static bool has_own_problem(const Wire__TransactionView *tx, const Wire__BranchView *branch)
{
    const Wire__Problem *problem = branch->problem;
    return problem_is_set(problem) &&
           !(tx->problem && strcmp(tx->problem->message, problem->message) == 0 &&
             strcmp(tx->problem->participant, problem->participant) == 0);
}

static void print_branch_rest(const Wire__TransactionView *tx, const Wire__BranchView *branch)
{
    if (*branch->waits_for)
        print_of_branch(branch, "waits for ",
                        strcmp(branch->waits_for, branch->participant) == 0 ? "its answer"
                                                                            : branch->waits_for);
    if (!has_own_problem(tx, branch))
        return;
    Wire__Problem problem = *branch->problem;
    if (strcmp(problem.participant, branch->participant) == 0)
        problem.participant = (char *)"";
    char *line = problem_line(&problem);
    print_of_branch(branch, "", line);
    free(line);
    if (*problem.detail)
        print_of_branch(branch, "detail: ", problem.detail);
    if (*problem.hint)
        print_of_branch(branch, "hint: ", problem.hint);
}

static bool has_rest(const Wire__TransactionView *tx, const Wire__BranchView *branch)
{
    return *branch->waits_for || has_own_problem(tx, branch);
}

static void print_branches(const Wire__TransactionView *tx)
{
    static const char *const headers[] = {"PARTICIPANT", "STATE", "XID", "OPERATIONS", "GID", NULL};
    enum { OPERATIONS = 3 };
    struct table table = {0};
    bool rest = false;
    if (tx->n_branches == 0)
        return;
    putchar('\n');
    table_begin(&table, headers);
    table.spare = 1u << OPERATIONS;
    table.whole = true;
    for (size_t i = 0; i < tx->n_branches; i++) {
        const Wire__BranchView *branch = tx->branches[i];
        rest = rest || has_rest(tx, branch);
        table_add(&table, branch->participant);
        table_add(&table, branch->state);
        if (branch->xid)
            table_add_format(&table, "%" PRIu64, branch->xid);
        else
            table_add(&table, "-");
        add_operations(&table, branch);
        table_add(&table, branch->gid);
    }
    table_end(&table, stdout, 0);
    if (rest)
        putchar('\n');
    for (size_t i = 0; i < tx->n_branches; i++)
        print_branch_rest(tx, tx->branches[i]);
}

/* ---- the answer --------------------------------------------------------------------------- */

static int print_unknown(const struct options *options, const char *gtrid,
                         const struct answerer *who)
{
    struct error error = {0};
    error_set(&error, ERROR_PROTOCOL, "%s is not known to %s %s", gtrid,
              who->participant ? "participant" : "coordinator", who->name);
    error_hint(&error, "what ended long ago is forgotten; troth tx list shows what is known");
    return print_failure(options, &error);
}

int tx_show_print(const struct options *options, const char *gtrid, const Wire__Answer *answer,
                  const struct answerer *who)
{
    if (problem_is_set(answer->problem))
        return print_answer_problem(options, answer->problem, ERROR_PROTOCOL);
    if (answer->n_transactions == 0)
        return print_unknown(options, gtrid, who);
    const Wire__TransactionView *tx = answer->transactions[0];
    if (options->json) {
        struct json_writer writer = {0};
        json_open(&writer, '{');
        json_transaction(&writer, tx);
        json_answerer(&writer, who);
        json_close(&writer, '}');
        print_json(&writer);
        return EXIT_DONE;
    }
    print_answerer(who);
    print_facts(tx);
    if (tx_is_retained(tx))
        return EXIT_DONE;
    print_timeline(tx, who);
    print_branches(tx);
    print_sites(tx);
    return EXIT_DONE;
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
    int code;
    if (saga) {
        error_set(&error, ERROR_USAGE, "%s is a saga, not a transaction", gtrid);
        error_hint(&error, "troth saga show %s", gtrid);
        code = print_failure(options, &error);
    } else {
        code = tx_show_print(options, gtrid, answer, &who);
    }
    wire__answer__free_unpacked(answer, NULL);
    return answerer_exit(&who, code);
}

static int run_show(const struct command *self, int argc, char **argv)
{
    const char *journal = NULL;
    const struct flag flags[] = {{"--journal", NULL, &journal, NULL}, {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    arguments.options.journal = journal;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "tx show needs one GTRID");
    if (!tx_gtrid_check(self, arguments.words[0]))
        return EXIT_USAGE;
    return show_transaction(&arguments.options, arguments.words[0]);
}

const struct command tx_show_command = {
    .name = "tx show",
    .usage = "GTRID [--journal DIR]",
    .summary = "show one transaction, its branches and sites",
    .help = "Shows what happened to a transaction in order of time, why it aborted, and\n"
            "each branch: its state, its xid and gid in the participant's database (see\n"
            "pg_prepared_xacts there), its problem, and what it waits for; and what an\n"
            "operator forced, with who and why.\n"
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
            "What the databases themselves hold, and what to do: troth tx explain GTRID.\n"
            "While the coordinator is away, --coordinator with the `listen` address of a\n"
            "participant shows what that one knows.\n"
            "\n"
            "  --journal DIR    asks nobody: reads the journal in DIR, which may be a copy;\n"
            "                   what a restart would find is shown\n"
            "\n"
            "Exit codes: 0 shown; 2 the journal is damaged; 5 who was asked does not know the\n"
            "transaction.\n"
            "\n"
            "Examples:\n"
            "  troth tx show shop.c1.1795222861.42\n"
            "  troth --coordinator tcp://127.0.0.1:7412 tx show shop.c1.1795222861.42\n",
    .run = run_show,
};
