/* Makes random definitions that are valid: each choice here is one that lint allows. */
#include "tests/sim/saga_tree.h"

#include <stdio.h>
#include <string.h>

#include "core/check.h"

const char *const tree_act_words[] = {"withdraw", "deposit",   "hesitate",  "look",
                                      "refuse",   "give_back", "take_back", "give_late"};

/* Where steps are being added. */
struct maker {
    struct saga_tree *tree;
    struct rng *rng;
    const struct tree_family *families;
    int usable;
    bool after; /* the pivot */
    int visible[TREE_NODES], visible_count;
    int loop, loops, depth;
    int subs, signals;
};

bool tree_writes(enum tree_act act)
{
    return act != ACT_LOOK && act != ACT_REFUSE;
}

static bool chance(struct maker *maker, int percent)
{
    return rng_below(maker->rng, 100) < (uint64_t)percent;
}

static int between(struct maker *maker, int low, int high)
{
    return (int)rng_between(maker->rng, (uint64_t)low, (uint64_t)high);
}

/* ---- the tree ---- */

static struct tree_node *node_at(struct maker *maker, int index)
{
    return &maker->tree->nodes[index];
}

static bool room(const struct maker *maker, int nodes)
{
    return maker->tree->node_count + nodes <= TREE_NODES;
}

static int add(struct maker *maker, enum tree_type type, int parent)
{
    struct saga_tree *tree = maker->tree;
    CHECK(tree->node_count < TREE_NODES);
    int index = tree->node_count++;
    tree->nodes[index] = (struct tree_node){.type = type,
                                            .parent = parent,
                                            .first_child = TREE_NONE,
                                            .next_sibling = TREE_NONE,
                                            .loop = maker->loop,
                                            .depth = maker->loops,
                                            .seen = TREE_NONE,
                                            .bare = true,
                                            .family = TREE_NONE};
    if (parent == TREE_NONE)
        return index;
    int *last = &tree->nodes[parent].first_child;
    while (*last != TREE_NONE)
        last = &tree->nodes[*last].next_sibling;
    *last = index;
    return index;
}

static void give_name(struct maker *maker, int index)
{
    struct tree_node *node = node_at(maker, index);
    snprintf(node->name, sizeof(node->name), "s%d", index);
}

static void show(struct maker *maker, int index)
{
    maker->visible[maker->visible_count++] = index;
}

static int any_visible(struct maker *maker)
{
    return maker->visible_count ? maker->visible[between(maker, 0, maker->visible_count - 1)]
                                : TREE_NONE;
}

/* ---- parts of steps ---- */

static struct tree_condition any_condition(struct maker *maker)
{
    struct tree_condition condition = {.of = TREE_NONE};
    int kind = between(maker, 0, 9);
    if (kind <= 1) {
        condition.when = WHEN_FLAG;
    } else if (kind == 2) {
        condition.when = WHEN_NOT_FLAG;
    } else if (kind <= 4) {
        condition.when = WHEN_MORE;
        condition.limit = between(maker, 2, 30);
    } else if (kind <= 6 && maker->loop != TREE_NONE) {
        condition.when = kind == 5 ? WHEN_ITEM_FLAG : WHEN_INDEX_EVEN;
    } else if (maker->visible_count) {
        condition.when = WHEN_ODD;
        condition.of = any_visible(maker);
    } else {
        condition.when = WHEN_FLAG;
    }
    return condition;
}

static void give_tries(struct maker *maker, int index)
{
    struct tree_node *node = node_at(maker, index);
    node->timeout_ms = between(maker, 1, 10) * 200;
    if (chance(maker, 10))
        return;
    node->attempts = between(maker, 1, 4);
    node->initial_ms = between(maker, 1, 20) * 10;
    node->max_ms = node->initial_ms + between(maker, 0, 8) * 100;
}

/* Where an operation is, and how much it moves. */
static struct tree_call any_call(struct maker *maker, enum tree_act act)
{
    struct tree_call call = {.act = act,
                             .participant = between(maker, 0, maker->tree->participants - 1),
                             .account = between(maker, 0, 5),
                             .more = between(maker, 1, 20)};
    int kind = between(maker, 0, 9);
    if (maker->loop != TREE_NONE && kind < 7)
        call.amount = kind < 5 ? AMOUNT_ITEM : AMOUNT_ITEM_TWICE;
    else
        call.amount = kind < 3 ? AMOUNT_GIVEN : kind < 7 ? AMOUNT_INPUT : AMOUNT_INPUT_AND;
    return call;
}

static enum tree_act any_act(struct maker *maker, enum tree_kind kind)
{
    int which = between(maker, 0, 99);
    if (maker->after || kind == TREE_RETRIABLE)
        return which < 25 ? ACT_HESITATE : which < 35 ? ACT_LOOK : ACT_DEPOSIT;
    if (which < 4 && !maker->loops)
        return ACT_REFUSE;
    if (which < 18 && kind == TREE_COMPENSATABLE)
        return ACT_LOOK;
    if (which < 26)
        return ACT_HESITATE;
    return which < 62 ? ACT_WITHDRAW : ACT_DEPOSIT;
}

static void give_undo(struct maker *maker, int index)
{
    struct tree_node *node = node_at(maker, index);
    const struct tree_call *call = &node->calls[0];
    bool writes = tree_writes(call->act);
    if (node->kind != TREE_COMPENSATABLE || !writes || chance(maker, 8))
        return;
    node->undo = node->call_count > 1 || chance(maker, 40) ? UNDO_WITH_RESULT : UNDO_SAME;
    node->back = *call;
    node->back.act = call->act != ACT_WITHDRAW ? ACT_TAKE_BACK
                     : chance(maker, 30)       ? ACT_GIVE_LATE
                                               : ACT_GIVE_BACK;
}

static void give_sight(struct maker *maker, int index)
{
    struct tree_node *node = node_at(maker, index);
    int last = maker->visible_count ? maker->visible[maker->visible_count - 1] : TREE_NONE;
    if (node->condition.when == WHEN_ODD && chance(maker, 80))
        node->seen = node->condition.of;
    else if (last != TREE_NONE && node_at(maker, last)->type == TREE_SIGNAL)
        node->seen = last;
    else if (chance(maker, 60))
        node->seen = any_visible(maker);
}

/* Of what it is before or after the pivot, and whether it may say so differently. */
static enum tree_kind any_kind(struct maker *maker, int index)
{
    struct tree_node *node = node_at(maker, index);
    if (!maker->after)
        return chance(maker, 4) ? TREE_RETRIABLE : TREE_COMPENSATABLE;
    node->reasoned = chance(maker, 15);
    return node->reasoned ? TREE_COMPENSATABLE : TREE_RETRIABLE;
}

/* ---- steps ---- */

static int make_call(struct maker *maker, int parent, bool pivot)
{
    int index = add(maker, TREE_CALL, parent);
    struct tree_node *node = node_at(maker, index);
    give_name(maker, index);
    if (!pivot && chance(maker, 20))
        node->condition = any_condition(maker);
    node->kind = pivot ? TREE_PIVOT : any_kind(maker, index);
    node->calls[0] = any_call(maker, any_act(maker, node->kind));
    node->call_count = 1;
    node->bare = chance(maker, 40);
    node->shift = !node->bare && chance(maker, 50) ? between(maker, 1, 9) : 0;
    give_sight(maker, index);
    give_tries(maker, index);
    give_undo(maker, index);
    if (node->calls[0].act != ACT_REFUSE)
        show(maker, index);
    return index;
}

static void make_transaction(struct maker *maker, int parent, bool pivot)
{
    int index = add(maker, TREE_TRANSACTION, parent);
    struct tree_node *node = node_at(maker, index);
    give_name(maker, index);
    if (!pivot && chance(maker, 20))
        node->condition = any_condition(maker);
    node->kind = pivot ? TREE_PIVOT : any_kind(maker, index);
    node->call_count = between(maker, 1, TREE_BRANCHES);
    for (int i = 0; i < node->call_count; i++) {
        bool takes = !maker->after && node->kind != TREE_RETRIABLE && chance(maker, 50);
        node->calls[i] = any_call(maker, takes ? ACT_WITHDRAW : ACT_DEPOSIT);
    }
    node->three_phase = maker->families[maker->tree->family].three_phase && chance(maker, 50);
    node->bare = false;
    give_sight(maker, index);
    give_tries(maker, index);
    node->timeout_ms += 600;
    give_undo(maker, index);
    show(maker, index);
}

/* A family that may be a step here, or TREE_NONE. */
static int any_other(struct maker *maker, bool pivot)
{
    const struct tree_family *own = &maker->families[maker->tree->family];
    int first = maker->usable ? between(maker, 0, maker->usable - 1) : 0;
    for (int i = 0; i < maker->usable; i++) {
        int family = (first + i) % maker->usable;
        const struct tree_family *other = &maker->families[family];
        if (other->has_pivot == pivot && (own->three_phase || !other->three_phase) &&
            other->participants <= own->participants)
            return family;
    }
    return TREE_NONE;
}

static bool make_sub_saga(struct maker *maker, int parent, bool pivot)
{
    int family = any_other(maker, pivot);
    if (family == TREE_NONE || maker->subs >= 2)
        return false;
    int index = add(maker, TREE_SAGA, parent);
    struct tree_node *node = node_at(maker, index);
    give_name(maker, index);
    node->kind = pivot ? TREE_PIVOT : TREE_COMPENSATABLE;
    node->family = family;
    node->amount_more = between(maker, 0, 5);
    maker->subs++;
    give_tries(maker, index);
    node->timeout_ms += 3000;
    return true;
}

static void make_wait(struct maker *maker, int parent)
{
    bool signal = chance(maker, 75) && maker->signals < TREE_SIGNALS && maker->loops == 0;
    int index = add(maker, signal ? TREE_SIGNAL : TREE_PAUSE, parent);
    struct tree_node *node = node_at(maker, index);
    give_name(maker, index);
    if (chance(maker, 15))
        node->condition = any_condition(maker);
    node->wait_ms = signal ? between(maker, 5, 40) * 100 : between(maker, 1, 15) * 100;
    if (!signal)
        return;
    node->signal = maker->signals++;
    node->or_continue = maker->after || chance(maker, 60);
    show(maker, index);
}

static void make_steps(struct maker *maker, int parent, int count);

static void make_parallel(struct maker *maker, int parent)
{
    int index = add(maker, TREE_PARALLEL, parent);
    if (chance(maker, 15))
        node_at(maker, index)->condition = any_condition(maker);
    int before = maker->visible_count, branches = between(maker, 2, 3);
    int hidden[TREE_NODES], hidden_count = 0;
    maker->depth++;
    for (int i = 0; i < branches && room(maker, 6); i++) {
        /* The branches do not see each other. */
        if (chance(maker, 60))
            make_call(maker, index, false);
        else
            make_steps(maker, add(maker, TREE_SEQUENCE, index), between(maker, 1, 2));
        while (maker->visible_count > before)
            hidden[hidden_count++] = maker->visible[--maker->visible_count];
    }
    maker->depth--;
    for (int i = 0; i < hidden_count; i++)
        show(maker, hidden[i]);
}

static void make_choose(struct maker *maker, int parent)
{
    int index = add(maker, TREE_CHOOSE, parent);
    int before = maker->visible_count, alternatives = between(maker, 1, 3);
    int hidden[TREE_NODES], hidden_count = 0;
    bool otherwise = chance(maker, 70);
    maker->depth++;
    for (int i = 0; i < alternatives && room(maker, 6); i++) {
        int block = add(maker, TREE_SEQUENCE, index);
        bool last = i == alternatives - 1 && i > 0 && otherwise;
        struct tree_condition condition = any_condition(maker);
        node_at(maker, block)->condition = last ? (struct tree_condition){0} : condition;
        make_steps(maker, block, between(maker, 1, 2));
        while (maker->visible_count > before)
            hidden[hidden_count++] = maker->visible[--maker->visible_count];
    }
    maker->depth--;
    for (int i = 0; i < hidden_count; i++)
        show(maker, hidden[i]);
}

static void make_for_each(struct maker *maker, int parent)
{
    int index = add(maker, TREE_FOR_EACH, parent);
    struct tree_node *node = node_at(maker, index);
    give_name(maker, index);
    if (chance(maker, 10))
        node->condition = any_condition(maker);
    node->at_once = chance(maker, 50) ? 1 : between(maker, 2, 3);
    node->only_flagged = maker->loops == 0 && chance(maker, 25);
    int before = maker->visible_count, outer = maker->loop;
    maker->loop = index;
    maker->loops++;
    maker->depth++;
    make_steps(maker, add(maker, TREE_SEQUENCE, index), between(maker, 1, 2));
    maker->depth--;
    maker->loops--;
    maker->loop = outer;
    maker->visible_count = before; /* from outside nobody sees a step in it */
}

/* A filtered list has other indices than the items in it tell. */
static bool may_loop(const struct maker *maker)
{
    return maker->loops < TREE_LOOPS &&
           (maker->loop == TREE_NONE || !maker->tree->nodes[maker->loop].only_flagged);
}

static void make_step(struct maker *maker, int parent)
{
    int which = between(maker, 0, 99);
    if (which < 10 && maker->depth < 3 && room(maker, 14))
        make_parallel(maker, parent);
    else if (which < 18 && maker->depth < 3 && room(maker, 14))
        make_choose(maker, parent);
    else if (which < 27 && maker->depth < 3 && may_loop(maker) && room(maker, 8))
        make_for_each(maker, parent);
    else if (which < 41)
        make_wait(maker, parent);
    else if (which < 54)
        make_transaction(maker, parent, false);
    else if (which >= 70 || maker->after || maker->loops > 1 ||
             !make_sub_saga(maker, parent, false))
        make_call(maker, parent, false);
}

static void make_steps(struct maker *maker, int parent, int count)
{
    for (int i = 0; i < count && room(maker, 4); i++)
        make_step(maker, parent);
}

static void make_pivot(struct maker *maker, int parent)
{
    int which = between(maker, 0, 9);
    if (which < 2 && make_sub_saga(maker, parent, true))
        return;
    if (which < 6)
        make_call(maker, parent, true);
    else
        make_transaction(maker, parent, true);
}

void saga_tree_make(struct saga_tree *tree, struct rng *rng, int family, int version,
                    const struct tree_family *families, int usable)
{
    *tree = (struct saga_tree){.family = family,
                               .version = version,
                               .has_pivot = families[family].has_pivot,
                               .participants = families[family].participants,
                               .output_from = TREE_NONE};
    struct maker maker = {
        .tree = tree, .rng = rng, .families = families, .usable = usable, .loop = TREE_NONE};
    tree->timeout_ms = chance(&maker, 60) ? between(&maker, 4, 12) * 1000 : 0;
    tree->alert_after = between(&maker, 1, 4);
    add(&maker, TREE_SEQUENCE, TREE_NONE);
    make_steps(&maker, 0, between(&maker, 1, 5));
    if (tree->has_pivot) {
        make_pivot(&maker, 0);
        maker.after = true;
        make_steps(&maker, 0, between(&maker, 0, 3));
    }
    if (chance(&maker, 70))
        tree->output_from = any_visible(&maker);
}

int saga_tree_find(const struct saga_tree *tree, const char *name, size_t length)
{
    for (int i = 0; i < tree->node_count; i++)
        if (tree->nodes[i].name[0] && strlen(tree->nodes[i].name) == length &&
            memcmp(tree->nodes[i].name, name, length) == 0)
            return i;
    return TREE_NONE;
}
