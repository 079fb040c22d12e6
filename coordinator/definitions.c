#include "coordinator/definitions.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/list.h"
#include "saga/lint.h"

/* ---- by digest ----------------------------------------------------------------------------- */

static bool match(const struct map_node *node, const void *digest)
{
    const struct definition *definition = CONTAINER(node, struct definition, node);
    return memcmp(definition->plan->digest.bytes, digest, DIGEST_BYTES) == 0;
}

struct definition *definitions_find(const struct definitions *definitions,
                                    const struct digest *digest)
{
    struct map_node *node =
        map_find(&definitions->map, hash_bytes(digest->bytes, DIGEST_BYTES), match, digest->bytes);
    return node ? CONTAINER(node, struct definition, node) : NULL;
}

static struct definition *add(struct definitions *definitions, struct saga_plan *plan)
{
    struct definition *definition = xcalloc(1, sizeof(*definition));
    definition->plan = plan;
    map_insert(&definitions->map, &definition->node, hash_bytes(plan->digest.bytes, DIGEST_BYTES));
    return definition;
}

static void forget(struct definitions *definitions, struct definition *definition)
{
    map_remove(&definitions->map, &definition->node);
    definitions->loader.free(definitions->loader.self, definition->plan);
    free(definition);
}

void definition_use(struct definition *definition)
{
    definition->users++;
}

void definitions_release(struct definitions *definitions, struct definition *definition)
{
    CHECK(definition->users > 0);
    /* What the journal has the text of once may be needed by a saga that is read later. */
    if (--definition->users == 0 && !definitions->recovering)
        forget(definitions, definition);
}

void definitions_sweep(struct definitions *definitions)
{
    definitions->recovering = false;
    for (struct map_node *node = map_next(&definitions->map, NULL), *next; node; node = next) {
        struct definition *definition = CONTAINER(node, struct definition, node);
        next = map_next(&definitions->map, node);
        if (definition->users == 0)
            forget(definitions, definition);
    }
}

void definitions_fini(struct definitions *definitions)
{
    for (int i = 0; i < definitions->current_count; i++)
        definitions->current[i]->users--;
    free(definitions->current);
    definitions->current = NULL;
    definitions->current_count = 0;
    for (struct map_node *node = map_next(&definitions->map, NULL), *next; node; node = next) {
        next = map_next(&definitions->map, node);
        forget(definitions, CONTAINER(node, struct definition, node));
    }
    map_fini(&definitions->map);
}

static struct saga_plan *load(const struct definitions *definitions, const char *file,
                              const char *text, size_t size, struct error *error)
{
    if (definitions->loader.load)
        return definitions->loader.load(definitions->loader.self, file, text, size, error);
    error_set(error, ERROR_USAGE, "%s: this coordinator runs no sagas", file);
    return NULL;
}

/* What follows "saga:" in a text that may be no definition. For an error only. */
static void guess_name(const char *text, char *out, size_t room)
{
    const char *at = strncmp(text, "saga:", 5) == 0 ? text : strstr(text, "\nsaga:");
    size_t size = 0;
    if (at) {
        at += strcspn(at, ":") + 1;
        at += strspn(at, " \t\"'");
        size = strcspn(at, " \t\r\n\"'#");
    }
    size = size < room ? size : room - 1;
    memcpy(out, size ? at : "", size);
    out[size] = '\0';
}

bool definitions_recover(struct definitions *definitions, const char *file, const char *text,
                         const void *digest, size_t digest_size, struct error *error)
{
    struct error why = {0};
    struct digest known = digest_of(text, strlen(text));
    if (digest_size != DIGEST_BYTES || memcmp(known.bytes, digest, DIGEST_BYTES) != 0) {
        error_set(error, ERROR_CORRUPT, "the journal holds a definition that is not what it was");
        return error_detail(error, "the text of %s does not have its digest", file);
    }
    struct definition *definition = definitions_find(definitions, &known);
    if (!definition) {
        struct saga_plan *plan = load(definitions, file, text, strlen(text), &why);
        if (!plan) {
            char name[LIMIT_NAME_BYTES + 1];
            guess_name(text, name, sizeof(name));
            error_set(error, ERROR_USAGE,
                      "sagas of the journal run by a definition that this version can't read: "
                      "saga %s, from %s",
                      name, file);
            error_detail(error, "%s%s%s", why.message, why.detail[0] ? ": " : "", why.detail);
            return error_hint(error, "start the version of trothd that began them");
        }
        definition = add(definitions, plan);
    }
    definition->journaled = true;
    definitions->recovering = true;
    return true;
}

/* ---- by name ------------------------------------------------------------------------------- */

static int find_name(struct definition *const *list, int count, const char *name)
{
    for (int i = 0; i < count; i++) {
        if (strcmp(list[i]->plan->name, name) == 0)
            return i;
    }
    return SAGA_NONE;
}

struct definition *definitions_current(const struct definitions *definitions, const char *name)
{
    int at = find_name(definitions->current, definitions->current_count, name);
    return at == SAGA_NONE ? NULL : definitions->current[at];
}

const char *definitions_nearest(const struct definitions *definitions, const char *typed)
{
    const char **names = xcalloc((size_t)definitions->current_count + 1, sizeof(*names));
    for (int i = 0; i < definitions->current_count; i++)
        names[i] = definitions->current[i]->plan->name;
    const char *nearest = error_nearest(typed, names, definitions->current_count);
    free(names);
    return nearest;
}

/* One file of those that are to be current. */
struct entry {
    const char *file;
    struct definition *definition; /* NULL: it can't be read */
    bool refused;
};

/* All of one call of definitions_set. */
struct draft {
    struct definitions *definitions;
    const struct host_port *host;
    struct entry *entries;
    int count, refused;
};

/* A list of mistakes, one a line, as saga_findings_check makes it. */
static void log_mistakes(const struct draft *draft, const struct error *error)
{
    host_log(draft->host, LOG_ERROR, "%s", error->message);
    for (const char *at = error->detail; *at;) {
        size_t indent = strspn(at, " \n"), size = strcspn(at + indent, "\n");
        if (size)
            host_log(draft->host, LOG_ERROR, "%.*s", (int)size, at + indent);
        at += indent + size;
    }
}

static void refuse(struct draft *draft, struct entry *entry)
{
    const char *name = entry->definition ? entry->definition->plan->name : NULL;
    const struct definition *known = name ? definitions_current(draft->definitions, name) : NULL;
    for (int i = 0; i < draft->definitions->current_count && !name; i++) {
        if (strcmp(draft->definitions->current[i]->plan->file, entry->file) == 0)
            known = draft->definitions->current[i];
    }
    entry->refused = true;
    draft->refused++;
    if (known)
        host_log(draft->host, LOG_WARNING,
                 "%s is refused; new sagas %s go on with version %" PRId64 " from %s", entry->file,
                 known->plan->name, known->plan->version, known->plan->file);
    else
        host_log(draft->host, LOG_WARNING, "%s is refused: no saga begins with it", entry->file);
}

static void load_entry(struct draft *draft, struct entry *entry,
                       const struct server_definition *text)
{
    struct error error = {0};
    struct digest digest = digest_of(text->text, text->size);
    entry->file = text->file;
    entry->definition = definitions_find(draft->definitions, &digest);
    if (entry->definition) {
        definition_use(entry->definition);
        return;
    }
    struct saga_plan *plan = NULL;
    if (memchr(text->text, '\0', text->size)) /* UTF-16: no text for a record of the journal */
        error_set(&error, ERROR_USAGE, "%s: is not UTF-8", text->file);
    else
        plan = load(draft->definitions, text->file, text->text, text->size, &error);
    if (plan) {
        entry->definition = add(draft->definitions, plan);
        definition_use(entry->definition);
        return;
    }
    log_mistakes(draft, &error);
    refuse(draft, entry);
}

/* Two files with one name: the first stays. */
static void refuse_doubles(struct draft *draft)
{
    for (int i = 0; i < draft->count; i++) {
        for (int j = 0; j < i && !draft->entries[i].refused; j++) {
            if (draft->entries[i].refused || draft->entries[j].refused)
                continue;
            const struct saga_plan *plan = draft->entries[i].definition->plan;
            if (strcmp(plan->name, draft->entries[j].definition->plan->name) != 0)
                continue;
            host_log(draft->host, LOG_ERROR, "%s: saga %s is defined in %s, too",
                     draft->entries[i].file, plan->name, draft->entries[j].file);
            refuse(draft, &draft->entries[i]);
        }
    }
}

static bool is_wanted(const struct draft *draft, const struct definition *definition)
{
    for (int i = 0; i < draft->count; i++) {
        if (!draft->entries[i].refused && draft->entries[i].definition == definition)
            return true;
    }
    return false;
}

/* What stays although it is not wanted any more: its successor, or its file, was refused. */
static bool stays(const struct draft *draft, const struct definition *current)
{
    bool refused = false;
    for (int i = 0; i < draft->count; i++) {
        const struct entry *entry = &draft->entries[i];
        bool same_name =
            entry->definition && strcmp(entry->definition->plan->name, current->plan->name) == 0;
        if (same_name && !entry->refused)
            return false;
        refused = refused || same_name ||
                  (entry->refused && strcmp(entry->file, current->plan->file) == 0);
    }
    return refused;
}

/* The definitions that would be current now: those wanted, then those that stay. */
static int gather(const struct draft *draft, struct definition **list)
{
    int count = 0;
    for (int i = 0; i < draft->count; i++) {
        if (!draft->entries[i].refused)
            list[count++] = draft->entries[i].definition;
    }
    for (int i = 0; i < draft->definitions->current_count; i++) {
        struct definition *current = draft->definitions->current[i];
        if (!is_wanted(draft, current) && stays(draft, current))
            list[count++] = current;
    }
    return count;
}

static bool has_mistakes(const struct draft *draft, const struct saga_findings *findings,
                         const char *file)
{
    bool found = false;
    for (int i = 0; i < findings->count; i++) {
        const struct saga_finding *finding = &findings->items[i];
        if (finding->severity != SAGA_MISTAKE || strcmp(finding->file, file) != 0)
            continue;
        char *line = saga_finding_format(finding);
        host_log(draft->host, LOG_ERROR, "%s", line);
        free(line);
        found = true;
    }
    return found;
}

/* Refuses what has a mistake beside the others. One that is refused may be needed by another, so
 * again until nothing is found. */
static bool lint(struct draft *draft, struct definition **list)
{
    struct saga_findings findings = {0};
    int count = gather(draft, list);
    struct saga_plan **plans = xcalloc((size_t)count + 1, sizeof(*plans));
    for (int i = 0; i < count; i++)
        plans[i] = list[i]->plan;
    saga_lint(&(struct saga_lint){.plans = plans, .plan_count = count, .whole = true}, &findings);
    saga_findings_sort(&findings);
    bool found = false;
    for (int i = 0; i < draft->count; i++) {
        struct entry *entry = &draft->entries[i];
        /* Linted before under the name of another file, when only the file was renamed. */
        if (entry->refused || !has_mistakes(draft, &findings, entry->definition->plan->file))
            continue;
        refuse(draft, entry);
        found = true;
    }
    saga_findings_fini(&findings);
    free(plans);
    return found;
}

static int by_name(const void *a, const void *b)
{
    const struct definition *const *x = a, *const *y = b;
    return strcmp((*x)->plan->name, (*y)->plan->name);
}

static void log_changes(const struct draft *draft, struct definition *const *list, int count)
{
    const struct definitions *definitions = draft->definitions;
    for (int i = 0; i < count; i++) {
        const struct saga_plan *plan = list[i]->plan;
        if (!list[i]->current)
            host_log(draft->host, LOG_INFO, "saga %s: version %" PRId64 " from %s", plan->name,
                     plan->version, plan->file);
    }
    for (int i = 0; i < definitions->current_count; i++) {
        const struct saga_plan *plan = definitions->current[i]->plan;
        if (find_name(list, count, plan->name) == SAGA_NONE)
            host_log(draft->host, LOG_WARNING,
                     "saga %s: %s is gone; none begins any more, those that run go on", plan->name,
                     plan->file);
    }
}

static void replace(struct definitions *definitions, struct definition **list, int count)
{
    struct definition **old = definitions->current;
    int old_count = definitions->current_count;
    for (int i = 0; i < old_count; i++)
        old[i]->current = false;
    for (int i = 0; i < count; i++) {
        definition_use(list[i]);
        list[i]->current = true;
    }
    definitions->current = list;
    definitions->current_count = count;
    for (int i = 0; i < old_count; i++)
        definitions_release(definitions, old[i]);
    free(old);
}

int definitions_set(struct definitions *definitions, const struct server_definition *texts,
                    int count, const struct host_port *host)
{
    struct draft draft = {.definitions = definitions, .host = host, .count = count};
    struct definition **list =
        xcalloc((size_t)(count + definitions->current_count) + 1, sizeof(*list));
    draft.entries = xcalloc((size_t)count + 1, sizeof(*draft.entries));
    for (int i = 0; i < count; i++)
        load_entry(&draft, &draft.entries[i], &texts[i]);
    refuse_doubles(&draft);
    while (lint(&draft, list))
        continue;
    int current_count = gather(&draft, list);
    qsort(list, (size_t)current_count, sizeof(struct definition *), by_name);
    log_changes(&draft, list, current_count);
    replace(definitions, list, current_count);
    for (int i = 0; i < count; i++) {
        if (draft.entries[i].definition)
            definitions_release(definitions, draft.entries[i].definition);
    }
    free(draft.entries);
    return draft.refused;
}
