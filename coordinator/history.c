#include "coordinator/history.h"

#include "core/limits.h"

void history_init(struct history *history)
{
    *history = (struct history){0};
    list_init(&history->all);
}

static void drop(struct history *history, struct tx *tx)
{
    list_remove(&tx->all);
    map_remove(&history->map, &tx->node);
    tx_free(tx);
}

static void drop_oldest(struct history *history)
{
    drop(history, CONTAINER(history->all.next, struct tx, all));
}

void history_fini(struct history *history)
{
    while (!list_empty(&history->all))
        drop_oldest(history);
    map_fini(&history->map);
}

void history_add(struct history *history, struct tx *tx)
{
    struct tx *older = history_find(history, tx->id);
    tx_drop_results(tx);
    if (older)
        drop(history, older); /* it was listed once more, for a hazard */
    list_append(&history->all, &tx->all);
    map_insert(&history->map, &tx->node, txid_hash(tx->id));
    if (history->map.count > LIMIT_HISTORY)
        drop_oldest(history);
}

static bool match(const struct map_node *node, const void *id)
{
    return txid_equal(CONTAINER(node, struct tx, node)->id, *(const struct txid *)id);
}

struct tx *history_find(const struct history *history, struct txid id)
{
    struct map_node *node = map_find(&history->map, txid_hash(id), match, &id);
    return node ? CONTAINER(node, struct tx, node) : NULL;
}
