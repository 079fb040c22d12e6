/* troth saga retry, compensate, signal: what an operator, or a person who was waited for, tells a
 * saga. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/given.h"
#include "cli/operator.h"
#include "cli/print.h"
#include "cli/saga.h"
#include "core/check.h"
#include "core/id.h"
#include "core/limits.h"

/* ---- telling ------------------------------------------------------------------------------ */

static const char *done_words(const Wire__SagaOrder *order)
{
    switch (order->order) {
    case WIRE__ORDER__ORDER_RETRY:
        return "is tried again";
    case WIRE__ORDER__ORDER_COMPENSATE:
        return "is undone now";
    default:
        return "has the signal";
    }
}

static void print_done(const Wire__SagaOrder *order, const char *next)
{
    print_escaped(stdout, order->saga);
    printf(" %s", done_words(order));
    if (*order->signal) {
        putchar(' ');
        print_escaped(stdout, order->signal);
    }
    if (next) {
        fputs("\n  next: ", stdout);
        print_escaped(stdout, next);
    }
    putchar('\n');
}

static void print_done_json(const Wire__SagaOrder *order, const char *next)
{
    static const char *const words[] = {"", "retried", "compensating", "signalled"};
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "result");
    json_string(&writer, words[order->order]);
    json_name(&writer, "saga");
    json_string(&writer, order->saga);
    json_name(&writer, "next");
    json_string(&writer, next);
    json_name(&writer, "exit");
    json_integer(&writer, EXIT_DONE);
    json_close(&writer, '}');
    print_json(&writer);
}

/* It was sent and no answer came. All three may be told twice. */
static int answer_unknown(const struct options *options, const Wire__SagaOrder *order,
                          const struct error *why)
{
    struct error error = {0};
    error_set(&error, ERROR_PROTOCOL, "not known whether it was done: %s", why->message);
    error_hint(&error, "troth saga show %s tells; a second time does no harm%s", order->saga,
               order->order == WIRE__ORDER__ORDER_SIGNAL ? " unless another step waits for the "
                                                           "same signal"
                                                         : "");
    return print_failure(options, &error);
}

static int give(const struct options *options, const Wire__SagaOrder *order)
{
    struct error error = {0};
    struct connection *connection = saga_connect(options, &error);
    if (!connection)
        return print_failure(options, &error);
    bool sent;
    int code = EXIT_DONE;
    operator_text by;
    Wire__SagaOrder signed_order = *order;
    signed_order.by = (char *)operator_name(by); /* only packed */
    Wire__Answer *answer = connection_order_saga(connection, &signed_order, &sent, &error);
    const Wire__Problem *problem = answer ? answer->problem : NULL;
    if (!answer) {
        code = sent ? answer_unknown(options, order, &error) : print_failure(options, &error);
    } else if (problem_is_set(problem) && strcmp(problem->code, "unknown_saga") == 0) {
        saga_not_known(connection, order->saga, &error);
        error.kind = ERROR_USAGE; /* nothing was done, and nothing is open */
        code = print_failure(options, &error);
    } else if (problem_is_set(problem)) {
        code = print_answer_problem(options, problem, saga_refusal(problem));
    } else {
        char *next = saga_ask_next(connection, order->saga);
        if (options->json)
            print_done_json(order, next);
        else
            print_done(order, next);
        free(next);
    }
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    connection_close(connection);
    return code;
}

/* ---- retry -------------------------------------------------------------------------------- */

static int run_retry(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.command = self};
    struct error error = {0};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "saga retry needs one ID");
    Wire__SagaOrder order = WIRE__SAGA_ORDER__INIT;
    order.saga = arguments.words[0];
    order.order = WIRE__ORDER__ORDER_RETRY;
    return saga_id_check(order.saga, &error) ? give(&arguments.options, &order)
                                             : print_failure(&arguments.options, &error);
}

const struct command saga_retry_command = {
    .name = "saga retry",
    .usage = "ID",
    .summary = "try now what a saga has paused with",
    .help = "Tries at once all that the saga has paused with, or waits for an operator with.\n"
            "For when the cause is mended: troth saga show ID names it.\n"
            "\n"
            "Exit code: 0 it is tried; 2 no such saga; 4 it has ended; 5 not known whether\n"
            "the coordinator heard it.\n"
            "\n"
            "Example:\n"
            "  troth saga retry shop.c1.1795222861.42\n",
    .run = run_retry,
};

/* ---- compensate --------------------------------------------------------------------------- */

static int run_compensate(const struct command *self, int argc, char **argv)
{
    const char *reason = NULL;
    const struct flag flags[] = {{"--reason", NULL, &reason, NULL}, {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    struct error error = {0};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count == 0)
        return arguments_refuse(self, "saga compensate needs an ID");
    const char *id = arguments.words[0];
    if (!saga_id_check(id, &error))
        return print_failure(&arguments.options, &error);
    if (!reason)
        return arguments_refuse(self, "saga compensate needs --reason 'why it is undone', for the "
                                      "record");
    if (arguments.word_count > 1)
        return arguments_refuse(self, "\"%.60s\": a reason of several words stands in quotes",
                                arguments.words[1]);
    if (!operator_reason_check(reason, &error))
        return print_failure(&arguments.options, &error);
    Wire__SagaOrder order = WIRE__SAGA_ORDER__INIT;
    order.saga = (char *)id; /* only packed, both */
    order.reason = (char *)reason;
    order.order = WIRE__ORDER__ORDER_COMPENSATE;
    return give(&arguments.options, &order);
}

const struct command saga_compensate_command = {
    .name = "saga compensate",
    .usage = "ID --reason 'WHY'",
    .summary = "have all undone that a saga did",
    .help = "Begins nothing new in this saga, and undoes all that it did, newest first. From\n"
            "its pivot on that is refused: then there is only the way forward.\n"
            "\n"
            "  --reason 'WHY'       needed: it is kept as the saga's problem\n"
            "\n"
            "Exit code: 0 it is being undone, which troth saga show ID follows; 2 no such\n"
            "saga; 4 it has ended, or is past its pivot; 5 not known whether the coordinator\n"
            "heard it.\n"
            "\n"
            "Example:\n"
            "  troth saga compensate shop.c1.1795222861.42 --reason 'ordered twice'\n",
    .run = run_compensate,
};

/* ---- signal ------------------------------------------------------------------------------- */

/* The words in the order in which they are meant; false with what is wrong with it. */
static bool read_signal(const struct arguments *arguments, Wire__SagaOrder *order,
                        struct error *error)
{
    char **words = arguments->words;
    struct gid id;
    if (!gtrid_parse(words[0], &id) && gtrid_parse(words[1], &id)) {
        error_set(error, ERROR_USAGE, "the ID comes before the signal's name");
        return error_hint(error, "troth saga signal %s %s%s", words[1], words[0],
                          arguments->word_count > 2 ? " 'JSON'" : "");
    }
    if (!saga_id_check(words[0], error))
        return false;
    if (!word_valid(words[1])) {
        error_set(error, ERROR_USAGE, "\"%.60s\" is not the name of a signal", words[1]);
        return error_hint(error,
                          "troth saga signal ID NAME 'JSON'; troth saga show %s names the "
                          "signal that is waited for",
                          words[0]);
    }
    order->saga = words[0];
    order->signal = words[1];
    return true;
}

/* A new text, or NULL with an error. */
static char *read_value(const char *text, struct error *error)
{
    struct error mistake = {0};
    struct json *json = json_parse(text, strlen(text), &mistake);
    char *value = json ? json_without_spaces(json->raw, json->raw_size) : NULL;
    json_free(json);
    if (!value) {
        error_set(error, ERROR_USAGE, "the signal's value: %s", mistake.message);
        error_hint(error, "JSON stands in single quotes: 'true', '{\"by\": \"ada\"}', a text as "
                          "'\"yes\"'");
    } else if (strlen(value) > LIMIT_SAGA_VALUE_BYTES) {
        error_set(error, ERROR_USAGE, "the signal's value has %zu bytes; %d are allowed",
                  strlen(value), LIMIT_SAGA_VALUE_BYTES);
        free(value);
        value = NULL;
    }
    return value;
}

static int run_signal(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.command = self};
    struct error error = {0};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count < 2)
        return arguments_refuse(self, "saga signal needs an ID and the signal's NAME");
    Wire__SagaOrder order = WIRE__SAGA_ORDER__INIT;
    order.order = WIRE__ORDER__ORDER_SIGNAL;
    if (!read_signal(&arguments, &order, &error))
        return print_failure(&arguments.options, &error);
    char *value = NULL;
    if (arguments.word_count > 2 && !(value = read_value(arguments.words[2], &error)))
        return print_failure(&arguments.options, &error);
    int code;
    if (arguments.word_count > 3) {
        code = arguments_refuse(self, "\"%.60s\": a signal carries one value, in single quotes",
                                arguments.words[3]);
    } else {
        if (value)
            order.value = value;
        code = give(&arguments.options, &order);
    }
    free(value);
    return code;
}

const struct command saga_signal_command = {
    .name = "saga signal",
    .usage = "ID NAME ['JSON']",
    .summary = "send a saga the signal that it waits for",
    .help = "A step `wait: {signal: NAME}` goes on with it, now or, when the saga comes to it\n"
            "later, then. The JSON, null when there is none, becomes the step's result.\n"
            "\n"
            "Exit code: 0 the saga has it, durably; 2 no such saga, or no JSON; 4 it has\n"
            "ended, or no step waits for such a signal; 5 not known whether the coordinator\n"
            "heard it.\n"
            "\n"
            "Examples:\n"
            "  troth saga signal shop.c1.1795222861.42 approval\n"
            "  troth saga signal shop.c1.1795222861.42 approval '{\"by\": \"ada\"}'\n",
    .run = run_signal,
};
