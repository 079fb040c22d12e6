/* What goes into the journal of a saga. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

static char *or_empty(const char *text)
{
    return text ? (char *)text : (char *)"";
}

/* A crash after it and before the first saga that needs it leaves a text that nobody uses. */
static void append_definition(struct server *server, struct definition *definition)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__SagaDefinition body = JOURNAL__SAGA_DEFINITION__INIT;
    body.digest.data = definition->plan->digest.bytes;
    body.digest.len = DIGEST_BYTES;
    body.file = (char *)definition->plan->file;
    body.text = (char *)definition->plan->text;
    record.body_case = JOURNAL__RECORD__BODY_SAGA_DEFINITION;
    record.saga_definition = &body;
    server_append(server, &record, false);
    definition->journaled = true;
}

static uint64_t append_began(struct server *server, const struct saga_run *run)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__SagaBegan body = JOURNAL__SAGA_BEGAN__INIT;
    saga_label label;
    body.epoch = run->id.epoch;
    body.seq = run->id.seq;
    body.digest.data = run->definition->plan->digest.bytes;
    body.digest.len = DIGEST_BYTES;
    body.at_us = saga_begun_us(run->machine);
    body.input = (char *)saga_input(run->machine);
    if (run->extra && run->extra->key) {
        body.key = run->extra->key->text;
        body.fingerprint.data = run->extra->key->fingerprint;
        body.fingerprint.len = SAGA_FINGERPRINT_BYTES;
    }
    if (run->child) {
        body.parent_epoch = run->child->parent.epoch;
        body.parent_seq = run->child->parent.seq;
        body.parent_step = (char *)saga_label_format(label, saga_plan_of(run->parent->machine),
                                                     &run->child->instance);
    }
    record.body_case = JOURNAL__RECORD__BODY_SAGA_BEGAN;
    record.saga_began = &body;
    return server_append(server, &record, true);
}

uint64_t sagas_append_began(struct server *server, struct saga_run *run)
{
    if (!run->definition->journaled)
        append_definition(server, run->definition);
    return append_began(server, run);
}

uint64_t sagas_append_event(struct server *server, const struct saga_run *run,
                            const struct saga_record *what)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__SagaEvent body = JOURNAL__SAGA_EVENT__INIT;
    uint32_t items[LIMIT_SAGA_DEPTH];
    memcpy(items, what->instance.items, sizeof(items));
    body.epoch = run->id.epoch;
    body.seq = run->id.seq;
    body.type = (Journal__SagaEventType)what->type;
    body.at_us = what->at_us;
    body.step = (uint32_t)what->instance.step;
    body.items = items;
    body.n_items = (size_t)what->instance.depth;
    body.value = or_empty(what->value);
    body.result = or_empty(what->result);
    body.name = or_empty(what->name);
    body.by_signal = what->by_signal;
    body.participant = or_empty(what->problem.participant);
    body.operation = or_empty(what->problem.operation);
    body.code = or_empty(what->problem.code);
    body.message = or_empty(what->problem.message);
    body.detail = or_empty(what->problem.detail);
    record.body_case = JOURNAL__RECORD__BODY_SAGA_EVENT;
    record.saga_event = &body;
    return server_append(server, &record, what->awaited);
}

/* ---- checkpoints --------------------------------------------------------------------------- */

static void append_kept(struct server *server, const char *key, const uint8_t *fingerprint,
                        struct txid id, const struct saga_kept *kept)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__SagaKept body = JOURNAL__SAGA_KEPT__INIT;
    body.epoch = id.epoch;
    body.seq = id.seq;
    body.name = (char *)kept->name;
    body.version = kept->version;
    body.key = (char *)key;
    body.fingerprint.data = (uint8_t *)fingerprint;
    body.fingerprint.len = SAGA_FINGERPRINT_BYTES;
    body.completed = kept->completed;
    body.output = (char *)kept->output;
    body.output_dropped = kept->output_dropped;
    body.at_us = kept->at_us;
    body.begun_us = kept->begun_us;
    body.participant = (char *)kept->participant;
    body.operation = (char *)kept->operation;
    body.code = (char *)kept->code;
    body.message = (char *)kept->message;
    record.body_case = JOURNAL__RECORD__BODY_SAGA_KEPT;
    record.saga_kept = &body;
    server_append(server, &record, true);
}

struct emission {
    struct server *server;
    const struct saga_run *run;
};

static void emit(void *self, const struct saga_record *record)
{
    const struct emission *emission = self;
    sagas_append_event(emission->server, emission->run, record);
}

static const struct saga_run *root_of(const struct saga_run *run)
{
    while (run->parent)
        run = run->parent;
    return run;
}

/* Its end is appended, perhaps not durable yet: then it is with this checkpoint. */
static bool is_over(const struct saga_run *run)
{
    enum saga_state state = saga_state(root_of(run)->machine);
    return state == SAGA_COMPLETED || state == SAGA_COMPENSATED;
}

static void append_live(struct server *server, const struct saga_run *run)
{
    struct emission emission = {server, run};
    if (!run->definition->journaled)
        append_definition(server, run->definition);
    append_began(server, run);
    saga_records(run->machine, emit, &emission);
}

static void append_over(struct server *server, const struct saga_run *run)
{
    struct saga_kept kept;
    if (!run->extra || !run->extra->key)
        return;
    sagas_describe_end(run, &kept);
    append_kept(server, run->extra->key->text, run->extra->key->fingerprint, run->id, &kept);
}

/* Parents stand before those that are their steps: they began before them. */
void sagas_checkpoint(struct server *server)
{
    struct sagas *sagas = &server->sagas;
    for (struct map_node *node = map_next(&sagas->definitions.map, NULL); node;
         node = map_next(&sagas->definitions.map, node))
        CONTAINER(node, struct definition, node)->journaled = false;
    for (struct list *at = sagas->all.next; at != &sagas->all; at = at->next) {
        const struct saga_run *run = CONTAINER(at, struct saga_run, all);
        if (PLANTED(SAGA_CHECKPOINT_DROPS))
            break;
        if (!is_over(run))
            append_live(server, run);
        else if (!run->child)
            append_over(server, run);
    }
    for (struct list *at = sagas->keys.aged.next; at != &sagas->keys.aged; at = at->next) {
        const struct saga_key *key = CONTAINER(at, struct saga_key, aged);
        append_kept(server, key->text, key->fingerprint, key->id, key->kept);
    }
}
