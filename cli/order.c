#include "cli/order.h"

#include <stdlib.h>
#include <string.h>

#include "cli/given.h"
#include "core/check.h"
#include "core/id.h"
#include "core/json.h"
#include "core/limits.h"
#include "io/yaml.h"

static const char *const protocols[] = {"2pc", "3pc", NULL};
static const char *const waits[] = {"applied", "decided", NULL};

void order_init(struct order *order)
{
    wire__submit__init(&order->submit);
    order->timeout_us = 0;
}

void order_fini(struct order *order)
{
    Wire__Submit *submit = &order->submit;
    for (size_t i = 0; i < submit->n_calls; i++) {
        free(submit->calls[i]->participant);
        free(submit->calls[i]->operation);
        free(submit->calls[i]->arguments);
        free(submit->calls[i]);
    }
    free(submit->calls);
    if (submit->key != (char *)protobuf_c_empty_string)
        free(submit->key);
    order_init(order);
}

static int find_word(const char *const *words, const char *word)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(words[i], word) == 0)
            return i;
    }
    return -1;
}

/* As a file's mistake is told. */
static bool not_a_word(struct error *error, const char *what, const char *word,
                       const char *const *words)
{
    const char *near = error_nearest(word, words, 2);
    error_set(error, ERROR_USAGE, "%s: \"%.40s\" is not one of %s, %s%s%s%s", what, word, words[0],
              words[1], near ? "; did you mean \"" : "", near ? near : "", near ? "\"?" : "");
    return false;
}

bool order_protocol(struct order *order, const char *word, struct error *error)
{
    int index = find_word(protocols, word);
    if (index < 0)
        return not_a_word(error, "protocol", word, protocols);
    order->submit.protocol = index == 0 ? WIRE__PROTOCOL__TWO_PHASE : WIRE__PROTOCOL__THREE_PHASE;
    return true;
}

bool order_wait(struct order *order, const char *word, struct error *error)
{
    int index = find_word(waits, word);
    if (index < 0)
        return not_a_word(error, "wait", word, waits);
    order->submit.wait = index == 0 ? WIRE__WAIT__APPLIED : WIRE__WAIT__DECIDED;
    return true;
}

bool order_key(struct order *order, const char *key, struct error *error)
{
    if (!key_check(key, error))
        return false;
    if (order->submit.key != (char *)protobuf_c_empty_string)
        free(order->submit.key);
    order->submit.key = xstrdup(key);
    return true;
}

bool order_split_call(const char *call, char **participant, char **operation, struct error *error)
{
    const char *dot = strchr(call, '.');
    if (!dot) {
        error_set(error, ERROR_USAGE, "\"%.60s\" is not a call", call);
        return error_hint(error, "a call is participant.operation, as payments.charge");
    }
    *participant = xstrndup(call, (size_t)(dot - call));
    *operation = xstrdup(dot + 1);
    if (!name_valid(*participant))
        error_set(error, ERROR_USAGE, "\"%.60s\": the participant's name must be %s", call,
                  name_rule);
    else if (!word_valid(*operation))
        error_set(error, ERROR_USAGE,
                  "\"%.60s\": the operation's name must be letters, digits and _, at most %d", call,
                  LIMIT_WORD_BYTES);
    else
        return true;
    free(*participant);
    free(*operation);
    return false;
}

/* Takes over all three texts. */
static void add_call(struct order *order, char *participant, char *operation, char *arguments)
{
    Wire__Submit *submit = &order->submit;
    Wire__Call *call = xmalloc(sizeof(*call));
    wire__call__init(call);
    call->participant = participant;
    call->operation = operation;
    call->arguments = arguments;
    submit->calls = xrealloc(submit->calls, (submit->n_calls + 1) * sizeof(submit->calls[0]));
    submit->calls[submit->n_calls++] = call;
}

/* The arguments as they will travel, or NULL with an error that tells the place. */
static char *check_arguments(const char *call, const char *text, struct error *error)
{
    struct error mistake = {0};
    struct json *json = json_parse(text, strlen(text), &mistake);
    char *arguments = NULL;
    if (!json) {
        error_set(error, ERROR_USAGE, "arguments of %.80s: %s", call, mistake.message);
        error_hint(error, "arguments are a JSON object in single quotes, as '{\"amount\": 10.50}'");
    } else if (json->type != JSON_OBJECT) {
        error_set(error, ERROR_USAGE, "arguments of %.80s: expected a JSON object, not %.60s", call,
                  text);
        error_hint(error, "arguments have names, as '{\"amount\": 10.50}'");
    } else {
        arguments = json_without_spaces(json->raw, json->raw_size);
    }
    json_free(json);
    return arguments;
}

bool order_from_words(struct order *order, char **words, int count, struct error *error)
{
    for (int i = 0; i < count; i++) {
        char *participant = NULL, *operation = NULL;
        const char *call = words[i];
        if (call[0] == '{' || call[0] == '[') {
            error_set(error, ERROR_USAGE, "arguments without a call before them: %.60s", call);
            return error_hint(error, "troth submit payments.charge '{\"amount\": 10.50}'");
        }
        if (!order_split_call(call, &participant, &operation, error))
            return false;
        /* A word that is no call by its looks is meant as arguments, and then must be JSON. */
        const char *next = i + 1 < count ? words[i + 1] : NULL;
        bool has_arguments =
            next && (!*next || strpbrk(next, "{}[]\"':= \t\n") || !strchr(next, '.'));
        char *arguments = has_arguments ? check_arguments(call, next, error) : xstrdup("{}");
        i += has_arguments;
        if (!arguments) {
            free(participant);
            free(operation);
            return false;
        }
        add_call(order, participant, operation, arguments);
    }
    return true;
}

/* ---- files -------------------------------------------------------------------------------- */

static void add_branch(struct order *order, struct yaml *yaml, const struct yaml_node *branch)
{
    static const char *const keys[] = {"call", "with", NULL};
    if (!yaml_map(yaml, branch, keys))
        return;
    const struct yaml_node *call_node = yaml_need(yaml, branch, "call");
    const struct yaml_node *with = yaml_get(branch, "with");
    const char *call = yaml_string(yaml, call_node, NULL);
    char *participant = NULL, *operation = NULL;
    struct error error = {0};
    if (with && !yaml_is_map(with)) {
        yaml_mistake(yaml, with, "with: expected a map of arguments (name: value)");
        return;
    }
    if (!call)
        return;
    if (order_split_call(call, &participant, &operation, &error))
        add_call(order, participant, operation, with ? yaml_to_json(with) : xstrdup("{}"));
    else
        yaml_mistake(yaml, call_node, "%s", error.message);
}

static void read_order(struct order *order, struct yaml *yaml)
{
    static const char *const keys[] = {"protocol", "key", "wait", "deadline", "branches", NULL};
    const struct yaml_node *root = yaml_root(yaml);
    if (!yaml_map(yaml, root, keys))
        return;
    struct error error = {0};
    order->submit.protocol = yaml_word(yaml, yaml_get(root, "protocol"), protocols, 0) == 0
                                 ? WIRE__PROTOCOL__TWO_PHASE
                                 : WIRE__PROTOCOL__THREE_PHASE;
    order->submit.wait = yaml_word(yaml, yaml_get(root, "wait"), waits, 0) == 0
                             ? WIRE__WAIT__APPLIED
                             : WIRE__WAIT__DECIDED;
    const char *key = yaml_string(yaml, yaml_get(root, "key"), NULL);
    if (key && !order_key(order, key, &error))
        yaml_mistake(yaml, yaml_get(root, "key"), "%s", error.message);
    const struct yaml_node *deadline = yaml_get(root, "deadline");
    order->timeout_us = yaml_duration_us(yaml, deadline, 0);
    if (deadline && order->timeout_us &&
        (order->timeout_us < 1000 || order->timeout_us > 86400000000ull))
        yaml_mistake(yaml, deadline, "deadline: is not from 1ms to 1d");
    const struct yaml_node *branches = yaml_need(yaml, root, "branches");
    if (branches && !yaml_is_sequence(branches))
        yaml_mistake(yaml, branches, "branches: expected a list (- call: ...)");
    else if (branches && yaml_count(branches) == 0)
        yaml_mistake(yaml, branches, "branches: is empty; nothing would be done");
    for (int i = 0; yaml_is_sequence(branches) && i < yaml_count(branches); i++)
        add_branch(order, yaml, yaml_item(branches, i));
}

bool order_from_file(struct order *order, const char *path, struct error *error)
{
    struct yaml *yaml = file_or_stdin(path, error);
    if (!yaml)
        return false;
    read_order(order, yaml);
    bool good = yaml_check(yaml, error);
    yaml_free(yaml);
    return good;
}

enum error_kind order_refusal(const Wire__Problem *problem)
{
    static const char *const later[] = {"busy", "draining", "not_connected", "database_down"};
    const char *code = problem ? problem->code : "";
    if (strcmp(code, "key_conflict") == 0)
        return ERROR_REFUSED;
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        if (strcmp(code, later[i]) == 0)
            return ERROR_BUSY;
    }
    return ERROR_USAGE;
}

bool order_check(const struct order *order, struct error *error)
{
    const Wire__Submit *submit = &order->submit;
    if (submit->n_calls == 0)
        return error_set(error, ERROR_USAGE, "no call to submit");
    if (submit->n_calls > LIMIT_CALLS)
        return error_set(error, ERROR_USAGE, "%zu calls; one transaction may have %d",
                         submit->n_calls, LIMIT_CALLS);
    /* 32: the numbers that are filled in later, and the message around it. */
    size_t size = wire__submit__get_packed_size(submit) + 32;
    if (size > LIMIT_MESSAGE_BYTES) {
        error_set(error, ERROR_USAGE, "the transaction is too large: %zu bytes; %d are allowed",
                  size, LIMIT_MESSAGE_BYTES);
        return error_hint(error, "store large values first and pass their names");
    }
    return true;
}
