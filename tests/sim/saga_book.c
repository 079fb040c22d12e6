#include "tests/sim/saga_book.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/map.h"
#include "journal.pb-c.h"
#include "tests/sim/cluster.h"
#include "tests/sim/database.h"
#include "tests/sim/node.h"

enum { MOODS = 1024 };

struct saga_book {
    struct world *world;
    struct saga_entry *entries[SAGAS];
    int count;
    uint64_t numbers, marks;
    struct {
        uint64_t of;
        int asked;
    } moods[MOODS]; /* what hesitates, and how often it was asked */
    int mood_count;
    int64_t changes[MAX_PARTICIPANTS];
    uint64_t *committed; /* hashes of the transactions that journals hold as committed */
    int committed_count, committed_room;
};

struct saga_book *saga_book_new(struct world *world)
{
    struct saga_book *book = xcalloc(1, sizeof(*book));
    book->world = world;
    return book;
}

void saga_book_free(struct saga_book *book)
{
    for (int i = 0; i < book->count; i++) {
        free(book->entries[i]->marks);
        free(book->entries[i]->numbers);
        free(book->entries[i]);
    }
    free(book->committed);
    free(book);
}

/* ---- entries ---- */

int saga_book_count(const struct saga_book *book)
{
    return book->count;
}

struct saga_entry *saga_book_at(struct saga_book *book, int index)
{
    return book->entries[index];
}

struct saga_entry *saga_book_find(struct saga_book *book, const char *id)
{
    for (int i = 0; i < book->count; i++)
        if (strcmp(book->entries[i]->id, id) == 0)
            return book->entries[i];
    return NULL;
}

static bool same_place(const struct saga_entry *entry, const struct saga_place_in *a,
                       const struct saga_place_in *b)
{
    int depth = entry->definition->tree.nodes[a->node].depth;
    return a->node == b->node && a->branch == b->branch &&
           memcmp(a->items, b->items, (size_t)depth * sizeof(uint32_t)) == 0;
}

const struct saga_mark *saga_entry_mark(const struct saga_entry *entry,
                                        const struct saga_place_in *place)
{
    for (int i = 0; i < entry->mark_count; i++)
        if (same_place(entry, &entry->marks[i].place, place))
            return &entry->marks[i];
    return NULL;
}

static struct saga_mark *mark_of(struct saga_entry *entry, const struct saga_place_in *place)
{
    struct saga_mark *mark = (struct saga_mark *)saga_entry_mark(entry, place);
    if (mark)
        return mark;
    if (entry->mark_count == entry->mark_room) {
        entry->mark_room = entry->mark_room ? entry->mark_room * 2 : 8;
        entry->marks = xrealloc(entry->marks, (size_t)entry->mark_room * sizeof(*mark));
    }
    mark = &entry->marks[entry->mark_count++];
    *mark = (struct saga_mark){.place = *place};
    return mark;
}

/* "s3[0][2]:1". False: no step of this definition can leave that. */
static bool place_parse(const struct saga_entry *entry, const char *text,
                        struct saga_place_in *place)
{
    const struct saga_tree *tree = &entry->definition->tree;
    size_t length = strcspn(text, "[:");
    *place = (struct saga_place_in){.node = saga_tree_find(tree, text, length)};
    if (place->node == TREE_NONE)
        return false;
    const struct tree_node *node = &tree->nodes[place->node];
    int depth = 0;
    for (text += length; *text == '[' && depth < TREE_LOOPS; depth++) {
        char *end;
        place->items[depth] = (uint32_t)strtoul(text + 1, &end, 10);
        if (*end != ']')
            return false;
        text = end + 1;
    }
    if (*text == ':') {
        place->branch = atoi(text + 1);
        text += strspn(text, ":0123456789");
    }
    if (*text || depth != node->depth || place->branch < 0 || place->branch >= TREE_BRANCHES)
        return false;
    uint32_t count;
    for (int loop = node->loop; loop != TREE_NONE; loop = tree->nodes[loop].loop) {
        count = (uint32_t)saga_item_count(entry, loop, place->items);
        if (place->items[tree->nodes[loop].depth] >= count)
            return false;
    }
    return true;
}

/* "SAGA/STEP". NULL: there is no such saga, or no such step. */
static struct saga_entry *entry_of_mark(struct saga_book *book, const char *text,
                                        struct saga_place_in *place)
{
    const char *slash = strchr(text, '/');
    gtrid_text id;
    if (!slash || (size_t)(slash - text) >= sizeof(id))
        return NULL;
    snprintf(id, sizeof(id), "%.*s", (int)(slash - text), text);
    struct saga_entry *entry = saga_book_find(book, id);
    return entry && place_parse(entry, slash + 1, place) ? entry : NULL;
}

/* ---- what journals hold ---- */

static void entry_id(const struct saga_book *book, int coordinator, uint64_t epoch, uint64_t seq,
                     gtrid_text id)
{
    gtrid_format(id, CLUSTER_NAME, book->world->coordinators[coordinator]->name,
                 (struct txid){epoch, seq});
}

static int index_of(const struct saga_book *book, const char *id)
{
    for (int i = 0; i < book->count; i++)
        if (strcmp(book->entries[i]->id, id) == 0)
            return i;
    return -1;
}

static void check_again(struct saga_book *book, const struct saga_entry *entry,
                        const struct saga_entry *again)
{
    if (entry->definition != again->definition || !saga_facts_equal(&entry->facts, &again->facts) ||
        strcmp(entry->key, again->key) != 0 || entry->parent != again->parent)
        world_violation(book->world, "saga %s began as another one before", entry->id);
}

static void check_key(struct saga_book *book, const struct saga_entry *entry)
{
    for (int i = 0; i < book->count; i++) {
        const struct saga_entry *other = book->entries[i];
        if (other->coordinator != entry->coordinator || entry->parent >= 0 || other->parent >= 0)
            continue;
        if (entry->key[0] && strcmp(other->key, entry->key) == 0)
            world_violation(book->world, "sagas %s and %s both have the key %s", other->id,
                            entry->id, entry->key);
        if (!entry->key[0] && other->facts.ref == entry->facts.ref)
            world_violation(book->world, "sagas %s and %s both began by start %" PRId64, other->id,
                            entry->id, entry->facts.ref);
    }
}

/* A step that runs another saga begins one at a time, with the input that it makes. */
static void check_child(struct saga_book *book, const struct saga_entry *child)
{
    const struct saga_entry *parent = book->entries[child->parent];
    const struct saga_tree *tree = &parent->definition->tree;
    const struct tree_node *node = &tree->nodes[child->parent_place.node];
    if (node->type != TREE_SAGA || node->family != child->definition->tree.family) {
        world_violation(book->world, "saga %s is no step %s of %s", child->id, node->name,
                        parent->id);
        return;
    }
    if (child->facts.amount != parent->facts.amount + node->amount_more)
        world_violation(book->world, "saga %s was not given what step %s of %s gives", child->id,
                        node->name, parent->id);
    if (parent->completed || parent->compensated)
        world_violation(book->world, "saga %s began, and %s had ended", child->id, parent->id);
    for (int i = 0; i < book->count; i++) {
        const struct saga_entry *other = book->entries[i];
        if (other->parent == child->parent && !other->compensated &&
            same_place(parent, &other->parent_place, &child->parent_place))
            world_violation(book->world, "sagas %s and %s are both step %s of %s", other->id,
                            child->id, node->name, parent->id);
    }
}

static void began(struct saga_book *book, int coordinator, const Journal__SagaBegan *record)
{
    struct saga_entry read = {.coordinator = coordinator, .parent = -1};
    struct world *world = book->world;
    entry_id(book, coordinator, record->epoch, record->seq, read.id);
    read.definition = saga_pool_find(record->digest.data, record->digest.len);
    snprintf(read.key, sizeof(read.key), "%s", record->key);
    if (!read.definition || !saga_facts_read(&read.facts, record->input)) {
        world_violation(world, "saga %s began with what nobody gave", read.id);
        return;
    }
    if (record->parent_epoch) {
        gtrid_text parent;
        entry_id(book, coordinator, record->parent_epoch, record->parent_seq, parent);
        read.parent = index_of(book, parent);
        if (read.parent < 0 ||
            !place_parse(book->entries[read.parent], record->parent_step, &read.parent_place)) {
            world_violation(world, "saga %s is a step of none", read.id);
            return;
        }
    }
    struct saga_entry *entry = saga_book_find(book, read.id);
    if (entry) {
        check_again(book, entry, &read);
        entry->state = 0; /* a checkpoint tells it anew */
        return;
    }
    check_key(book, &read);
    if (read.parent >= 0)
        check_child(book, &read);
    CHECK(book->count < SAGAS);
    entry = xmalloc(sizeof(*entry));
    *entry = read;
    book->entries[book->count++] = entry;
    world_note(world, hash_bytes(read.id, strlen(read.id)), "saga %s has begun: f%d.%d, %s %s",
               read.id, read.definition->tree.family, read.definition->tree.version,
               read.parent >= 0 ? book->entries[read.parent]->id : read.key, record->input);
}

static bool place_read(const struct saga_entry *entry, const Journal__SagaEvent *event,
                       struct saga_place_in *place)
{
    const struct saga_tree *tree = &entry->definition->tree;
    if (event->step >= (uint32_t)tree->node_count)
        return false;
    *place = (struct saga_place_in){.node = (int)event->step};
    if (event->n_items != (size_t)tree->nodes[place->node].depth)
        return false;
    for (size_t i = 0; i < event->n_items; i++)
        place->items[i] = event->items[i];
    return true;
}

static void learn(struct saga_book *book, struct saga_entry *entry,
                  const struct saga_place_in *place, int64_t number)
{
    for (int i = 0; i < entry->number_count; i++) {
        struct saga_number *known = &entry->numbers[i];
        if (!same_place(entry, &known->place, place))
            continue;
        if (known->number != number)
            world_violation(book->world, "saga %s: step %s gave %" PRId64 ", and then %" PRId64,
                            entry->id, entry->definition->tree.nodes[place->node].name,
                            known->number, number);
        return;
    }
    if (entry->number_count == entry->number_room) {
        entry->number_room = entry->number_room ? entry->number_room * 2 : 4;
        entry->numbers =
            xrealloc(entry->numbers, (size_t)entry->number_room * sizeof(*entry->numbers));
    }
    entry->numbers[entry->number_count++] = (struct saga_number){*place, number};
}

static const struct saga_entry *completed_child(const struct saga_book *book,
                                                const struct saga_entry *entry,
                                                const struct saga_place_in *place)
{
    for (int i = 0; i < book->count; i++) {
        const struct saga_entry *child = book->entries[i];
        if (child->parent >= 0 && book->entries[child->parent] == entry && child->completed &&
            same_place(entry, &child->parent_place, place))
            return child;
    }
    return NULL;
}

/* The step is done, and this is its output. */
static void step_done(struct saga_book *book, struct saga_entry *entry,
                      const struct saga_place_in *place, const char *value)
{
    const struct tree_node *node = &entry->definition->tree.nodes[place->node];
    const struct saga_mark *mark = saga_entry_mark(entry, place);
    int64_t number;
    if (!saga_number_read(value, &number)) {
        world_violation(book->world, "saga %s: step %s gave %s", entry->id, node->name, value);
        return;
    }
    if (node->type == TREE_SIGNAL || (node->type == TREE_CALL && node->calls[0].act == ACT_LOOK))
        learn(book, entry, place, number);
    else if (node->type == TREE_CALL && (!mark || !mark->done))
        world_violation(book->world, "saga %s: step %s is taken for done, and is not", entry->id,
                        node->name);
    else if (node->type == TREE_CALL && number != (int64_t)mark->number + node->shift)
        world_violation(book->world, "saga %s: step %s gave %" PRIu64 ", and is taken for %" PRId64,
                        entry->id, node->name, mark->number + (uint64_t)node->shift, number);
    else if (node->type == TREE_SAGA && !completed_child(book, entry, place))
        world_violation(book->world, "saga %s: step %s is taken for done, and no saga is",
                        entry->id, node->name);
}

static void step_fenced(struct saga_book *book, struct saga_entry *entry,
                        const struct saga_place_in *place)
{
    const struct tree_node *node = &entry->definition->tree.nodes[place->node];
    if (node->type != TREE_CALL && node->type != TREE_TRANSACTION)
        return;
    struct saga_mark *mark = mark_of(entry, place);
    mark->fenced = true;
    if (mark->done)
        world_violation(book->world, "saga %s: step %s is done, and was taken for never done",
                        entry->id, node->name);
}

static void step_undone(struct saga_book *book, struct saga_entry *entry,
                        const struct saga_place_in *place)
{
    const struct tree_node *node = &entry->definition->tree.nodes[place->node];
    const struct saga_mark *mark = saga_entry_mark(entry, place);
    if (mark && mark->done && node->undo != UNDO_NONE && !mark->undone)
        world_violation(book->world, "saga %s: step %s is taken for undone, and is not", entry->id,
                        node->name);
}

/* Something that can't be undone any more is done. */
static const char *point_of_no_return(const struct saga_book *book, const struct saga_entry *entry)
{
    for (int i = 0; i < entry->mark_count; i++) {
        const struct tree_node *node = &entry->definition->tree.nodes[entry->marks[i].place.node];
        if (node->kind == TREE_PIVOT && entry->marks[i].done)
            return node->name;
    }
    for (int i = 0; i < book->count; i++) {
        const struct saga_entry *child = book->entries[i];
        if (child->parent < 0 || book->entries[child->parent] != entry)
            continue;
        const struct tree_node *node = &entry->definition->tree.nodes[child->parent_place.node];
        if (node->kind == TREE_PIVOT && child->completed)
            return node->name;
    }
    return NULL;
}

/* What was refused for good left a row, so that nothing that is still under way can do it. */
static void check_refusal(struct saga_book *book, const struct saga_entry *entry,
                          const struct saga_place_in *place, const char *code)
{
    static const char *const refusals[] = {"insufficient_funds", "not_today", "never"};
    const struct tree_node *node = &entry->definition->tree.nodes[place->node];
    barrier_key key;
    bool refused = false;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++)
        refused |= strcmp(code, refusals[i]) == 0;
    if (!refused || node->type != TREE_CALL)
        return;
    int size = snprintf(key, sizeof(key), "%s/%s", entry->id, node->name);
    for (int i = 0; i < node->depth; i++)
        size += snprintf(key + size, sizeof(key) - (size_t)size, "[%u]", place->items[i]);
    const struct database *database = book->world->databases[node->calls[0].participant];
    if (!barrier_table_find(&database->barriers, key))
        world_violation(book->world, "%s was refused for good, and could still be done", key);
}

static void failed(struct saga_book *book, struct saga_entry *entry)
{
    const char *pivot = point_of_no_return(book, entry);
    if (pivot && !entry->failed)
        world_violation(book->world, "saga %s failed, and its pivot %s was done", entry->id, pivot);
    if (entry->completed && entry->parent < 0)
        world_violation(book->world, "saga %s failed, and was completed", entry->id);
    entry->failed = true;
}

static void ended(struct saga_book *book, struct saga_entry *entry, bool completed)
{
    if (completed && entry->state == JOURNAL__SAGA_EVENT_TYPE__SAGA_FAILED)
        world_violation(book->world, "saga %s is completed, and had failed", entry->id);
    if (!completed && !entry->failed)
        world_violation(book->world, "saga %s is compensated, and had not failed", entry->id);
    if (!completed && entry->completed && entry->parent < 0)
        world_violation(book->world, "saga %s is compensated, and was completed", entry->id);
    *(completed ? &entry->completed : &entry->compensated) = true;
}

static void happened(struct saga_book *book, int coordinator, const Journal__SagaEvent *event)
{
    gtrid_text id;
    entry_id(book, coordinator, event->epoch, event->seq, id);
    struct saga_entry *entry = saga_book_find(book, id);
    struct saga_place_in place;
    if (!entry) {
        world_violation(book->world, "saga %s is journaled, and has not begun", id);
        return;
    }
    bool known = place_read(entry, event, &place);
    switch (event->type) {
    case JOURNAL__SAGA_EVENT_TYPE__SAGA_STEP_DONE:
        if (known)
            step_done(book, entry, &place, event->value);
        break;
    case JOURNAL__SAGA_EVENT_TYPE__SAGA_STEP_FENCED:
        if (known)
            step_fenced(book, entry, &place);
        break;
    case JOURNAL__SAGA_EVENT_TYPE__SAGA_STEP_UNDONE:
        if (known)
            step_undone(book, entry, &place);
        break;
    case JOURNAL__SAGA_EVENT_TYPE__SAGA_FAILED:
        if (known && !entry->failed)
            check_refusal(book, entry, &place, event->code);
        failed(book, entry);
        entry->state = (int)event->type;
        break;
    case JOURNAL__SAGA_EVENT_TYPE__SAGA_COMPLETED:
    case JOURNAL__SAGA_EVENT_TYPE__SAGA_COMPENSATED:
        ended(book, entry, event->type == JOURNAL__SAGA_EVENT_TYPE__SAGA_COMPLETED);
        entry->state = (int)event->type;
        break;
    default:
        break;
    }
}

static void committed(struct saga_book *book, int coordinator, const Journal__Committed *record)
{
    gtrid_text id;
    entry_id(book, coordinator, record->epoch, record->seq, id);
    if (book->committed_count == book->committed_room) {
        book->committed_room = book->committed_room ? book->committed_room * 2 : 64;
        book->committed =
            xrealloc(book->committed, (size_t)book->committed_room * sizeof(*book->committed));
    }
    book->committed[book->committed_count++] = hash_bytes(id, strlen(id));
}

void saga_book_journaled(struct saga_book *book, int coordinator, const void *bytes, size_t size)
{
    Journal__Record *record = journal__record__unpack(NULL, size, bytes);
    CHECK(record != NULL);
    if (record->body_case == JOURNAL__RECORD__BODY_SAGA_BEGAN)
        began(book, coordinator, record->saga_began);
    if (record->body_case == JOURNAL__RECORD__BODY_SAGA_EVENT)
        happened(book, coordinator, record->saga_event);
    if (record->body_case == JOURNAL__RECORD__BODY_COMMITTED)
        committed(book, coordinator, record->committed);
    journal__record__free_unpacked(record, NULL);
}

/* ---- what databases hold ---- */

uint64_t saga_book_next_number(struct saga_book *book)
{
    return ++book->numbers;
}

bool saga_book_ready(struct saga_book *book, const struct effect *effect)
{
    uint64_t of = hash_bytes(effect->mark, strlen(effect->mark)) ^ (uint64_t)effect->call;
    int i = 0;
    while (i < book->mood_count && book->moods[i].of != of)
        i++;
    if (i == book->mood_count) {
        CHECK(book->mood_count < MOODS);
        book->moods[book->mood_count++].of = of;
    }
    return book->moods[i].asked++ >= (int)(of >> 32) % 4;
}

uint32_t saga_book_participants(struct saga_book *book, const char *text)
{
    struct saga_place_in place;
    const struct saga_entry *entry = entry_of_mark(book, text, &place);
    uint32_t participants = 0;
    if (!entry)
        return 0;
    const struct tree_node *node = &entry->definition->tree.nodes[place.node];
    for (int i = 0; i < node->call_count; i++)
        participants |= 1u << node->calls[i].participant;
    return participants;
}

bool saga_book_committed(const struct saga_book *book, const char *gtrid)
{
    uint64_t hash = hash_bytes(gtrid, strlen(gtrid));
    for (int i = 0; i < book->committed_count; i++)
        if (book->committed[i] == hash)
            return true;
    for (int i = 0; i < book->count; i++)
        for (int k = 0; k < book->entries[i]->mark_count; k++) {
            const struct saga_mark *mark = &book->entries[i]->marks[k];
            if (mark->done && strcmp(mark->by, gtrid) == 0)
                return true;
        }
    return false;
}

int64_t saga_book_change(const struct saga_book *book, int participant)
{
    return book->changes[participant];
}

static bool takes(enum tree_act act)
{
    return act == ACT_WITHDRAW || act == ACT_TAKE_BACK;
}

/* It moved what the definition says, where it says so. */
static void check_call(struct saga_book *book, const struct saga_entry *entry,
                       const struct saga_place_in *place, const struct tree_call *call,
                       int participant, const struct effect *effect)
{
    int64_t amount = saga_amount(entry, call, place);
    if (call->participant != participant || call->account != effect->account ||
        amount != effect->amount)
        world_violation(book->world,
                        "%s moved %" PRId64 " of account %d at p%d, and not %" PRId64
                        " of %d at p%d",
                        effect->mark, effect->amount, effect->account, participant, amount,
                        call->account, call->participant);
}

/* The key of the local work is the step's own name, so that it is done once. */
static void check_by(struct saga_book *book, const struct tree_node *node, const char *by,
                     const struct effect *effect, bool undo)
{
    struct gid gid;
    size_t length = strlen(effect->mark);
    if (node->type == TREE_TRANSACTION)
        length = (size_t)(strrchr(effect->mark, ':') - effect->mark);
    if (node->type == TREE_TRANSACTION && !undo) {
        if (!gtrid_parse(by, &gid))
            world_violation(book->world, "%s was done by %s, which is no transaction", effect->mark,
                            by);
        return;
    }
    if (strncmp(by, effect->mark, length) != 0 || strcmp(by + length, undo ? "/undo" : "") != 0)
        world_violation(book->world, "%s was %s under the name %s", effect->mark,
                        undo ? "undone" : "done", by);
}

static void check_seen(struct saga_book *book, const struct saga_entry *entry,
                       const struct saga_mark *mark, const struct tree_node *node)
{
    int64_t expected = -1;
    if (node->seen != TREE_NONE && !saga_value(entry, node->seen, mark->place.items, &expected))
        return;
    if (mark->seen != expected)
        world_violation(book->world, "saga %s: step %s saw %" PRId64 ", and not %" PRId64,
                        entry->id, node->name, mark->seen, expected);
}

static void done(struct saga_book *book, struct saga_entry *entry, struct saga_mark *mark,
                 const struct tree_node *node, const char *by, const struct effect *effect)
{
    struct world *world = book->world;
    if (mark->done)
        world_violation(world, "%s was done twice", effect->mark);
    if (mark->taken_back && strcmp(mark->by, by) != 0)
        world_violation(world, "%s was done by %s, and by %s before", effect->mark, by, mark->by);
    if (mark->fenced)
        world_violation(world, "%s was done, and was taken for never done", effect->mark);
    if ((entry->completed || entry->compensated) && !mark->taken_back &&
        node->type != TREE_TRANSACTION)
        world_violation(world, "%s was done, and its saga had ended", effect->mark);
    mark->done = true;
    mark->number = effect->number;
    mark->seen = effect->seen;
    snprintf(mark->by, sizeof(mark->by), "%s", by);
    if (!mark->taken_back)
        mark->done_at = ++book->marks;
    check_seen(book, entry, mark, node);
}

static void undone(struct saga_book *book, struct saga_entry *entry, struct saga_mark *mark,
                   const struct tree_node *node, const struct effect *effect)
{
    struct world *world = book->world;
    const char *pivot = point_of_no_return(book, entry);
    if (!mark->done)
        world_violation(world, "%s was undone, and was not done", effect->mark);
    if (mark->undone)
        world_violation(world, "%s was undone twice", effect->mark);
    if (!entry->failed)
        world_violation(world, "%s was undone, and its saga has not failed", effect->mark);
    if (pivot)
        world_violation(world, "%s was undone after the pivot %s", effect->mark, pivot);
    if (node->undo == UNDO_NONE)
        world_violation(world, "%s was undone, and has no compensation", effect->mark);
    int64_t seen = node->undo == UNDO_SAME ? mark->seen : (int64_t)mark->number;
    if (effect->seen != seen)
        world_violation(world, "%s was undone with %" PRId64 ", and not with %" PRId64,
                        effect->mark, effect->seen, seen);
    mark->undone = true;
    mark->undone_at = ++book->marks;
}

void saga_book_marked(struct saga_book *book, int participant, const char *by,
                      const struct effect *effect, int change, bool expectation_failed)
{
    struct saga_place_in place;
    struct world *world = book->world;
    struct saga_entry *entry = entry_of_mark(book, effect->mark, &place);
    bool undo = effect->kind == EFFECT_UNMARK;
    if (!entry) {
        world_violation(world, "%s is %s, and nobody knows that step", effect->mark,
                        undo ? "undone" : "done");
        return;
    }
    const struct tree_node *node = &entry->definition->tree.nodes[place.node];
    const struct tree_call *call = undo ? &node->back : &node->calls[place.branch];
    if (!undo && place.branch >= node->call_count) {
        world_violation(world, "%s is done, and there is no such branch", effect->mark);
        return;
    }
    world_note(world, effect->number, "mark %s %s%s at p%d: n %" PRIu64 ", seen %" PRId64,
               effect->mark, undo ? "undone" : "done", change < 0 ? " (taken back)" : "",
               participant, effect->number, effect->seen);
    if (expectation_failed)
        world_violation(world, "%s was committed though an expectation failed", effect->mark);
    check_call(book, entry, &place, call, participant, effect);
    check_by(book, node, by, effect, undo);
    book->changes[participant] += change * (takes(call->act) ? -effect->amount : effect->amount);
    struct saga_mark *mark = mark_of(entry, &place);
    if (change < 0) {
        mark->done = false;
        mark->taken_back = true;
    } else if (undo) {
        undone(book, entry, mark, node, effect);
    } else {
        done(book, entry, mark, node, by, effect);
    }
}
