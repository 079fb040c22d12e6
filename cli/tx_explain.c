/* troth tx explain: what is true of one transaction in each database, what it blocks, and what to
 * do about it. For whoever is woken up by it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/advice.h"
#include "cli/blast.h"
#include "cli/evidence.h"
#include "cli/print.h"
#include "cli/saga.h"
#include "cli/table.h"
#include "cli/tx.h"
#include "cli/wrap.h"
#include "core/check.h"

/* ---- what is asked ------------------------------------------------------------------------ */

struct inquest {
    const char *word; /* as it was given */
    gtrid_text gtrid; /* "": it is not Troth's */
    struct answerer who;
    Wire__Answer *transaction, *evidence, *prepared;
    struct advice_facts facts;
    struct advice advice;
    char *command;
};

static void inquest_fini(struct inquest *inquest)
{
    Wire__Answer *const answers[] = {inquest->transaction, inquest->evidence, inquest->prepared};
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        if (answers[i])
            wire__answer__free_unpacked(answers[i], NULL);
    }
    advice_fini(&inquest->advice);
    free(inquest->command);
}

static Wire__Answer *ask(struct connection *connection, Wire__What what, const char *gtrid,
                         struct error *error)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = what;
    query.gtrid = (char *)gtrid; /* only packed */
    return connection_query(connection, &query, error);
}

static bool ask_all(struct connection *connection, struct inquest *inquest, struct error *error)
{
    inquest->who = connection_answerer(connection);
    if (!*inquest->gtrid) {
        inquest->prepared = prepared_ask(connection, "", error);
        return inquest->prepared != NULL;
    }
    inquest->transaction = ask(connection, WIRE__WHAT__TRANSACTION, inquest->gtrid, error);
    if (inquest->transaction)
        inquest->evidence = ask(connection, WIRE__WHAT__EVIDENCE, inquest->gtrid, error);
    return inquest->evidence != NULL;
}

static void take_facts(struct inquest *inquest, const struct options *options)
{
    struct advice_facts *facts = &inquest->facts;
    const Wire__Answer *transaction = inquest->transaction;
    const Wire__Answer *from = inquest->evidence ? inquest->evidence : inquest->prepared;
    const Wire__Testimony *at = NULL;
    inquest->command = options->coordinator_from == NAMED_BY_FLAG
                           ? xasprintf("troth --coordinator %s", options->coordinator)
                           : xstrdup("troth");
    facts->id = *inquest->gtrid ? inquest->gtrid : inquest->word;
    facts->command = inquest->command;
    facts->at_participant = inquest->who.participant;
    facts->asked = inquest->who.name;
    if (transaction && transaction->n_transactions > 0)
        facts->tx = transaction->transactions[0];
    else if (transaction && problem_is_set(transaction->problem))
        facts->problem = transaction->problem;
    facts->testimonies = from->testimonies;
    facts->testimony_count = from->n_testimonies;
    if (inquest->prepared)
        facts->foreign = prepared_find(inquest->prepared, inquest->word, &at);
    if (at)
        facts->foreign_at = at->participant;
}

/* ---- text --------------------------------------------------------------------------------- */

static void print_lines(const char *text, int indent)
{
    char *rail = xasprintf("%*s", indent, "");
    fputs(rail, stdout);
    print_wrapped(stdout, text, indent, rail);
    putchar('\n');
    free(rail);
}

/* To be copied: a shell's goes on behind a \\ where it is too wide, SQL stays on its line. */
static void print_command(const char *command)
{
    bool shell = strncmp(command, "troth ", strlen("troth ")) == 0;
    char *safe = escaped(command), *rest = NULL;
    int column = 4;
    fputs("   ", stdout);
    for (char *word = strtok_r(safe, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        int width = text_width(word);
        if (shell && column > 4 && column + 1 + width + 2 > PAGE_COLUMNS) {
            fputs(" \\\n     ", stdout);
            column = 6;
        }
        printf(" %s", word);
        column += 1 + width;
    }
    putchar('\n');
    free(safe);
}

static void print_verdict(const struct inquest *inquest)
{
    char *text = xasprintf("%s: %s.", inquest->facts.id, inquest->advice.verdict);
    print_wrapped(stdout, text, 0, "  ");
    putchar('\n');
    free(text);
}

/* What who was asked has on record. */
static void print_record(const struct inquest *inquest)
{
    const Wire__TransactionView *tx = inquest->facts.tx;
    const char *name = inquest->who.participant ? "the participant" : "the coordinator";
    time_text moment, age;
    char *text;
    if (tx && tx->decided_us)
        text =
            xasprintf("%s %s: %s; decided%s%s %s, %s ago", name, inquest->who.name, tx->state,
                      *tx->decision ? " " : "", tx->decision, time_format(moment, tx->decided_us),
                      age_between(age, tx->decided_us, wall_now_us()));
    else if (tx && strcmp(tx->state, "heuristic") == 0)
        text = xasprintf("%s %s: nothing but what was forced", name, inquest->who.name);
    else if (tx && tx->begun_us)
        text = xasprintf("%s %s: %s; begun %s, %s ago%s", name, inquest->who.name, tx->state,
                         time_format(moment, tx->begun_us),
                         age_between(age, tx->begun_us, wall_now_us()),
                         *tx->decision ? "" : ", no decision");
    else if (tx)
        text = xasprintf("%s %s: %s%s%s", name, inquest->who.name, tx->state,
                         *tx->decision ? "; decided " : "", tx->decision);
    else if (inquest->facts.problem)
        text = xasprintf("%s %s: %s", name, inquest->who.name, inquest->facts.problem->message);
    else
        return;
    print_lines(text, 2);
    free(text);
    for (size_t i = 0; tx && i < tx->n_heuristics; i++) {
        char *line = heuristic_line(tx->heuristics[i]);
        text = xasprintf("%s %s", time_format(moment, tx->heuristics[i]->at_us), line);
        print_lines(text, 2);
        free(text);
        free(line);
    }
}

static void print_advice(const struct advice *advice)
{
    puts("\nWhat to do:");
    if (advice->kind == ADVICE_WAIT)
        print_lines("wait.", 2);
    else if (advice->kind == ADVICE_NOTHING || advice->kind == ADVICE_UNKNOWN)
        print_lines("nothing.", 2);
    if (advice->why)
        print_lines(advice->why, 2);
    if (advice->command)
        print_command(advice->command);
    if (advice->otherwise && advice->when)
        print_lines(advice->when, 2);
    if (advice->otherwise)
        print_command(advice->otherwise);
    if (advice->unknown_count > 0)
        puts("\nWhat can't be known:");
    for (size_t i = 0; i < advice->unknown_count; i++)
        print_lines(advice->unknowns[i], 2);
}

static void print_inquest(const struct inquest *inquest)
{
    print_answerer(&inquest->who);
    print_verdict(inquest);
    if (*inquest->gtrid) {
        puts("\nWhat is on record, and what each database holds:");
        print_record(inquest);
        print_evidence(inquest->facts.testimonies, inquest->facts.testimony_count, NULL);
        print_blast(inquest->facts.testimonies, inquest->facts.testimony_count);
    }
    print_advice(&inquest->advice);
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_advice(struct json_writer *writer, const struct advice *advice)
{
    json_name(writer, "advice");
    json_open(writer, '{');
    json_text(writer, "kind", advice_word(advice->kind));
    json_text(writer, "verdict", advice->verdict);
    json_text(writer, "why", advice->why);
    json_text(writer, "command", advice->command);
    json_text(writer, "otherwise", advice->otherwise);
    json_text(writer, "when", advice->when);
    json_texts(writer, "unknowns", advice->unknowns, advice->unknown_count);
    json_close(writer, '}');
}

/* What is prepared under that gid, of what is not Troth's. */
static void json_foreign(struct json_writer *writer, const struct advice_facts *facts)
{
    json_name(writer, "foreign");
    if (!facts->foreign) {
        json_string(writer, NULL);
        return;
    }
    json_open(writer, '{');
    json_text(writer, "participant", facts->foreign_at);
    json_text(writer, "database", facts->foreign->database);
    json_text(writer, "owner", facts->foreign->owner);
    json_time(writer, "prepared_at", facts->foreign->prepared_us);
    json_close(writer, '}');
}

static void print_inquest_json(const struct inquest *inquest, int code)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_text(&writer, "id", inquest->facts.id);
    json_advice(&writer, &inquest->advice);
    json_name(&writer, "transaction");
    if (inquest->facts.tx) {
        json_open(&writer, '{');
        json_transaction(&writer, inquest->facts.tx);
        json_close(&writer, '}');
    } else {
        json_string(&writer, NULL);
    }
    json_name(&writer, "problem");
    json_problem(&writer, inquest->facts.problem);
    json_foreign(&writer, &inquest->facts);
    if (*inquest->gtrid)
        json_evidence(&writer, "evidence", inquest->facts.testimonies,
                      inquest->facts.testimony_count);
    json_answerer(&writer, &inquest->who);
    json_name(&writer, "exit");
    json_integer(&writer, code);
    json_close(&writer, '}');
    print_json(&writer);
}

/* ---- the command -------------------------------------------------------------------------- */

static int conclude(struct inquest *inquest, const struct options *options)
{
    take_facts(inquest, options);
    advise(&inquest->facts, &inquest->advice);
    int code = inquest->advice.kind == ADVICE_UNKNOWN ? EXIT_UNKNOWN : EXIT_DONE;
    if (options->json)
        print_inquest_json(inquest, code);
    else
        print_inquest(inquest);
    return code;
}

static int explain(const struct options *options, struct inquest *inquest)
{
    struct error error = {0};
    struct connection *connection = connection_open(options, &error);
    if (!connection)
        return print_failure(options, &error);
    bool asked = ask_all(connection, inquest, &error);
    const Wire__Answer *transaction = inquest->transaction;
    bool saga = asked && transaction && transaction->n_transactions == 0 &&
                !inquest->who.participant && saga_is_known(connection, inquest->gtrid);
    connection_close(connection);
    if (!asked)
        return print_failure(options, &error);
    const Wire__Answer *said = inquest->evidence ? inquest->evidence : inquest->prepared;
    if (problem_is_set(said->problem)) /* nothing is known without what the databases say */
        return print_answer_problem(options, said->problem, ERROR_PROTOCOL);
    if (saga) {
        error_set(&error, ERROR_USAGE, "%s is a saga, not a transaction", inquest->gtrid);
        error_hint(&error, "troth saga show %s", inquest->gtrid);
        return print_failure(options, &error);
    }
    return conclude(inquest, options);
}

static int run_explain(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.command = self};
    struct gid id;
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "tx explain needs one GTRID, or a GID");
    struct inquest inquest = {.word = arguments.words[0]};
    if (strlen(inquest.word) > LIMIT_GID_BYTES)
        return arguments_refuse(self, "\"%.60s...\" is longer than any gid", inquest.word);
    if (gtrid_parse(inquest.word, &id) || gid_parse(inquest.word, &id))
        gtrid_format(inquest.gtrid, id.cluster, id.coordinator, id.tx);
    int code = explain(&arguments.options, &inquest);
    inquest_fini(&inquest);
    return code;
}

const struct command tx_explain_command = {
    .name = "tx explain",
    .usage = "GTRID|GID",
    .summary = "say how one stands, what it blocks, and what to do",
    .help = "Asks the databases themselves what they hold of a transaction, and says\n"
            "\n"
            "  - in one sentence how it stands\n"
            "  - what is on record, and what each database holds: prepared, committed, rolled\n"
            "    back, its register, what an operator made of it\n"
            "  - what it blocks: locked tables and rows, the sessions that wait and their\n"
            "    queries, how far vacuum is held back, prepared slots\n"
            "  - the one command to run; or to wait, and for what; and why\n"
            "  - what can't be known\n"
            "\n"
            "It changes nothing. A gid that is not Troth's is looked up in all that is\n"
            "prepared. While the coordinator is away, --coordinator with the `listen` address\n"
            "of a participant says what that one and its database know.\n"
            "\n"
            "Exit codes: 0 explained; 2 it is a saga's ID; 3 nobody answers; 5 nobody who was\n"
            "asked knows it.\n"
            "\n"
            "Examples:\n"
            "  troth tx explain shop.c1.1795222861.42\n"
            "  troth tx explain troth.shop.c1.1795222861.42.0\n"
            "  troth --coordinator tcp://127.0.0.1:7412 tx explain shop.c1.1795222861.42\n",
    .run = run_explain,
};
