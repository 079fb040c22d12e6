/* At the end each saga is compared with its tree: what is done is what the definition leads to, one
 * after the other, and what is undone was undone from its end. */
#include <inttypes.h>
#include <string.h>

#include "journal.pb-c.h"
#include "tests/sim/cluster.h"
#include "tests/sim/saga_book.h"

/* What a part of a tree came to. */
struct walked {
    bool any;              /* something of it was done */
    enum saga_truth whole; /* all of it was, as far as that can be seen */
    const char *lacking;   /* a step that was not */
    const char *standing;  /* a step that is done, could be undone, and is not */
    uint64_t first_done, last_done, first_undone, last_undone; /* first: UINT64_MAX when none */
};

struct walk {
    struct saga_book *book;
    struct world *world;
    const struct saga_entry *entry;
};

static const struct walked nothing = {
    .whole = SAGA_TRUE, .first_done = UINT64_MAX, .first_undone = UINT64_MAX};

static void merge(struct walked *all, const struct walked *part)
{
    all->any |= part->any;
    if (part->whole == SAGA_FALSE || all->whole == SAGA_TRUE)
        all->whole = all->whole == SAGA_FALSE ? SAGA_FALSE : part->whole;
    all->lacking = all->lacking ? all->lacking : part->lacking;
    all->standing = part->standing ? part->standing : all->standing;
    if (part->first_done < all->first_done)
        all->first_done = part->first_done;
    if (part->last_done > all->last_done)
        all->last_done = part->last_done;
    if (part->first_undone < all->first_undone)
        all->first_undone = part->first_undone;
    if (part->last_undone > all->last_undone)
        all->last_undone = part->last_undone;
}

/* `part` comes after all that `all` has. */
static void append(const struct walk *walk, struct walked *all, const struct walked *part,
                   const char *name)
{
    const char *id = walk->entry->id;
    if (part->any && all->whole == SAGA_FALSE)
        world_violation(walk->world, "saga %s: something of %s was done, and %s before it was not",
                        id, name, all->lacking);
    if (part->any && part->first_done < all->last_done)
        world_violation(walk->world,
                        "saga %s: something of %s was done before what comes before it", id, name);
    if (part->last_undone > all->first_undone)
        world_violation(walk->world,
                        "saga %s: something of %s was undone after what comes before it", id, name);
    if (part->standing && all->first_undone != UINT64_MAX)
        world_violation(walk->world, "saga %s: %s still stands, and something before it is undone",
                        id, part->standing);
    merge(all, part);
}

static struct walked walk_node(const struct walk *walk, int node, const uint32_t *items);

static struct walked walk_marks(const struct walk *walk, int index, const uint32_t *items)
{
    const struct tree_node *node = &walk->entry->definition->tree.nodes[index];
    struct saga_place_in place = {.node = index};
    memcpy(place.items, items, (size_t)node->depth * sizeof(uint32_t));
    struct walked walked = nothing;
    int done = 0;
    for (place.branch = 0; place.branch < node->call_count; place.branch++) {
        const struct saga_mark *mark = saga_entry_mark(walk->entry, &place);
        if (!mark || !mark->done)
            continue;
        done++;
        walked.any = true;
        struct walked one = {.first_done = mark->done_at,
                             .last_done = mark->done_at,
                             .whole = SAGA_TRUE,
                             .first_undone = mark->undone ? mark->undone_at : UINT64_MAX,
                             .last_undone = mark->undone_at};
        merge(&walked, &one);
        if (place.branch == 0 && node->undo != UNDO_NONE && !mark->undone)
            walked.standing = node->name;
    }
    if (done && done < node->call_count)
        world_violation(walk->world, "saga %s: %d of %d branches of %s are done", walk->entry->id,
                        done, node->call_count, node->name);
    if (!done) {
        walked.whole = node->calls[0].act == ACT_LOOK ? SAGA_MAYBE : SAGA_FALSE;
        walked.lacking = node->name;
    }
    return walked;
}

static struct walked walk_entry(struct saga_book *book, struct world *world,
                                const struct saga_entry *entry)
{
    static const uint32_t no_items[TREE_LOOPS];
    struct walk walk = {book, world, entry};
    return walk_node(&walk, 0, no_items);
}

/* The last saga that was this step: those before it took too long, and were compensated. */
static struct walked walk_child(const struct walk *walk, int index, const uint32_t *items)
{
    const struct tree_node *node = &walk->entry->definition->tree.nodes[index];
    const struct saga_entry *last = NULL;
    for (int i = 0; i < saga_book_count(walk->book); i++) {
        const struct saga_entry *child = saga_book_at(walk->book, i);
        if (child->parent >= 0 && saga_book_at(walk->book, child->parent) == walk->entry &&
            child->parent_place.node == index &&
            memcmp(child->parent_place.items, items, (size_t)node->depth * sizeof(*items)) == 0)
            last = child;
    }
    struct walked walked = last ? walk_entry(walk->book, walk->world, last) : nothing;
    walked.whole = last && last->completed ? SAGA_TRUE : SAGA_FALSE;
    walked.lacking = node->name;
    return walked;
}

static struct walked walk_sequence(const struct walk *walk, int index, const uint32_t *items)
{
    const struct tree_node *nodes = walk->entry->definition->tree.nodes;
    struct walked walked = nothing;
    for (int i = nodes[index].first_child; i != TREE_NONE; i = nodes[i].next_sibling) {
        struct walked one = walk_node(walk, i, items);
        append(walk, &walked, &one, nodes[i].name[0] ? nodes[i].name : "a block");
    }
    return walked;
}

static struct walked walk_parallel(const struct walk *walk, int index, const uint32_t *items)
{
    const struct tree_node *nodes = walk->entry->definition->tree.nodes;
    struct walked walked = nothing;
    for (int i = nodes[index].first_child; i != TREE_NONE; i = nodes[i].next_sibling) {
        struct walked one = walk_node(walk, i, items);
        merge(&walked, &one);
    }
    return walked;
}

/* The first whose condition is true, and no other. */
static struct walked walk_choose(const struct walk *walk, int index, const uint32_t *items)
{
    const struct tree_node *nodes = walk->entry->definition->tree.nodes;
    struct walked walked = nothing;
    bool chosen = false;
    for (int i = nodes[index].first_child; i != TREE_NONE; i = nodes[i].next_sibling) {
        enum saga_truth truth = saga_condition(walk->entry, i, items);
        struct walked one = walk_sequence(walk, i, items);
        if (one.any && (chosen || truth == SAGA_FALSE))
            world_violation(walk->world, "saga %s: a way was taken that was not to be chosen",
                            walk->entry->id);
        if (!chosen && (truth == SAGA_TRUE || one.any)) {
            if (walked.whole == SAGA_MAYBE && !one.any && one.whole == SAGA_FALSE)
                one.whole = SAGA_MAYBE;
            walked.whole = SAGA_TRUE;
            merge(&walked, &one);
            chosen = true;
        } else if (!chosen && truth == SAGA_MAYBE) {
            walked.whole = SAGA_MAYBE;
        }
    }
    return walked;
}

static struct walked walk_for_each(const struct walk *walk, int index, const uint32_t *items)
{
    const struct tree_node *node = &walk->entry->definition->tree.nodes[index];
    int count = saga_item_count(walk->entry, index, items);
    struct walked walked = nothing;
    uint32_t inner[TREE_LOOPS] = {0};
    memcpy(inner, items, (size_t)node->depth * sizeof(uint32_t));
    for (int i = 0; i < count; i++) {
        inner[node->depth] = (uint32_t)i;
        struct walked one = walk_node(walk, node->first_child, inner);
        if (node->at_once == 1)
            append(walk, &walked, &one, node->name);
        else
            merge(&walked, &one);
    }
    return walked;
}

static struct walked walk_doing(const struct walk *walk, int index, const uint32_t *items)
{
    struct walked maybe = nothing;
    switch (walk->entry->definition->tree.nodes[index].type) {
    case TREE_CALL:
    case TREE_TRANSACTION:
        return walk_marks(walk, index, items);
    case TREE_SAGA:
        return walk_child(walk, index, items);
    case TREE_SEQUENCE:
        return walk_sequence(walk, index, items);
    case TREE_PARALLEL:
        return walk_parallel(walk, index, items);
    case TREE_CHOOSE:
        return walk_choose(walk, index, items);
    case TREE_FOR_EACH:
        return walk_for_each(walk, index, items);
    default:
        maybe.whole = SAGA_MAYBE;
        return maybe;
    }
}

static struct walked walk_node(const struct walk *walk, int index, const uint32_t *items)
{
    enum saga_truth truth = saga_condition(walk->entry, index, items);
    struct walked walked = walk_doing(walk, index, items);
    if (truth == SAGA_FALSE && walked.any)
        world_violation(walk->world, "saga %s: step %s was done, and was to be skipped",
                        walk->entry->id, walk->entry->definition->tree.nodes[index].name);
    if (truth == SAGA_FALSE)
        return nothing;
    if (truth == SAGA_MAYBE && !walked.any)
        walked.whole = SAGA_MAYBE;
    return walked;
}

/* ---- the ends ---- */

static void check_seen(struct world *world, const struct saga_entry *entry)
{
    for (int i = 0; i < entry->mark_count; i++) {
        const struct saga_mark *mark = &entry->marks[i];
        const struct tree_node *node = &entry->definition->tree.nodes[mark->place.node];
        int64_t expected;
        if (mark->done && node->seen != TREE_NONE &&
            saga_value(entry, node->seen, mark->place.items, &expected) && mark->seen != expected)
            world_violation(world, "saga %s: step %s saw %" PRId64 ", and not %" PRId64, entry->id,
                            node->name, mark->seen, expected);
    }
}

static void check_child(struct saga_book *book, struct world *world, const struct saga_entry *child)
{
    const struct saga_entry *parent = saga_book_at(book, child->parent);
    const struct tree_node *node = &parent->definition->tree.nodes[child->parent_place.node];
    if (parent->completed && !parent->compensated && !child->completed && !child->compensated)
        world_violation(world, "saga %s is completed, and its step %s (%s) is not", parent->id,
                        node->name, child->id);
    if (parent->compensated && !child->compensated)
        world_violation(world, "saga %s is compensated, and its step %s (%s) is not", parent->id,
                        node->name, child->id);
}

static void check_end(struct saga_book *book, struct world *world, const struct saga_entry *entry,
                      const struct walked *walked)
{
    if (!entry->completed && !entry->compensated) {
        world_complaint(world, "saga %s has not ended", entry->id);
        return;
    }
    if (!entry->compensated && walked->whole == SAGA_FALSE)
        world_violation(world, "saga %s is completed, and %s is not done", entry->id,
                        walked->lacking);
    if (!entry->compensated && walked->first_undone != UINT64_MAX && entry->parent < 0)
        world_violation(world, "saga %s is completed, and something is undone", entry->id);
    if (entry->compensated && walked->standing)
        world_violation(world, "saga %s is compensated, and %s still stands", entry->id,
                        walked->standing);
    if (entry->ordered_to_compensate && !entry->compensated)
        world_violation(world, "saga %s was to be compensated, and is not", entry->id);
    if (entry->parent >= 0)
        check_child(book, world, entry);
}

int saga_book_unended(const struct saga_book *book, const struct world *world, const char **id)
{
    int count = 0;
    for (int i = 0; i < saga_book_count(book); i++) {
        const struct saga_entry *entry = saga_book_at((struct saga_book *)book, i);
        if (entry->state > JOURNAL__SAGA_EVENT_TYPE__SAGA_FAILED ||
            cluster_gone(world, entry->coordinator))
            continue;
        *id = entry->id;
        count++;
    }
    return count;
}

void saga_book_check(struct saga_book *book, struct world *world)
{
    for (int i = 0; i < saga_book_count(book); i++) {
        const struct saga_entry *entry = saga_book_at(book, i);
        struct walked walked = walk_entry(book, world, entry);
        check_seen(world, entry);
        if (!cluster_gone(world, entry->coordinator))
            check_end(book, world, entry, &walked);
    }
}
