/* What comes out of the journal of sagas: those that have not ended are there again, and where they
 * were; of those that have, the keys. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/json.h"
#include "core/planted.h"

bool sagas_replay_definition(struct server *server, const Journal__SagaDefinition *record,
                             struct error *error)
{
    return definitions_recover(&server->sagas.definitions, record->file, record->text,
                               record->digest.data, record->digest.len, error);
}

/* ---- the beginning ------------------------------------------------------------------------- */

/* "goods[3]", of a step by name or as "saga#7", as saga_label_format writes it. */
static bool parse_label(const struct saga_plan *plan, const char *label,
                        struct saga_instance *instance)
{
    saga_label name, again;
    size_t size = strcspn(label, "[");
    if (size >= sizeof(name))
        return false;
    memcpy(name, label, size);
    name[size] = '\0';
    const char *hash = strchr(name, '#');
    *instance = (struct saga_instance){.step = SAGA_NONE};
    if (hash && strlen(hash) <= 4)
        instance->step = atoi(hash + 1);
    else if (!hash)
        instance->step = saga_step_find(plan, name);
    if (instance->step < 0 || instance->step >= plan->step_count)
        return false;
    for (const char *at = label + size; *at == '[' && instance->depth < LIMIT_SAGA_DEPTH;) {
        char *end;
        unsigned long item = strtoul(at + 1, &end, 10);
        if (*end != ']' || item >= LIMIT_SAGA_ITEMS)
            return false;
        instance->items[instance->depth++] = (uint32_t)item;
        at = end + 1;
    }
    return strcmp(saga_label_format(again, plan, instance), label) == 0;
}

static bool find_parent(struct server *server, const Journal__SagaBegan *record,
                        struct saga_run **parent, struct saga_instance *instance)
{
    *parent = NULL;
    if (!record->parent_epoch)
        return true;
    *parent = sagas_find(server, (struct txid){record->parent_epoch, record->parent_seq});
    if (!*parent || !parse_label(saga_plan_of((*parent)->machine), record->parent_step, instance))
        return false;
    if (saga_plan_of((*parent)->machine)->steps[instance->step].type != SAGA_SAGA)
        return false;
    struct saga_run *older = sagas_find_child(server, (*parent)->id, instance);
    if (!older)
        return true;
    /* It was tried again after that one was compensated. */
    if (saga_state(older->machine) != SAGA_COMPENSATED)
        return false;
    sagas_drop(server, older);
    return true;
}

/* False: it is there twice. *out: NULL when it has none. */
static bool take_key(struct server *server, const char *text, const ProtobufCBinaryData *print,
                     struct txid id, struct saga_key **out)
{
    struct saga_keys *keys = &server->sagas.keys;
    *out = NULL;
    if (!text[0])
        return true;
    struct saga_key *older = saga_keys_find(keys, text);
    if (print->len != SAGA_FINGERPRINT_BYTES || (older && older->run))
        return false;
    /* It had expired when it was taken again; the journal keeps no record of that. */
    if (older)
        saga_keys_remove(keys, older);
    *out = saga_keys_add(keys, text, print->data, id);
    return true;
}

static bool is_input(const char *text)
{
    struct json *json = json_parse(text, strlen(text), NULL);
    bool good = json && json->type == JSON_OBJECT;
    json_free(json);
    return good;
}

bool sagas_replay_began(struct server *server, const Journal__SagaBegan *record,
                        struct error *error)
{
    struct txid id = {record->epoch, record->seq};
    struct saga_begin_how how = {.input = record->input};
    struct saga_instance instance;
    struct digest digest;
    if (!server->named || !id.epoch || !id.seq || sagas_find(server, id) ||
        !is_input(record->input))
        return server_senseless(error, "a saga that can't be: twice, nobody's or malformed");
    if (record->digest.len == DIGEST_BYTES) {
        memcpy(digest.bytes, record->digest.data, DIGEST_BYTES);
        how.definition = definitions_find(&server->sagas.definitions, &digest);
    }
    if (!how.definition)
        return server_senseless(error, "a saga without its definition");
    if (!find_parent(server, record, &how.parent, &instance))
        return server_senseless(error,
                                "a saga that is no step of the one it says, or a second one");
    how.instance = how.parent ? &instance : NULL;
    bool forget = PLANTED(SAGA_FORGET_KEYS);
    if (!take_key(server, forget ? "" : record->key, &record->fingerprint, id, &how.key))
        return server_senseless(error, "a key of a saga twice, or without its fingerprint");
    sagas_make(server, &how, id, record->at_us)->recovered = true;
    return true;
}

/* ---- what happened to it ------------------------------------------------------------------- */

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

static bool take_record(const struct saga_plan *plan, const Journal__SagaEvent *event,
                        struct saga_record *out)
{
    if (event->type < JOURNAL__SAGA_EVENT_TYPE__SAGA_STEP_DONE ||
        event->type > JOURNAL__SAGA_EVENT_TYPE__SAGA_COMPENSATED ||
        event->n_items > LIMIT_SAGA_DEPTH)
        return false;
    *out = (struct saga_record){.type = (enum saga_record_type)event->type,
                                .at_us = event->at_us,
                                .value = or_null(event->value),
                                .result = or_null(event->result),
                                .name = or_null(event->name),
                                .by_signal = event->by_signal};
    out->instance.step = (int)event->step;
    out->instance.depth = (int)event->n_items;
    if (event->n_items)
        memcpy(out->instance.items, event->items, event->n_items * sizeof(event->items[0]));
    out->problem = (struct saga_problem){.participant = or_null(event->participant),
                                         .operation = or_null(event->operation),
                                         .code = or_null(event->code),
                                         .message = or_null(event->message),
                                         .detail = or_null(event->detail)};
    return out->instance.step >= SAGA_NONE && out->instance.step < plan->step_count;
}

bool sagas_replay_event(struct server *server, const Journal__SagaEvent *record,
                        struct error *error)
{
    struct saga_run *run = sagas_find(server, (struct txid){record->epoch, record->seq});
    struct saga_record what;
    struct error why = {0};
    if (!run)
        return PLANTED(SAGA_CHECKPOINT_DROPS) ||
               server_senseless(error, "an event of a saga that never began, or is over");
    if (!take_record(saga_plan_of(run->machine), record, &what))
        return server_senseless(error, "an event of a saga that is unknown: a later version may "
                                       "have written it");
    struct saga_event event = {.type = SAGA_EVENT_REPLAYED, .record = &what};
    if (!sagas_advance(server, run, &event, &why)) {
        gtrid_text id;
        gtrid_format(id, server->cluster, server->coordinator, run->id);
        server_senseless(error, "");
        return error_detail(error, "an event of the saga %s that can't be: %s", id, why.message);
    }
    enum saga_state state = saga_state(run->machine);
    if (!run->child && (state == SAGA_COMPLETED || state == SAGA_COMPENSATED))
        sagas_leave(server, run);
    return true;
}

bool sagas_replay_kept(struct server *server, const Journal__SagaKept *record, struct error *error)
{
    struct saga_kept kept = {.version = record->version,
                             .at_us = record->at_us,
                             .begun_us = record->begun_us,
                             .completed = record->completed,
                             .output_dropped = record->output_dropped,
                             .name = record->name,
                             .output = record->output,
                             .participant = record->participant,
                             .operation = record->operation,
                             .code = record->code,
                             .message = record->message};
    struct saga_key *key;
    if (PLANTED(SAGA_FORGET_KEYS))
        return true;
    if (!take_key(server, record->key, &record->fingerprint,
                  (struct txid){record->epoch, record->seq}, &key) ||
        !key)
        return server_senseless(error, "a key of a saga twice, or malformed");
    saga_keys_settle(&server->sagas.keys, key, &kept);
    return true;
}
