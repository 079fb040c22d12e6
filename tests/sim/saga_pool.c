#include "tests/sim/saga_pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/definition.h"
#include "saga/lint.h"

/* The first ones run no others, those after them may run these. */
enum { LEAVES = 5, MIDDLES = 8 };

static struct pool_entry pool[POOL_SIZE];
static struct tree_family families[POOL_FAMILIES];
static bool made;

static struct pool_entry *entry_of(int family, int version)
{
    return &pool[family * POOL_VERSIONS + version - 1];
}

/* libjq holds its memory by the end of it only, which a leak checker takes for lost. */
static void forget_plans(void)
{
    for (int i = 0; i < POOL_SIZE; i++)
        saga_plan_free(pool[i].plan);
}

static void make(void)
{
    struct rng rng = {20261121};
    made = true;
    CHECK(atexit(forget_plans) == 0);
    for (int i = 0; i < POOL_FAMILIES; i++)
        families[i] = (struct tree_family){.has_pivot = i < LEAVES ? i % 2 == 0
                                                                   : rng_chance(&rng, PPM * 3 / 5),
                                           .three_phase = i % 2 == 1,
                                           .participants = i % 3 == 0   ? 2
                                                           : i % 3 == 1 ? 3
                                                                        : 5};
    for (int i = 0; i < POOL_FAMILIES; i++)
        for (int version = 1; version <= POOL_VERSIONS; version++) {
            struct pool_entry *entry = entry_of(i, version);
            int usable = i < LEAVES ? 0 : i < MIDDLES ? LEAVES : MIDDLES;
            saga_tree_make(&entry->tree, &rng, i, version, families, usable);
            entry->text = saga_tree_text(&entry->tree);
            entry->size = strlen(entry->text);
            snprintf(entry->file, sizeof(entry->file), "f%d.yaml", i);
        }
}

/* A plan numbers its steps as the tree does. */
static void compare(const struct pool_entry *entry)
{
    const struct saga_plan *plan = entry->plan;
    CHECK(plan->step_count == entry->tree.node_count);
    for (int i = 0; i < plan->step_count; i++)
        CHECK(strcmp(plan->steps[i].name ? plan->steps[i].name : "", entry->tree.nodes[i].name) ==
              0);
}

/* A definition that is refused here is a mistake of its maker. */
static struct saga_plan *compiled(struct pool_entry *entry)
{
    if (entry->plan)
        return entry->plan;
    struct error error = {0};
    entry->plan = saga_definition_load(entry->file, entry->text, entry->size, &error);
    if (entry->plan) {
        compare(entry);
        return entry->plan;
    }
    fprintf(stderr, "%s\n%s\n%s\n", entry->text, error.message, error.detail);
    CHECK(!"a definition was made that is not valid");
}

/* All of one version, as a folder may have them. */
static void lint(int version)
{
    struct saga_plan *plans[POOL_FAMILIES];
    struct saga_findings findings = {0};
    for (int i = 0; i < POOL_FAMILIES; i++)
        plans[i] = compiled(entry_of(i, version));
    saga_lint(&(struct saga_lint){.plans = plans, .plan_count = POOL_FAMILIES, .whole = true},
              &findings);
    struct error error = {0};
    if (!saga_findings_check(&findings, "the pool", &error)) {
        fprintf(stderr, "%s\n%s\n", error.message, error.detail);
        CHECK(!"lint finds a mistake in what was made");
    }
    saga_findings_fini(&findings);
}

void saga_pool_prepare(void)
{
    static bool linted;
    if (!made)
        make();
    for (int version = 1; version <= POOL_VERSIONS && !linted; version++)
        lint(version);
    linted = true;
}

const struct pool_entry *saga_pool_get(int family, int version)
{
    if (!made)
        make();
    return entry_of(family, version);
}

bool saga_pool_fits(int family, int participants, bool three_phase)
{
    if (!made)
        make();
    return families[family].participants <= participants &&
           (three_phase || !families[family].three_phase);
}

uint32_t saga_pool_needs(int family)
{
    uint32_t needs = 1u << family;
    for (int version = 1; version <= POOL_VERSIONS; version++) {
        const struct saga_tree *tree = &saga_pool_get(family, version)->tree;
        for (int i = 0; i < tree->node_count; i++)
            if (tree->nodes[i].family != TREE_NONE)
                needs |= saga_pool_needs(tree->nodes[i].family);
    }
    return needs;
}

const struct pool_entry *saga_pool_find(const void *digest, size_t size)
{
    for (int i = 0; i < POOL_SIZE && size == sizeof(struct digest); i++)
        if (pool[i].plan && memcmp(&pool[i].plan->digest, digest, size) == 0)
            return &pool[i];
    return NULL;
}

static struct saga_plan *load(void *self, const char *file, const char *text, size_t size,
                              struct error *error)
{
    (void)self;
    for (int i = 0; i < POOL_SIZE; i++)
        if (pool[i].size == size && memcmp(pool[i].text, text, size) == 0)
            return compiled(&pool[i]);
    return saga_definition_load(file, text, size, error);
}

static void unload(void *self, struct saga_plan *plan)
{
    (void)self;
    for (int i = 0; i < POOL_SIZE; i++)
        if (pool[i].plan == plan)
            return;
    saga_plan_free(plan);
}

struct saga_loader saga_pool_loader(void)
{
    if (!made)
        make();
    return (struct saga_loader){.load = load, .free = unload};
}
