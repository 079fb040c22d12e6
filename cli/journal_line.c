#include "cli/journal_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/saga.h"
#include "core/check.h"

void line_text(struct line *line, const char *name, const char *text)
{
    if (line->as_json) {
        json_name(&line->json, name);
        json_string(&line->json, text);
        return;
    }
    printf(" %s ", name);
    print_escaped(stdout, *text ? text : "\"\"");
}

void line_number(struct line *line, const char *name, uint64_t number)
{
    if (line->as_json) {
        json_name(&line->json, name);
        json_unsigned(&line->json, number);
    } else {
        printf(" %s %" PRIu64, name, number);
    }
}

static void put_time(struct line *line, const char *name, int64_t us)
{
    time_text text;
    if (line->as_json)
        json_time(&line->json, name, us);
    else if (us > 0)
        printf(" %s %s", name, time_format(text, us));
}

void line_flag(struct line *line, const char *name, bool flag)
{
    if (line->as_json) {
        json_name(&line->json, name);
        json_boolean(&line->json, flag);
    } else if (flag) {
        printf(" %s", name);
    }
}

static void put_txid(struct line *line, uint64_t epoch, uint64_t seq)
{
    if (!line->as_json) {
        printf(" %" PRIu64 ".%" PRIu64, epoch, seq);
        return;
    }
    line_number(line, "epoch", epoch);
    line_number(line, "seq", seq);
}

static void put_branches(struct line *line, Journal__Branch **branches, size_t count)
{
    if (line->as_json) {
        json_name(&line->json, "branches");
        json_open(&line->json, '[');
    }
    for (size_t i = 0; i < count; i++) {
        const Journal__Branch *branch = branches[i];
        if (line->as_json) {
            json_open(&line->json, '{');
            line_text(line, "participant", branch->participant);
            line_number(line, "index", branch->index);
            line_number(line, "xid", branch->xid);
            line_flag(line, "applied", branch->applied);
            json_close(&line->json, '}');
        } else {
            fputs(i ? ", " : " branches ", stdout);
            print_escaped(stdout, branch->participant);
            printf(" #%" PRIu32 " xid %" PRIu64 "%s", branch->index, branch->xid,
                   branch->applied ? " applied" : "");
        }
    }
    if (line->as_json)
        json_close(&line->json, ']');
}

static void put_bytes(struct line *line, const char *name, ProtobufCBinaryData bytes)
{
    char *hex = xmalloc(2 * bytes.len + 1);
    hex[0] = '\0';
    for (size_t i = 0; i < bytes.len; i++)
        sprintf(hex + 2 * i, "%02x", bytes.data[i]);
    line_text(line, name, hex);
    free(hex);
}

static void put_key(struct line *line, const Journal__Key *key)
{
    line_text(line, "key", key->key);
    put_bytes(line, "fingerprint", key->fingerprint);
    line_flag(line, "results_dropped", key->results_dropped);
    if (!line->as_json) {
        line_number(line, "results", key->n_results);
        return;
    }
    json_name(&line->json, "results");
    json_open(&line->json, '[');
    for (size_t i = 0; i < key->n_results; i++)
        json_string(&line->json, key->results[i]);
    json_close(&line->json, ']');
}

static void put_retained(struct line *line, const Journal__Retained *retained)
{
    uint64_t count = 0, last = 0;
    for (size_t i = 0; i < 8 * retained->bits.len; i++) {
        if (retained->bits.data[i / 8] & 1u << i % 8) {
            count++;
            last = i;
        }
    }
    line_number(line, "epoch", retained->epoch);
    line_number(line, "first", retained->first);
    line_number(line, "last", count ? retained->first + last : retained->first);
    line_number(line, "count", count);
    put_time(line, "at", retained->last_us);
}

static void put_type(struct line *line, const char *type)
{
    if (!line->as_json) {
        printf(" %s", type);
        return;
    }
    json_name(&line->json, "type");
    json_string(&line->json, type);
}

static void put_committed(struct line *line, const char *type, const Journal__Committed *committed)
{
    put_type(line, type);
    put_txid(line, committed->epoch, committed->seq);
    put_time(line, "at", committed->at_us);
    put_time(line, "begun", committed->begun_us);
    put_branches(line, committed->branches, committed->n_branches);
    if (committed->key)
        put_key(line, committed->key);
}

static void put_started(struct line *line, const Journal__Started *started)
{
    put_type(line, "started");
    line_number(line, "epoch", started->epoch);
    line_text(line, "cluster", started->cluster);
    line_text(line, "coordinator", started->coordinator);
    put_time(line, "at", started->at_us);
    line_text(line, "software", started->software);
}

static void put_hazard(struct line *line, const Journal__Hazard *hazard)
{
    put_type(line, "hazard");
    put_txid(line, hazard->epoch, hazard->seq);
    line_number(line, "branch", hazard->branch);
    put_time(line, "at", hazard->at_us);
    line_text(line, "reason", hazard->reason);
}

/* ---- three phases ------------------------------------------------------------------------- */

static void put_texts(struct line *line, const char *name, char **texts, size_t count)
{
    if (line->as_json) {
        json_name(&line->json, name);
        json_open(&line->json, '[');
        for (size_t i = 0; i < count; i++)
            json_string(&line->json, texts[i]);
        json_close(&line->json, ']');
        return;
    }
    for (size_t i = 0; i < count; i++) {
        printf(i ? ", " : " %s ", name);
        print_escaped(stdout, texts[i]);
    }
}

/* As in `troth tx show`: a round, and the site whose it is. */
static void put_ballot(struct line *line, const char *name, uint32_t round, uint32_t site)
{
    if (!line->as_json) {
        printf(" %s %" PRIu32 ".%" PRIu32, name, round, site);
        return;
    }
    json_name(&line->json, name);
    json_open(&line->json, '{');
    line_number(line, "round", round);
    line_number(line, "site", site);
    json_close(&line->json, '}');
}

static void put_value(struct line *line, bool commit)
{
    if (line->as_json)
        line_flag(line, "commit", commit);
    else
        fputs(commit ? " commit" : " abort", stdout);
}

static void put_register(struct line *line, const Journal__Register *state)
{
    put_ballot(line, "promised", state->promised_round, state->promised_site);
    put_ballot(line, "accepted", state->accepted_round, state->accepted_site);
    put_value(line, state->commit);
}

static void put_proposed(struct line *line, const Journal__Proposed *proposed)
{
    Journal__Committed none = JOURNAL__COMMITTED__INIT;
    put_committed(line, "proposed", proposed->proposal ? proposed->proposal : &none);
    put_texts(line, "sites", proposed->sites, proposed->n_sites);
    if (proposed->own)
        put_register(line, proposed->own);
}

/* ---- sagas -------------------------------------------------------------------------------- */

/* What is not there is left out. */
static void put_given(struct line *line, const char *name, const char *text)
{
    if (*text)
        line_text(line, name, text);
}

static void put_json(struct line *line, const char *name, const char *json)
{
    if (!*json)
        return;
    if (line->as_json) {
        json_name(&line->json, name);
        json_value(&line->json, json);
        return;
    }
    printf(" %s ", name);
    print_json_text(stdout, json);
}

/* Its text is a page, which only an object has room for. */
static void put_definition(struct line *line, const Journal__SagaDefinition *definition)
{
    put_type(line, "saga_definition");
    put_bytes(line, "digest", definition->digest);
    line_text(line, "definition", definition->file);
    if (line->as_json)
        line_text(line, "text", definition->text);
    else
        line_number(line, "bytes", strlen(definition->text));
}

static void put_began(struct line *line, const Journal__SagaBegan *began)
{
    put_type(line, "saga_began");
    put_txid(line, began->epoch, began->seq);
    put_time(line, "at", began->at_us);
    put_bytes(line, "digest", began->digest);
    put_json(line, "input", began->input);
    put_given(line, "key", began->key);
    if (!began->parent_epoch)
        return;
    line_number(line, "parent_epoch", began->parent_epoch);
    line_number(line, "parent_seq", began->parent_seq);
    line_text(line, "parent_step", began->parent_step);
}

/* In a FAILED: no step is to blame, but time, or an operator. */
#define NO_STEP UINT32_MAX

static const char *event_word(Journal__SagaEventType type)
{
    static const char *const words[] = {"unknown",     "step_done", "step_fenced",
                                        "step_undone", "signalled", "failed",
                                        "retried",     "completed", "compensated"};
    return (size_t)type < sizeof(words) / sizeof(words[0]) ? words[type] : words[0];
}

/* A step is told by its number in the definition, the items of each for_each after it: 5[3]. */
static void put_instance(struct line *line, const Journal__SagaEvent *event)
{
    char *label = xasprintf("%" PRIu32, event->step);
    for (size_t i = 0; i < event->n_items; i++) {
        char *longer = xasprintf("%s[%" PRIu32 "]", label, event->items[i]);
        free(label);
        label = longer;
    }
    line_text(line, "step", label);
    free(label);
}

static void put_event(struct line *line, const Journal__SagaEvent *event)
{
    put_type(line, "saga_event");
    put_txid(line, event->epoch, event->seq);
    line_text(line, "event", event_word(event->type));
    put_time(line, "at", event->at_us);
    bool of_step = event->type <= JOURNAL__SAGA_EVENT_TYPE__SAGA_STEP_UNDONE ||
                   event->type == JOURNAL__SAGA_EVENT_TYPE__SAGA_FAILED;
    if (of_step && event->step != NO_STEP)
        put_instance(line, event);
    put_given(line, "name", event->name);
    if (event->by_signal)
        line_flag(line, "by_signal", true);
    put_json(line, "value", event->value);
    put_json(line, "result", event->result);
    put_given(line, "participant", event->participant);
    put_given(line, "operation", event->operation);
    put_given(line, "code", event->code);
    put_given(line, "message", event->message);
    put_given(line, "detail", event->detail);
}

static void put_kept(struct line *line, const Journal__SagaKept *kept)
{
    put_type(line, "saga_kept");
    put_txid(line, kept->epoch, kept->seq);
    line_text(line, "name", kept->name);
    line_number(line, "version", (uint64_t)kept->version);
    line_text(line, "key", kept->key);
    put_bytes(line, "fingerprint", kept->fingerprint);
    line_text(line, "ended", kept->completed ? "completed" : "compensated");
    put_time(line, "begun", kept->begun_us);
    put_time(line, "at", kept->at_us);
    put_json(line, "output", kept->output);
    put_given(line, "participant", kept->participant);
    put_given(line, "operation", kept->operation);
    put_given(line, "code", kept->code);
    put_given(line, "message", kept->message);
}

/* ---- operators ---------------------------------------------------------------------------- */

static void put_heuristic(struct line *line, const Journal__Heuristic *heuristic)
{
    put_type(line, "heuristic");
    put_given(line, "coordinator", heuristic->coordinator);
    put_txid(line, heuristic->epoch, heuristic->seq);
    put_value(line, heuristic->commit);
    put_given(line, "participant", heuristic->participant);
    if (*heuristic->participant)
        line_number(line, "branch", heuristic->branch);
    line_text(line, "reason", heuristic->reason);
    line_text(line, "by", heuristic->by);
    put_time(line, "at", heuristic->at_us);
    put_given(line, "found", heuristic->found);
}

static void put_forgotten(struct line *line, const Journal__Forgotten *forgotten)
{
    put_type(line, "forgotten");
    put_given(line, "coordinator", forgotten->coordinator);
    put_txid(line, forgotten->epoch, forgotten->seq);
    line_text(line, "reason", forgotten->reason);
    line_text(line, "by", forgotten->by);
    put_time(line, "at", forgotten->at_us);
}

/* ---- any ---------------------------------------------------------------------------------- */

/* Of what is no transaction's own. False: not one of these. */
static bool put_other_record(struct line *line, const Journal__Record *record)
{
    switch (record->body_case) {
    case JOURNAL__RECORD__BODY_HEURISTIC:
        put_heuristic(line, record->heuristic);
        return true;
    case JOURNAL__RECORD__BODY_FORGOTTEN:
        put_forgotten(line, record->forgotten);
        return true;
    case JOURNAL__RECORD__BODY_SAGA_DEFINITION:
        put_definition(line, record->saga_definition);
        return true;
    case JOURNAL__RECORD__BODY_SAGA_BEGAN:
        put_began(line, record->saga_began);
        return true;
    case JOURNAL__RECORD__BODY_SAGA_EVENT:
        put_event(line, record->saga_event);
        return true;
    case JOURNAL__RECORD__BODY_SAGA_KEPT:
        put_kept(line, record->saga_kept);
        return true;
    default:
        return false;
    }
}

bool line_record(struct line *line, const Journal__Record *record)
{
    switch (record->body_case) {
    case JOURNAL__RECORD__BODY_STARTED:
        put_started(line, record->started);
        return true;
    case JOURNAL__RECORD__BODY_COMMITTED:
        put_committed(line, "committed", record->committed);
        return true;
    case JOURNAL__RECORD__BODY_ENDED:
        put_type(line, "ended");
        put_txid(line, record->ended->epoch, record->ended->seq);
        put_time(line, "at", record->ended->at_us);
        return true;
    case JOURNAL__RECORD__BODY_HAZARD:
        put_hazard(line, record->hazard);
        return true;
    case JOURNAL__RECORD__BODY_STOPPED:
        put_type(line, "stopped");
        put_time(line, "at", record->stopped->at_us);
        return true;
    case JOURNAL__RECORD__BODY_RETAINED:
        put_type(line, "retained");
        put_retained(line, record->retained);
        return true;
    case JOURNAL__RECORD__BODY_LOW_WATER:
        put_type(line, "low_water");
        put_txid(line, record->low_water->epoch, record->low_water->seq);
        return true;
    case JOURNAL__RECORD__BODY_KEY:
        put_type(line, "key");
        put_txid(line, record->key->epoch, record->key->seq);
        put_key(line, record->key);
        put_time(line, "at", record->key->at_us);
        return true;
    case JOURNAL__RECORD__BODY_PROPOSED:
        put_proposed(line, record->proposed);
        return true;
    case JOURNAL__RECORD__BODY_REGISTERED:
        put_type(line, "register");
        put_txid(line, record->registered->epoch, record->registered->seq);
        put_register(line, record->registered);
        return true;
    case JOURNAL__RECORD__BODY_DECIDED:
        put_type(line, "decided");
        put_txid(line, record->decided->epoch, record->decided->seq);
        put_value(line, record->decided->commit);
        put_time(line, "at", record->decided->at_us);
        return true;
    default:
        if (put_other_record(line, record))
            return true;
        put_type(line, "unknown");
        return false;
    }
}
