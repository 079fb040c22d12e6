/* What a definition makes of what its saga was started with. */
#include <stdlib.h>
#include <string.h>

#include "core/json.h"
#include "tests/sim/saga_book.h"

static int64_t integer_of(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, name);
    return value && value->type == JSON_NUMBER ? strtoll(value->text, NULL, 10) : 0;
}

static bool flag_of(const struct json *object)
{
    const struct json *value = json_member(object, "flag");
    return value && value->type == JSON_TRUE;
}

static struct saga_item item_of(const struct json *object)
{
    return (struct saga_item){integer_of(object, "amount"), flag_of(object)};
}

static void read_list(struct saga_facts *facts, const struct json *list)
{
    facts->count = list->count;
    for (int i = 0; i < list->count && i < TREE_ITEMS; i++) {
        facts->items[i] = item_of(&list->items[i]);
        const struct json *inner = json_member(&list->items[i], "list");
        facts->counts[i] = inner ? inner->count : 0;
        for (int k = 0; k < facts->counts[i] && k < TREE_ITEMS; k++)
            facts->inner[i][k] = item_of(&inner->items[k]);
    }
}

bool saga_facts_read(struct saga_facts *facts, const char *text)
{
    memset(facts, 0, sizeof(*facts));
    struct json *json = json_parse(text, strlen(text), NULL);
    const struct json *list = json ? json_member(json, "list") : NULL;
    if (!json)
        return false;
    facts->amount = integer_of(json, "amount");
    facts->ref = integer_of(json, "ref");
    facts->flag = flag_of(json);
    if (list)
        read_list(facts, list);
    json_free(json);
    return facts->count <= TREE_ITEMS;
}

bool saga_facts_equal(const struct saga_facts *a, const struct saga_facts *b)
{
    if (a->amount != b->amount || a->ref != b->ref || a->flag != b->flag || a->count != b->count)
        return false;
    for (int i = 0; i < a->count; i++) {
        if (a->items[i].amount != b->items[i].amount || a->items[i].flag != b->items[i].flag ||
            a->counts[i] != b->counts[i])
            return false;
        for (int k = 0; k < a->counts[i]; k++)
            if (a->inner[i][k].amount != b->inner[i][k].amount ||
                a->inner[i][k].flag != b->inner[i][k].flag)
                return false;
    }
    return true;
}

bool saga_number_read(const char *text, int64_t *number)
{
    *number = 0;
    if (!text || !text[0])
        return true;
    struct json *json = json_parse(text, strlen(text), NULL);
    if (!json)
        return false;
    *number = integer_of(json, "n");
    json_free(json);
    return true;
}

/* ---- items ---- */

/* The outer item that has this index among those that the loop goes over. */
static int outer_index(const struct saga_entry *entry, const struct tree_node *loop, uint32_t item)
{
    for (int i = 0; i < entry->facts.count; i++)
        if ((!loop->only_flagged || entry->facts.items[i].flag) && item-- == 0)
            return i;
    return TREE_NONE;
}

int saga_item_count(const struct saga_entry *entry, int node, const uint32_t *items)
{
    const struct tree_node *loop = &entry->definition->tree.nodes[node];
    if (loop->depth > 0)
        return entry->facts.counts[items[0]];
    int count = 0;
    while (count < TREE_ITEMS && outer_index(entry, loop, (uint32_t)count) != TREE_NONE)
        count++;
    return count;
}

const struct saga_item *saga_item_at(const struct saga_entry *entry,
                                     const struct saga_place_in *place)
{
    const struct tree_node *nodes = entry->definition->tree.nodes;
    const struct tree_node *node = &nodes[place->node];
    if (node->depth == 2)
        return &entry->facts.inner[place->items[0]][place->items[1]];
    int outer = outer_index(entry, &nodes[node->loop], place->items[0]);
    return outer == TREE_NONE ? NULL : &entry->facts.items[outer];
}

int64_t saga_amount(const struct saga_entry *entry, const struct tree_call *call,
                    const struct saga_place_in *place)
{
    const struct saga_item *item = call->amount >= AMOUNT_ITEM ? saga_item_at(entry, place) : NULL;
    switch (call->amount) {
    case AMOUNT_GIVEN:
        return call->more;
    case AMOUNT_INPUT:
        return entry->facts.amount;
    case AMOUNT_INPUT_AND:
        return entry->facts.amount + call->more;
    case AMOUNT_ITEM:
        return item ? item->amount : -1;
    default:
        return item ? item->amount * 2 : -1;
    }
}

/* ---- values and conditions ---- */

/* What the journal has of a step without a mark; 0 when it has nothing. */
static int64_t number_of(const struct saga_entry *entry, const struct saga_place_in *place)
{
    int depth = entry->definition->tree.nodes[place->node].depth;
    for (int i = 0; i < entry->number_count; i++) {
        const struct saga_number *number = &entry->numbers[i];
        if (number->place.node == place->node &&
            memcmp(number->place.items, place->items, (size_t)depth * sizeof(uint32_t)) == 0)
            return number->number;
    }
    return 0;
}

bool saga_value(const struct saga_entry *entry, int node, const uint32_t *items, int64_t *value)
{
    const struct tree_node *of = &entry->definition->tree.nodes[node];
    struct saga_place_in place = {.node = node};
    memcpy(place.items, items, (size_t)of->depth * sizeof(uint32_t));
    *value = 0;
    if (of->type == TREE_SIGNAL || of->calls[0].act == ACT_LOOK) {
        *value = number_of(entry, &place);
        return true;
    }
    const struct saga_mark *mark = saga_entry_mark(entry, &place);
    if (mark && mark->done) {
        *value = (int64_t)mark->number + of->shift;
        return true;
    }
    /* A transaction may be decided and not visible yet. */
    return of->type == TREE_CALL;
}

enum saga_truth saga_condition(const struct saga_entry *entry, int index, const uint32_t *items)
{
    const struct tree_node *node = &entry->definition->tree.nodes[index];
    const struct saga_facts *facts = &entry->facts;
    struct saga_place_in place = {.node = index};
    memcpy(place.items, items, (size_t)node->depth * sizeof(uint32_t));
    int64_t value;
    switch (node->condition.when) {
    case WHEN_ALWAYS:
        return SAGA_TRUE;
    case WHEN_FLAG:
        return facts->flag;
    case WHEN_NOT_FLAG:
        return !facts->flag;
    case WHEN_MORE:
        return facts->amount > node->condition.limit;
    case WHEN_ODD:
        return saga_value(entry, node->condition.of, items, &value) ? value % 2 == 1 : SAGA_MAYBE;
    case WHEN_ITEM_FLAG: {
        const struct saga_item *item = saga_item_at(entry, &place);
        return item && item->flag;
    }
    default:
        return items[node->depth - 1] % 2 == 0;
    }
}
