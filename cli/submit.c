/* troth submit: one transaction, and what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/connect.h"
#include "cli/order.h"
#include "cli/print.h"
#include "core/check.h"

/* The answer to a deadline comes after it. */
#define ANSWER_MARGIN_US (2 * 1000 * 1000ull)

struct submit_flags {
    const char *protocol, *key, *wait, *file;
};

/* ---- the outcome -------------------------------------------------------------------------- */

static const char *result_word(const Wire__Outcome *outcome)
{
    switch (outcome->result) {
    case WIRE__RESULT__COMMITTED:
        return "committed";
    case WIRE__RESULT__ABORTED:
        return "aborted";
    case WIRE__RESULT__REJECTED:
        return "rejected";
    case WIRE__RESULT__HAZARD:
        return "hazard";
    default:
        return "unknown";
    }
}

static int outcome_exit(const Wire__Outcome *outcome)
{
    switch (outcome->result) {
    case WIRE__RESULT__COMMITTED:
        return EXIT_DONE;
    case WIRE__RESULT__ABORTED:
        return EXIT_ABORTED;
    case WIRE__RESULT__REJECTED:
        return exit_of(order_refusal(outcome->problem));
    default:
        return EXIT_UNKNOWN;
    }
}

/* What comes from a peer is printed as JSON only when it is. */
static bool is_json(const char *text)
{
    struct json *json = json_parse(text, strlen(text), NULL);
    json_free(json);
    return json != NULL;
}

static const char *result_of(const Wire__Outcome *outcome, size_t call)
{
    const char *text = call < outcome->n_results ? outcome->results[call] : "";
    return *text && is_json(text) ? text : NULL;
}

static void print_results(const Wire__Submit *submit, const Wire__Outcome *outcome)
{
    size_t width = 0;
    for (size_t i = 0; i < submit->n_calls; i++) {
        size_t size = strlen(submit->calls[i]->participant) + strlen(submit->calls[i]->operation);
        width = size + 1 > width ? size + 1 : width;
    }
    for (size_t i = 0; i < submit->n_calls; i++) {
        const char *result = result_of(outcome, i);
        if (!result)
            continue;
        int used = printf("  %s.%s", submit->calls[i]->participant, submit->calls[i]->operation);
        printf("%*s", (int)width + 4 - used, "");
        print_json_text(stdout, result);
        putchar('\n');
    }
    if (outcome->results_dropped)
        printf("  the results were too large to be kept\n");
}

static void print_unapplied(const Wire__Outcome *outcome)
{
    if (outcome->result != WIRE__RESULT__COMMITTED || outcome->applied)
        return;
    printf("  decided, not yet applied");
    for (size_t i = 0; i < outcome->n_unapplied; i++) {
        fputs(i ? ", " : " at ", stdout);
        print_escaped(stdout, outcome->unapplied[i]);
    }
    printf("; it will be, the decision is durable\n");
}

/* What the client can do about an outcome that nobody can tell it yet, as far as the problem has
 * not said so. */
static void print_unknown(const Wire__Submit *submit, const Wire__Outcome *outcome, FILE *file)
{
    const Wire__Problem *problem = outcome->problem;
    bool minority = problem && strcmp(problem->code, "no_majority") == 0;
    if (minority)
        fputs("  it ends by itself, committed or aborted, as soon as a majority of its\n"
              "  sites can talk to each other; nothing is applied before\n",
              file);
    if (!minority || !*problem->hint) {
        fputs("  hint: troth tx show ", file);
        print_escaped(file, *outcome->gtrid ? outcome->gtrid : "GTRID");
        fprintf(file, " tells %s\n", minority ? "which sites are missing" : "when it is known");
    }
    if (minority && *submit->key)
        fputs("  hint: a submit with the same --key hears its outcome\n", file);
}

static void print_outcome(const Wire__Submit *submit, const Wire__Outcome *outcome)
{
    const Wire__Problem *problem = outcome->problem;
    bool set = problem_is_set(problem);
    /* A rejected transaction is a mistake of the caller's: it goes where mistakes go. */
    FILE *file = outcome->result == WIRE__RESULT__REJECTED ? stderr : stdout;
    bool committed = outcome->result == WIRE__RESULT__COMMITTED;
    fprintf(file, "%s%s", file == stderr ? "troth: " : "", result_word(outcome));
    if (*outcome->gtrid) {
        fputc(' ', file);
        print_escaped(file, outcome->gtrid);
    }
    if (set && !committed) {
        char *line = problem_line(problem);
        fputs(": ", file);
        print_escaped(file, line);
        free(line);
    }
    fputc('\n', file);
    if (committed)
        print_results(submit, outcome);
    print_unapplied(outcome);
    if (set && committed) {
        char *line = problem_line(problem);
        fputs("  problem: ", file);
        print_escaped(file, line);
        fputc('\n', file);
        free(line);
    }
    if (set)
        print_problem_rest(file, problem, 2);
    if (outcome->repeated_key)
        fprintf(file, "  an earlier submit with this key was answered so; nothing ran again\n");
    if (outcome->result == WIRE__RESULT__UNKNOWN || outcome->result == WIRE__RESULT__HAZARD)
        print_unknown(submit, outcome, file);
}

static void print_outcome_json(const Wire__Submit *submit, const Wire__Outcome *outcome)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "result");
    json_string(&writer, result_word(outcome));
    json_name(&writer, "gtrid");
    json_string(&writer, *outcome->gtrid ? outcome->gtrid : NULL);
    json_name(&writer, "applied");
    json_boolean(&writer, outcome->applied);
    json_name(&writer, "unapplied");
    json_open(&writer, '[');
    for (size_t i = 0; i < outcome->n_unapplied; i++)
        json_string(&writer, outcome->unapplied[i]);
    json_close(&writer, ']');
    json_name(&writer, "repeated_key");
    json_boolean(&writer, outcome->repeated_key);
    json_name(&writer, "calls");
    json_open(&writer, '[');
    for (size_t i = 0; i < submit->n_calls; i++) {
        char *call = xasprintf("%s.%s", submit->calls[i]->participant, submit->calls[i]->operation);
        const char *result = result_of(outcome, i);
        json_open(&writer, '{');
        json_name(&writer, "call");
        json_string(&writer, call);
        json_name(&writer, "result");
        json_raw(&writer, result ? result : "null");
        json_close(&writer, '}');
        free(call);
    }
    json_close(&writer, ']');
    json_name(&writer, "results_dropped");
    json_boolean(&writer, outcome->results_dropped);
    json_name(&writer, "problem");
    json_problem(&writer, outcome->problem);
    json_name(&writer, "exit");
    json_integer(&writer, outcome_exit(outcome));
    json_close(&writer, '}');
    print_json(&writer);
}

/* ---- the command -------------------------------------------------------------------------- */

static bool read_order(struct order *order, const struct submit_flags *flags,
                       struct arguments *arguments, struct error *error)
{
    if (flags->file && arguments->word_count)
        return error_set(error, ERROR_USAGE, "give calls or -f FILE, not both");
    bool read = flags->file
                    ? order_from_file(order, flags->file, error)
                    : order_from_words(order, arguments->words, arguments->word_count, error);
    /* A flag counts more than the file. */
    if (!read || (flags->protocol && !order_protocol(order, flags->protocol, error)) ||
        (flags->wait && !order_wait(order, flags->wait, error)) ||
        (flags->key && !order_key(order, flags->key, error)) || !order_check(order, error))
        return false;
    if (arguments->options.timeout_us)
        order->timeout_us = arguments->options.timeout_us;
    order->submit.timeout_ms = (uint32_t)(order->timeout_us / 1000);
    return true;
}

/* The request was sent and no answer came: it may have been carried out. */
static int outcome_unknown(const struct options *options, const struct order *order,
                           const struct error *why)
{
    struct error error = {0};
    error_set(&error, ERROR_PROTOCOL, "outcome unknown: %s", why->message);
    error_detail(&error, "the transaction was sent; it may be committed or aborted");
    /* Who would tell is the coordinator, and just that one may be gone for good. */
    if (order->submit.protocol == WIRE__PROTOCOL__THREE_PHASE)
        error_hint(&error,
                   "its participants finish it without the coordinator: troth --coordinator ADDR "
                   "tx list asks one at its `listen` address%s",
                   *order->submit.key ? "; when the coordinator is back, submit again with the "
                                        "same --key: nothing runs twice"
                                      : "");
    else if (*order->submit.key)
        error_hint(&error, "submit again with the same --key: what was committed is not run again");
    else
        error_hint(&error, "troth tx list shows what became of it; with --key K a submit can be "
                           "repeated safely");
    return print_failure(options, &error);
}

static int submit_order(const struct options *options, const struct order *order)
{
    struct error error = {0};
    struct connection *connection = connection_open(options, &error);
    if (!connection)
        return print_failure(options, &error);
    struct answerer who = connection_answerer(connection);
    if (who.participant) {
        connection_close(connection);
        error_set(&error, ERROR_USAGE, "%s is where participant %s listens for others",
                  options->coordinator, who.name);
        error_hint(&error, "a transaction is submitted to a coordinator: --coordinator names it");
        return print_failure(options, &error);
    }
    bool sent;
    uint64_t wait_us = order->timeout_us ? order->timeout_us + ANSWER_MARGIN_US : 0;
    Wire__Outcome *outcome = connection_submit(connection, &order->submit, wait_us, &sent, &error);
    connection_close(connection);
    if (!outcome)
        return sent ? outcome_unknown(options, order, &error) : print_failure(options, &error);
    if (options->json)
        print_outcome_json(&order->submit, outcome);
    else
        print_outcome(&order->submit, outcome);
    int code = outcome_exit(outcome);
    wire__outcome__free_unpacked(outcome, NULL);
    return code;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct submit_flags values = {0};
    const struct flag flags[] = {{"--protocol", NULL, &values.protocol, NULL},
                                 {"--key", NULL, &values.key, NULL},
                                 {"--wait", NULL, &values.wait, NULL},
                                 {"--file", "-f", &values.file, NULL},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (!values.file && !arguments.word_count)
        return arguments_refuse(self, "submit needs calls, or -f FILE");
    struct error error = {0};
    struct order order;
    order_init(&order);
    int code = read_order(&order, &values, &arguments, &error)
                   ? submit_order(&arguments.options, &order)
                   : print_failure(&arguments.options, &error);
    order_fini(&order);
    return code;
}

const struct command submit_command = {
    .name = "submit",
    .usage = "[flags] PARTICIPANT.OPERATION 'JSON' ... | -f FILE",
    .summary = "run one transaction over several databases",
    .help =
        "Runs the calls as one transaction: all of them are committed, or none is.\n"
        "Calls of one participant run in the order given, in one local transaction.\n"
        "Arguments are a JSON object; without parameters they may be left out.\n"
        "\n"
        "  -f, --file FILE      read the transaction from a YAML file; - is stdin\n"
        "  --key K              idempotency key: a repeated submit with the same key and\n"
        "                       calls gets the first one's answer and runs nothing again\n"
        "  --wait applied       answer when every database has committed (default)\n"
        "  --wait decided       answer when the decision is durable: sooner; what is not\n"
        "                       applied yet will be\n"
        "  --protocol 2pc       cheaper; rows stay locked while the coordinator is gone\n"
        "                       (default)\n"
        "  --protocol 3pc       no wait for a lost coordinator: a majority of it and the\n"
        "                       participants ends the transaction\n"
        "  --timeout DURATION   the transaction's deadline: undecided by then, it aborts;\n"
        "                       3pc, once all voted yes: unknown, and a majority decides\n"
        "                       (default: the coordinator's timeouts.transaction)\n"
        "\n"
        "Exit code: 0 committed; 1 aborted, as when a participant refuses its work or the\n"
        "arguments, or busy, draining or a participant is not there: nothing was done;\n"
        "2 a mistake in the words or the file, or an operation that nobody offers;\n"
        "3 nobody answers; 4 refused, as a key that was used for other calls; 5 sent,\n"
        "and the outcome is not known (3pc: no majority in time) or a hazard.\n"
        "\n"
        "Examples:\n"
        "  troth submit \\\n"
        "    payments.charge '{\"order_id\": \"17\", \"customer\": \"ada\", \"amount\": 1.50}' \\\n"
        "    inventory.reserve '{\"order_id\": \"17\", \"sku\": \"lamp\", \"quantity\": 1}'\n"
        "  troth submit --key order-17 --timeout 5s -f order.yaml\n"
        "\n"
        "  # order.yaml\n"
        "  key: order-17\n"
        "  protocol: 3pc\n"
        "  deadline: 5s\n"
        "  branches:\n"
        "    - call: payments.charge\n"
        "      with: {order_id: \"17\", customer: ada, amount: 1.50}\n"
        "    - call: inventory.reserve\n"
        "      with: {order_id: \"17\", sku: lamp, quantity: 1}\n",
    .run = run,
};
