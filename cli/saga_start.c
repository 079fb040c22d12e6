/* troth saga start: one saga, and, for who waits for it, what became of it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/given.h"
#include "cli/print.h"
#include "cli/saga.h"
#include "core/check.h"
#include "core/id.h"
#include "core/limits.h"

/* An answer to a start without --wait, and to a session: as long as other commands wait. */
#define ANSWER_TIMEOUT_US (5 * 1000 * 1000ull)
/* The answer to a deadline comes after it. */
#define ANSWER_MARGIN_US (2 * 1000 * 1000ull)

struct start_flags {
    const char *input, *file, *key;
    bool wait;
};

/* Its strings are owned here. */
struct start {
    Wire__StartSaga message;
    uint64_t timeout_us; /* 0: none was given */
};

static void set_text(char **field, char *text)
{
    if (*field != (char *)protobuf_c_empty_string)
        free(*field);
    *field = text;
}

static void start_fini(struct start *start)
{
    char *const empty = (char *)protobuf_c_empty_string;
    set_text(&start->message.name, empty);
    set_text(&start->message.input, empty);
    set_text(&start->message.key, empty);
}

/* ---- what is asked for -------------------------------------------------------------------- */

static bool take_name(struct start *start, const char *word, struct error *error)
{
    const char *dot = strrchr(word, '.');
    struct gid id;
    if (name_valid(word)) {
        set_text(&start->message.name, xstrdup(word));
        return true;
    }
    error_set(error, ERROR_USAGE, "\"%.120s\" is not the name of a saga", word);
    if (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0))
        return error_hint(error,
                          "a saga is started by the name that its file gives it, once trothd "
                          "has that file in its folder `sagas`");
    if (gtrid_parse(word, &id))
        return error_hint(error, "it is the ID of one that was started: troth saga show %s", word);
    return error_hint(error, "a name is %s", name_rule);
}

static bool take_input(struct start *start, const char *text, struct error *error)
{
    struct error mistake = {0};
    struct json *json = json_parse(text, strlen(text), &mistake);
    if (!json) {
        error_set(error, ERROR_USAGE, "--input: %s", mistake.message);
        error_hint(error, "the input is a JSON object in single quotes, as "
                          "'{\"order_id\": \"o-1\", \"amount\": 10.50}'");
    } else if (json->type != JSON_OBJECT) {
        error_set(error, ERROR_USAGE, "--input: expected a JSON object, not %.60s", text);
        error_hint(error, "inputs have names, as '{\"amount\": 10.50}'");
    } else {
        set_text(&start->message.input, json_without_spaces(json->raw, json->raw_size));
    }
    bool good = json && json->type == JSON_OBJECT;
    json_free(json);
    return good;
}

static bool take_key(struct start *start, const char *key, struct error *error)
{
    if (!key_check(key, error))
        return false;
    set_text(&start->message.key, xstrdup(key));
    return true;
}

static void read_file(struct start *start, struct yaml *yaml)
{
    static const char *const keys[] = {"saga", "input", "key", "wait", NULL};
    const struct yaml_node *root = yaml_root(yaml);
    if (!yaml_map(yaml, root, keys))
        return;
    struct error error = {0};
    const char *name = yaml_string(yaml, yaml_need(yaml, root, "saga"), NULL);
    if (name && !take_name(start, name, &error))
        yaml_mistake(yaml, yaml_get(root, "saga"), "%s", error.message);
    const struct yaml_node *input = yaml_get(root, "input");
    if (input && !yaml_is_map(input))
        yaml_mistake(yaml, input, "input: expected a map of inputs (name: value)");
    else if (input)
        set_text(&start->message.input, yaml_to_json(input));
    const char *key = yaml_string(yaml, yaml_get(root, "key"), NULL);
    if (key && !take_key(start, key, &error))
        yaml_mistake(yaml, yaml_get(root, "key"), "%s", error.message);
    start->message.wait = yaml_boolean(yaml, yaml_get(root, "wait"), false);
}

static bool take_file(struct start *start, const char *path, struct error *error)
{
    struct yaml *yaml = file_or_stdin(path, error);
    if (!yaml)
        return false;
    read_file(start, yaml);
    bool good = yaml_check(yaml, error);
    yaml_free(yaml);
    return good;
}

static bool looks_like_json(const char *word)
{
    return word[0] == '{' || word[0] == '[';
}

/* Words besides the name: most likely the input without its flag. */
static bool stray_word(char **words, int count, struct error *error)
{
    for (int i = 0; i < count; i++) {
        if (!looks_like_json(words[i]))
            continue;
        error_set(error, ERROR_USAGE, "%.60s: the input is given with --input", words[i]);
        return error_hint(error, "troth saga start %.32s --input '{...}'",
                          count > 1 && !looks_like_json(words[!i]) ? words[!i] : "NAME");
    }
    error_set(error, ERROR_USAGE, "saga start takes one NAME; \"%.60s\" is too much", words[1]);
    return error_hint(error, "JSON stands in single quotes, so that it is one word");
}

static bool check_sizes(const struct start *start, struct error *error)
{
    size_t size = strlen(start->message.input);
    if (size <= LIMIT_SAGA_VALUE_BYTES)
        return true;
    error_set(error, ERROR_USAGE, "the input is too large: %zu bytes; %d are allowed", size,
              LIMIT_SAGA_VALUE_BYTES);
    return error_hint(error, "store large values first and pass their names");
}

/* A flag counts more than the file. */
static bool read_start(struct start *start, const struct start_flags *flags,
                       const struct arguments *arguments, struct error *error)
{
    char **words = arguments->words;
    int count = arguments->word_count;
    if (flags->file && count)
        return error_set(error, ERROR_USAGE, "give a NAME or -f FILE, not both");
    if (flags->file && flags->input)
        return error_set(error, ERROR_USAGE, "give --input or -f FILE, not both");
    bool read = flags->file ? take_file(start, flags->file, error)
                            : (!flags->input || take_input(start, flags->input, error)) &&
                                  (count == 1 && !looks_like_json(words[0])
                                       ? take_name(start, words[0], error)
                                       : stray_word(words, count, error));
    if (!read || (flags->key && !take_key(start, flags->key, error)) || !check_sizes(start, error))
        return false;
    start->message.wait = start->message.wait || flags->wait;
    start->timeout_us = arguments->options.timeout_us;
    if (start->message.wait)
        start->message.timeout_ms = (uint32_t)(start->timeout_us / 1000);
    return true;
}

/* ---- the outcome -------------------------------------------------------------------------- */

static const char *result_word(const Wire__SagaOutcome *outcome, bool waited)
{
    switch (outcome->result) {
    case WIRE__SAGA_RESULT__SAGA_STARTED:
        return waited ? "running" : "started";
    case WIRE__SAGA_RESULT__SAGA_COMPLETED:
        return "completed";
    case WIRE__SAGA_RESULT__SAGA_COMPENSATED:
        return "compensated";
    case WIRE__SAGA_RESULT__SAGA_REJECTED:
        return "rejected";
    default:
        return "unknown";
    }
}

static int outcome_exit(const Wire__SagaOutcome *outcome, bool waited)
{
    switch (outcome->result) {
    case WIRE__SAGA_RESULT__SAGA_STARTED:
        return waited ? EXIT_UNKNOWN : EXIT_DONE;
    case WIRE__SAGA_RESULT__SAGA_COMPLETED:
        return EXIT_DONE;
    case WIRE__SAGA_RESULT__SAGA_COMPENSATED:
        return EXIT_ABORTED;
    case WIRE__SAGA_RESULT__SAGA_REJECTED:
        return exit_of(saga_refusal(outcome->problem));
    default:
        return EXIT_UNKNOWN;
    }
}

static void print_output(const Wire__SagaOutcome *outcome)
{
    struct json *json = json_parse(outcome->output, strlen(outcome->output), NULL);
    if (json && json->type != JSON_NULL) {
        fputs("  ", stdout);
        print_json_text(stdout, outcome->output);
        putchar('\n');
    }
    json_free(json);
    if (outcome->output_dropped)
        printf("  its output was too large to be kept\n");
}

/* next: what it waits for, or NULL. */
static void print_outcome(const Wire__SagaOutcome *outcome, bool waited, const char *next)
{
    const Wire__Problem *problem = outcome->problem;
    bool rejected = outcome->result == WIRE__SAGA_RESULT__SAGA_REJECTED;
    /* A rejected start is a mistake of the caller's: it goes where mistakes go. */
    FILE *file = rejected ? stderr : stdout;
    fprintf(file, "%s%s", rejected ? "troth: " : "", result_word(outcome, waited));
    if (*outcome->saga) {
        fputc(' ', file);
        print_escaped(file, outcome->saga);
    }
    if (problem_is_set(problem)) {
        char *line = problem_line(problem);
        fputs(": ", file);
        print_escaped(file, line);
        free(line);
    }
    fputc('\n', file);
    if (problem_is_set(problem))
        print_problem_rest(file, problem, 2);
    print_output(outcome);
    if (outcome->repeated_key)
        fprintf(file, "  an earlier start with this key began it; nothing was begun again\n");
    if (next) {
        fputs("  next: ", file);
        print_escaped(file, next);
        fputc('\n', file);
    }
    if (outcome->result == WIRE__SAGA_RESULT__SAGA_STARTED && waited) {
        fputs("  hint: it runs on; troth saga show ", file);
        print_escaped(file, outcome->saga);
        fputs(" shows how far it is\n", file);
    }
}

static void print_outcome_json(const struct start *start, const Wire__SagaOutcome *outcome,
                               const char *next)
{
    struct json_writer writer = {0};
    bool waited = start->message.wait;
    json_open(&writer, '{');
    json_name(&writer, "result");
    json_string(&writer, result_word(outcome, waited));
    json_name(&writer, "saga");
    json_string(&writer, *outcome->saga ? outcome->saga : NULL);
    json_name(&writer, "name");
    json_string(&writer, start->message.name);
    json_name(&writer, "repeated_key");
    json_boolean(&writer, outcome->repeated_key);
    json_name(&writer, "output");
    json_value(&writer, outcome->output);
    json_name(&writer, "output_dropped");
    json_boolean(&writer, outcome->output_dropped);
    json_name(&writer, "next");
    json_string(&writer, next);
    json_name(&writer, "problem");
    json_problem(&writer, outcome->problem);
    json_name(&writer, "exit");
    json_integer(&writer, outcome_exit(outcome, waited));
    json_close(&writer, '}');
    print_json(&writer);
}

/* ---- the command -------------------------------------------------------------------------- */

/* It was sent and no answer came: it may have begun. */
static int outcome_unknown(const struct options *options, const struct start *start,
                           bool interrupted, const struct error *why)
{
    struct error error = {0};
    const char *name = start->message.name;
    if (interrupted && start->message.wait)
        error_set(&error, ERROR_PROTOCOL, "interrupted: the saga runs on without us");
    else
        error_set(&error, ERROR_PROTOCOL, "not known whether it began: %s", why->message);
    error_detail(&error, "the start was sent; what has begun goes on until it has ended");
    if (*start->message.key)
        error_hint(&error,
                   "start it again with the same --key: it begins once, and you hear how it "
                   "ended");
    else
        error_hint(&error,
                   "troth saga list --all --name %s shows it if it began; with --key K a start can "
                   "be repeated safely",
                   name);
    return print_failure(options, &error);
}

/* A coordinator that is not there is told soon, however long the saga may take. */
static struct connection *connect_soon(const struct options *options, struct error *error)
{
    struct options soon = *options;
    if (soon.timeout_us > ANSWER_TIMEOUT_US)
        soon.timeout_us = ANSWER_TIMEOUT_US;
    return saga_connect(&soon, error);
}

static uint64_t answer_wait_us(const struct start *start)
{
    if (!start->message.wait)
        return start->timeout_us ? start->timeout_us : ANSWER_TIMEOUT_US;
    return start->timeout_us ? start->timeout_us + ANSWER_MARGIN_US : 0;
}

static int start_saga(const struct options *options, const struct start *start)
{
    struct error error = {0};
    struct connection *connection = connect_soon(options, &error);
    if (!connection)
        return print_failure(options, &error);
    bool sent, waited = start->message.wait;
    Wire__SagaOutcome *outcome =
        connection_start_saga(connection, &start->message, answer_wait_us(start), &sent, &error);
    bool interrupted = connection_interrupted(connection);
    char *next = NULL;
    if (outcome && waited && outcome->result == WIRE__SAGA_RESULT__SAGA_STARTED)
        next = saga_ask_next(connection, outcome->saga);
    connection_close(connection);
    if (!outcome)
        return sent ? outcome_unknown(options, start, interrupted, &error)
                    : print_failure(options, &error);
    if (options->json)
        print_outcome_json(start, outcome, next);
    else
        print_outcome(outcome, waited, next);
    int code = outcome_exit(outcome, waited);
    free(next);
    wire__saga_outcome__free_unpacked(outcome, NULL);
    return code;
}

static int run_start(const struct command *self, int argc, char **argv)
{
    struct start_flags values = {0};
    const struct flag flags[] = {{"--input", NULL, &values.input, NULL},
                                 {"--file", "-f", &values.file, NULL},
                                 {"--key", NULL, &values.key, NULL},
                                 {"--wait", NULL, NULL, &values.wait},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (!values.file && !arguments.word_count)
        return arguments_refuse(self, "saga start needs the NAME of a saga, or -f FILE");
    struct error error = {0};
    struct start start = {.timeout_us = 0};
    wire__start_saga__init(&start.message);
    int code = read_start(&start, &values, &arguments, &error)
                   ? start_saga(&arguments.options, &start)
                   : print_failure(&arguments.options, &error);
    start_fini(&start);
    return code;
}

const struct command saga_start_command = {
    .name = "saga start",
    .usage = "NAME [--input 'JSON'] [flags] | -f FILE",
    .summary = "start a saga",
    .help = "Begins the saga of this name with this input, and prints its ID when it has\n"
            "durably begun: from then on it goes on by itself until it is completed, or all\n"
            "that it did is undone.\n"
            "\n"
            "  --input 'JSON'       its input, a JSON object\n"
            "  -f, --file FILE      read name, input, key and wait from a YAML file; - is\n"
            "                       stdin\n"
            "  --key K              idempotency key: a repeated start with the same key, name\n"
            "                       and input begins nothing, and hears of the first one\n"
            "  --wait               answer when it has ended\n"
            "  --timeout DURATION   with --wait: how long at most; the saga runs on. Without:\n"
            "                       how long to wait for the answer (default 5s)\n"
            "\n"
            "Exit code: 0 begun, or with --wait completed; 1 compensated: all is undone; or\n"
            "busy or draining: nothing was begun; 2 a mistake in the words, the input or the\n"
            "file, or no such saga; 3 nobody answers; 4 refused, as a key that was used for\n"
            "another input; 5 --wait: still running at --timeout; or sent, and not known\n"
            "whether it began.\n"
            "\n"
            "Examples:\n"
            "  troth saga start place-order --key order-17 --wait --timeout 30s \\\n"
            "    --input '{\"order_id\": \"17\", \"customer\": \"ada\", \"amount\": 1.50}'\n"
            "  troth saga start -f order.yaml\n"
            "\n"
            "  # order.yaml\n"
            "  saga: place-order\n"
            "  key: order-17\n"
            "  wait: true\n"
            "  input: {order_id: \"17\", customer: ada, amount: 1.50}\n",
    .run = run_start,
};
