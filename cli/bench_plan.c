#include "cli/bench_plan.h"

#include <stdlib.h>
#include <string.h>

#include "cli/given.h"
#include "cli/order.h"
#include "core/check.h"
#include "core/id.h"
#include "core/limits.h"
#include "io/yaml_node.h"

enum { ENTRIES_MOST = 100, WEIGHT_MOST = 1000000, IN_FLIGHT_MOST = 10000, IN_FLIGHT_DEFAULT = 16 };
#define COUNT_MOST          1000000000000ll
#define DURATION_DEFAULT_US (10 * 1000 * 1000ull)
#define DAY_US              86400000000ull
/* More are no load that one process makes. */
#define RATE_MOST 1000000ull
/* What a request may grow by until the end of a run: numbers get longer. */
#define GROWTH_BYTES 256

/* ---- numbers and times --------------------------------------------------------------------- */

/* 200/s, 30/m: the time between two. */
static bool rate_parse(const char *text, uint64_t *interval_ns)
{
    static const struct {
        const char *unit;
        uint64_t ns;
    } units[] = {{"/s", 1000000000ull}, {"/m", 60000000000ull}, {"/h", 3600000000000ull}};
    size_t digits = strspn(text, "0123456789");
    uint64_t count = digits && digits < 10 ? strtoull(text, NULL, 10) : 0;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(text + digits, units[i].unit) == 0 && count && count <= RATE_MOST) {
            *interval_ns = units[i].ns / count;
            return true;
        }
    }
    return false;
}

static const char rate_rule[] = "is not a rate such as 200/s, 90/m or 500/h, up to 1000000/s";

/* 0 for no node. */
static uint64_t read_duration(struct yaml *yaml, const struct yaml_node *node, uint64_t low_us)
{
    uint64_t us = node ? yaml_duration_us(yaml, node, low_us) : 0;
    if (node && (us < low_us || us > DAY_US))
        yaml_mistake(yaml, node, "%s: is not from %s to 1d", node->key, low_us ? "1ms" : "0s");
    return us;
}

static void read_size(struct bench_plan *plan, struct yaml *yaml, const struct yaml_node *root)
{
    const struct yaml_node *duration = yaml_get(root, "duration");
    const struct yaml_node *count = yaml_get(root, "count"), *rate = yaml_get(root, "rate");
    if (duration && count)
        yaml_mistake(yaml, count, "duration or count tells when it ends, not both");
    plan->in_flight =
        (int)yaml_integer(yaml, yaml_get(root, "in_flight"), 1, IN_FLIGHT_MOST, IN_FLIGHT_DEFAULT);
    plan->count = (uint64_t)yaml_integer(yaml, count, 1, COUNT_MOST, 0);
    plan->duration_us = read_duration(yaml, duration, 1000);
    if (!plan->count && !plan->duration_us)
        plan->duration_us = DURATION_DEFAULT_US;
    plan->warm_up_us = read_duration(yaml, yaml_get(root, "warm_up"), 0);
    const char *text = yaml_string(yaml, rate, NULL);
    if (text && !rate_parse(text, &plan->interval_ns))
        yaml_mistake(yaml, rate, "rate: \"%.60s\" %s", text, rate_rule);
}

static bool take_number(const char *name, const char *text, long long most, uint64_t *value,
                        struct error *error)
{
    size_t digits = strspn(text, "0123456789");
    long long number = digits && digits < 15 && !text[digits] ? atoll(text) : 0;
    if (number < 1 || number > most)
        return error_set(error, ERROR_USAGE, "%s: \"%.60s\" is not a number from 1 to %lld", name,
                         text, most);
    *value = (uint64_t)number;
    return true;
}

bool bench_plan_override(struct bench_plan *plan, const struct bench_flags *flags,
                         struct error *error)
{
    uint64_t in_flight = (uint64_t)plan->in_flight;
    if (flags->duration && flags->count)
        return error_set(error, ERROR_USAGE, "give --duration or --count, not both");
    if (flags->in_flight &&
        !take_number("--in-flight", flags->in_flight, IN_FLIGHT_MOST, &in_flight, error))
        return false;
    if (flags->count && !take_number("--count", flags->count, COUNT_MOST, &plan->count, error))
        return false;
    if (flags->duration && (!duration_parse(flags->duration, &plan->duration_us) ||
                            plan->duration_us < 1000 || plan->duration_us > DAY_US))
        return error_set(error, ERROR_USAGE,
                         "--duration: \"%.60s\" is no duration from 1ms to 1d, such as 30s",
                         flags->duration);
    if (flags->rate && !rate_parse(flags->rate, &plan->interval_ns))
        return error_set(error, ERROR_USAGE, "--rate: \"%.60s\" %s", flags->rate, rate_rule);
    plan->in_flight = (int)in_flight;
    if (flags->count)
        plan->duration_us = 0;
    if (flags->duration)
        plan->count = 0;
    for (int i = 0; i < plan->entry_count && flags->deadline_us; i++)
        plan->entries[i].deadline_us = flags->deadline_us;
    return true;
}

/* ---- entries ------------------------------------------------------------------------------- */

static struct bench_template *read_arguments(struct bench_plan *plan, struct yaml *yaml,
                                             const struct yaml_node *with)
{
    if (with && !yaml_is_map(with))
        yaml_mistake(yaml, with, "%s: expected a map of arguments (name: value)", with->key);
    return yaml_is_map(with) ? bench_template_read(plan->values, yaml, with) : NULL;
}

static void read_branch(struct bench_plan *plan, struct bench_entry *entry, struct yaml *yaml,
                        const struct yaml_node *branch)
{
    static const char *const keys[] = {"call", "with", NULL};
    struct error error = {0};
    if (!yaml_map(yaml, branch, keys))
        return;
    const struct yaml_node *node = yaml_need(yaml, branch, "call"),
                           *with = yaml_get(branch, "with");
    const char *text = yaml_string(yaml, node, NULL);
    struct bench_template *arguments = read_arguments(plan, yaml, with);
    struct bench_call call = {.arguments = arguments, .place = node, .with = with};
    if (text && !order_split_call(text, &call.participant, &call.operation, &error)) {
        yaml_mistake(yaml, node, "%s", error.message);
        call.participant = call.operation = NULL;
    }
    entry->calls = xrealloc(entry->calls, ((size_t)entry->call_count + 1) * sizeof(*entry->calls));
    entry->calls[entry->call_count++] = call;
}

static void read_branches(struct bench_plan *plan, struct bench_entry *entry, struct yaml *yaml,
                          const struct yaml_node *list)
{
    if (list && !yaml_is_sequence(list))
        yaml_mistake(yaml, list, "branches: expected a list (- call: ...)");
    else if (list && yaml_count(list) == 0)
        yaml_mistake(yaml, list, "branches: is empty; nothing would be done");
    else if (yaml_count(list) > LIMIT_CALLS)
        yaml_mistake(yaml, list, "branches: %d calls; one transaction may have %d",
                     yaml_count(list), LIMIT_CALLS);
    for (int i = 0; yaml_is_sequence(list) && i < yaml_count(list) && i < LIMIT_CALLS; i++)
        read_branch(plan, entry, yaml, yaml_item(list, i));
}

static void read_transaction(struct bench_plan *plan, struct bench_entry *entry, struct yaml *yaml,
                             const struct yaml_node *node)
{
    static const char *const keys[] = {"name",     "weight", "protocol", "wait",
                                       "deadline", "key",    "branches", NULL};
    static const char *const protocols[] = {"2pc", "3pc", NULL};
    static const char *const waits[] = {"applied", "decided", NULL};
    yaml_map(yaml, node, keys);
    entry->protocol = yaml_word(yaml, yaml_get(node, "protocol"), protocols, 0)
                          ? WIRE__PROTOCOL__THREE_PHASE
                          : WIRE__PROTOCOL__TWO_PHASE;
    entry->early = yaml_word(yaml, yaml_get(node, "wait"), waits, 0) == 1;
    if (!yaml_get(node, "branches"))
        yaml_mistake(
            yaml, node,
            "either \"branches\" (a transaction) or \"saga\" (one's name) is missing here");
    read_branches(plan, entry, yaml, yaml_get(node, "branches"));
}

static void read_saga(struct bench_plan *plan, struct bench_entry *entry, struct yaml *yaml,
                      const struct yaml_node *node)
{
    static const char *const keys[] = {"name", "weight",   "saga", "input",
                                       "wait", "deadline", "key",  NULL};
    static const char *const waits[] = {"ended", "started", NULL};
    yaml_map(yaml, node, keys);
    const char *saga = yaml_string(yaml, yaml_get(node, "saga"), NULL);
    if (saga && !name_valid(saga))
        yaml_mistake(yaml, yaml_get(node, "saga"), "saga: a name is %s", name_rule);
    entry->saga = xstrdup(saga ? saga : "");
    entry->early = yaml_word(yaml, yaml_get(node, "wait"), waits, 0) == 1;
    entry->input = read_arguments(plan, yaml, yaml_get(node, "input"));
}

static void read_key(struct bench_plan *plan, struct bench_entry *entry, struct yaml *yaml,
                     const struct yaml_node *key)
{
    if (!key)
        return;
    if (!yaml_is_scalar(key) || yaml_is_null(key)) {
        yaml_mistake(yaml, key, "key: expected a text, as \"order-${ uuid }\"");
        return;
    }
    entry->key = bench_template_read(plan->values, yaml, key);
    if (!bench_template_varies(entry->key))
        yaml_mistake(yaml, key,
                     "key: is the same for all, so that nothing would run but the "
                     "first: write \"%.60s-${ uuid }\"",
                     key->text);
}

/* As the table of figures has it. */
static char *name_of(struct yaml *yaml, const struct yaml_node *node)
{
    const char *name = yaml_string(yaml, yaml_get(node, "name"), NULL);
    if (name && !name_valid(name))
        yaml_mistake(yaml, yaml_get(node, "name"), "name: expected %s", name_rule);
    const struct yaml_node *saga = yaml_get(node, "saga");
    const struct yaml_node *call = yaml_get(yaml_item(yaml_get(node, "branches"), 0), "call");
    const struct yaml_node *other = saga ? saga : call;
    if (!name && yaml_is_scalar(other))
        name = other->text;
    return xstrdup(name ? name : "");
}

static void check_name(const struct bench_plan *plan, struct yaml *yaml,
                       const struct yaml_node *node, const char *name)
{
    const struct yaml_node *place = yaml_get(node, "name");
    for (int i = 0; i < plan->entry_count && *name; i++) {
        if (strcmp(plan->entries[i].name, name) == 0) {
            yaml_mistake(yaml, place ? place : node,
                         "another one is called \"%.60s\", too: give each its own `name`", name);
            return;
        }
    }
}

static void read_entry(struct bench_plan *plan, struct yaml *yaml, const struct yaml_node *node)
{
    if (!yaml_is_map(node)) {
        yaml_mistake(yaml, node, "expected a transaction (branches: ...) or a saga (saga: NAME)");
        return;
    }
    struct bench_entry entry = {.name = name_of(yaml, node)};
    check_name(plan, yaml, node, entry.name);
    entry.weight = (uint32_t)yaml_integer(yaml, yaml_get(node, "weight"), 0, WEIGHT_MOST, 1);
    entry.deadline_us = read_duration(yaml, yaml_get(node, "deadline"), 1000);
    read_key(plan, &entry, yaml, yaml_get(node, "key"));
    (yaml_get(node, "saga") ? read_saga : read_transaction)(plan, &entry, yaml, node);
    plan->entries =
        xrealloc(plan->entries, ((size_t)plan->entry_count + 1) * sizeof(*plan->entries));
    plan->entries[plan->entry_count++] = entry;
}

static void read_mix(struct bench_plan *plan, struct yaml *yaml, const struct yaml_node *mix)
{
    uint64_t weights = 0;
    if (mix && (!yaml_is_sequence(mix) || yaml_count(mix) == 0)) {
        yaml_mistake(yaml, mix, "mix: expected a list (- name: ...)");
        return;
    }
    if (yaml_count(mix) > ENTRIES_MOST)
        yaml_mistake(yaml, mix, "mix: more than %d", ENTRIES_MOST);
    for (int i = 0; i < yaml_count(mix) && i < ENTRIES_MOST; i++)
        read_entry(plan, yaml, yaml_item(mix, i));
    for (int i = 0; i < plan->entry_count; i++)
        weights += plan->entries[i].weight;
    if (mix && plan->entry_count && !weights)
        yaml_mistake(yaml, mix, "mix: every weight is 0; nothing would be done");
}

/* ---- the whole ----------------------------------------------------------------------------- */

/* What only a whole request shows. */
static void check_request(struct bench_plan *plan, struct bench_entry *entry, struct yaml *yaml,
                          const struct yaml_node *node)
{
    struct error error = {0};
    size_t size, most = LIMIT_MESSAGE_BYTES - GROWTH_BYTES;
    bool good_key;
    bench_values_sample(plan->values);
    if (entry->saga) {
        Wire__StartSaga *start = bench_start_draw(plan, entry);
        size = strlen(start->input);
        most = LIMIT_SAGA_VALUE_BYTES - GROWTH_BYTES;
        good_key = !entry->key || key_check(start->key, &error);
        bench_start_free(start);
    } else {
        Wire__Submit *submit = bench_submit_draw(plan, entry);
        size = wire__submit__get_packed_size(submit);
        good_key = !entry->key || key_check(submit->key, &error);
        bench_submit_free(submit);
    }
    if (size > most)
        yaml_mistake(yaml, node, "it is too large: %zu bytes; %zu are allowed", size, most);
    if (!good_key)
        yaml_mistake(yaml, yaml_get(node, "key"), "%s", error.message);
}

void bench_plan_read(struct bench_plan *plan, struct yaml *yaml, const char *run, uint64_t seed)
{
    static const char *const keys[] = {"in_flight", "duration", "count", "warm_up",
                                       "rate",      "values",   "mix",   NULL};
    const struct yaml_node *root = yaml_root(yaml);
    *plan = (struct bench_plan){.values = bench_values_new(run, seed)};
    if (!yaml_map(yaml, root, keys))
        return;
    read_size(plan, yaml, root);
    if (yaml_get(root, "values"))
        bench_values_read(plan->values, yaml, yaml_get(root, "values"));
    const struct yaml_node *mix = yaml_need(yaml, root, "mix");
    read_mix(plan, yaml, mix);
    struct error error = {0};
    if (!yaml_check(yaml, &error))
        return;
    for (int i = 0; i < plan->entry_count; i++)
        check_request(plan, &plan->entries[i], yaml, yaml_item(mix, i));
}

static void entry_fini(struct bench_entry *entry)
{
    for (int i = 0; i < entry->call_count; i++) {
        free(entry->calls[i].participant);
        free(entry->calls[i].operation);
        bench_template_free(entry->calls[i].arguments);
    }
    free(entry->calls);
    free(entry->name);
    free(entry->saga);
    bench_template_free(entry->key);
    bench_template_free(entry->input);
}

void bench_plan_fini(struct bench_plan *plan)
{
    for (int i = 0; i < plan->entry_count; i++)
        entry_fini(&plan->entries[i]);
    free(plan->entries);
    bench_values_free(plan->values);
}
