#include "coordinator/testimonies.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

/* Of a testimony in an answer: its tag and its size. */
enum { ITEM_BYTES = 8 };

static ProtobufCMessage *copy(const ProtobufCMessage *message)
{
    if (!message)
        return NULL;
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = xmalloc(size + 1);
    protobuf_c_message_pack(message, bytes);
    ProtobufCMessage *copied = protobuf_c_message_unpack(message->descriptor, NULL, size, bytes);
    free(bytes);
    CHECK(copied);
    return copied;
}

Wire__Testimony *testimony_copy(const Wire__Testimony *testimony)
{
    return (Wire__Testimony *)copy(&testimony->base);
}

Wire__Resolution *resolution_copy(const Wire__Resolution *resolution)
{
    return resolution ? (Wire__Resolution *)copy(&resolution->base) : NULL;
}

Wire__Problem *problem_copy(const Wire__Problem *problem)
{
    return problem ? (Wire__Problem *)copy(&problem->base) : NULL;
}

Wire__Testimony *testimony_missing(const char *participant, const char *code, const char *message)
{
    Wire__Testimony testimony = WIRE__TESTIMONY__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.participant = testimony.participant = (char *)participant;
    problem.code = (char *)code;
    problem.message = (char *)message;
    testimony.problem = &problem;
    return testimony_copy(&testimony);
}

/* The text is taken out, and given back to the owner's field if it fits; else it is dropped. */
static char *take_text(char **field)
{
    char *text = *field;
    *field = (char *)protobuf_c_empty_string;
    return text;
}

static void free_text(char *text)
{
    if (text != protobuf_c_empty_string)
        free(text);
}

/* What is large in a testimony. */
struct bulk {
    char *report;
    char **reports; /* of its exhibits */
    size_t prepared, size;
    bool given;
};

static void take_bulk(Wire__Testimony *testimony, struct bulk *bulk)
{
    bulk->report = take_text(&testimony->report);
    bulk->reports = xcalloc(testimony->n_exhibits + 1, sizeof(char *));
    for (size_t i = 0; i < testimony->n_exhibits; i++)
        bulk->reports[i] = take_text(&testimony->exhibits[i]->report);
    bulk->prepared = testimony->n_prepared;
    testimony->more += bulk->prepared;
    testimony->n_prepared = 0;
}

static size_t packed(const Wire__Testimony *testimony)
{
    return wire__testimony__get_packed_size(testimony) + ITEM_BYTES;
}

/* Says that something of it was left out, unless a problem says worse already. */
static void say_cut(Wire__Testimony *testimony)
{
    if (testimony->problem)
        return;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.participant = testimony->participant;
    problem.code = (char *)"too_large";
    problem.message = (char *)"its report does not fit beside those of the others";
    problem.hint = (char *)"ask for this participant alone, with --participant";
    testimony->problem = problem_copy(&problem);
}

/* What it takes at least when something of it is cut. */
static size_t least(Wire__Testimony *testimony)
{
    enum { PROBLEM_BYTES = 200 };
    return packed(testimony) + PROBLEM_BYTES;
}

/* False: it stays out. */
static bool give_text(const Wire__Testimony *testimony, char **field, char *text, size_t most)
{
    *field = text;
    if (packed(testimony) <= most)
        return true;
    *field = (char *)protobuf_c_empty_string;
    free_text(text);
    return false;
}

static bool give_prepared(Wire__Testimony *testimony, size_t count, size_t most)
{
    size_t size = packed(testimony);
    for (size_t i = 0; i < count; i++) {
        size += wire__prepared_view__get_packed_size(testimony->prepared[i]) + ITEM_BYTES;
        if (size > most) {
            for (size_t j = i; j < count; j++)
                wire__prepared_view__free_unpacked(testimony->prepared[j], NULL);
            return false;
        }
        testimony->n_prepared++;
        testimony->more--;
    }
    return true;
}

/* Gives back what fits into `most` bytes. */
static void give_bulk(Wire__Testimony *testimony, struct bulk *bulk, size_t most)
{
    bool whole = give_prepared(testimony, bulk->prepared, most);
    for (size_t i = 0; i < testimony->n_exhibits; i++)
        whole &= give_text(testimony, &testimony->exhibits[i]->report, bulk->reports[i], most);
    whole &= give_text(testimony, &testimony->report, bulk->report, most);
    free(bulk->reports);
    if (!whole)
        say_cut(testimony);
}

static void drop(Wire__Testimony *testimony, struct bulk *bulk)
{
    testimony->n_prepared = bulk->prepared;
    for (size_t i = 0; i < testimony->n_exhibits; i++)
        testimony->exhibits[i]->report = bulk->reports[i];
    testimony->report = bulk->report;
    free(bulk->reports);
    wire__testimony__free_unpacked(testimony, NULL);
}

static size_t bulk_size(Wire__Testimony *testimony, const struct bulk *bulk)
{
    size_t size = strlen(bulk->report);
    for (size_t i = 0; i < testimony->n_exhibits; i++)
        size += strlen(bulk->reports[i]);
    for (size_t i = 0; i < bulk->prepared; i++)
        size += wire__prepared_view__get_packed_size(testimony->prepared[i]) + ITEM_BYTES;
    return size;
}

/* Of those that were not given theirs yet the one that needs least. */
static size_t most_modest(const struct bulk *bulks, size_t count)
{
    size_t best = count;
    for (size_t i = 0; i < count; i++) {
        if (!bulks[i].given && (best == count || bulks[i].size < bulks[best].size))
            best = i;
    }
    return best;
}

/* Each gets what it needs, or an equal share of what is left by those who need less. */
static void share_out(Wire__Testimony **testimonies, struct bulk *bulks, size_t count, size_t spare)
{
    for (size_t left = count; left > 0; left--) {
        size_t at = most_modest(bulks, count);
        Wire__Testimony *testimony = testimonies[at];
        size_t reserved = least(testimony);
        give_bulk(testimony, &bulks[at], packed(testimony) + spare / left);
        bulks[at].given = true;
        size_t now = packed(testimony);
        CHECK(now <= reserved + spare / left);
        spare -= now > reserved ? now - reserved : 0;
    }
}

size_t testimonies_fit(Wire__Testimony **testimonies, size_t count, size_t room)
{
    struct bulk *bulks = xcalloc(count + 1, sizeof(*bulks));
    size_t needed = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        take_bulk(testimonies[i], &bulks[i]);
        bulks[i].size = bulk_size(testimonies[i], &bulks[i]);
    }
    while (kept < count && needed + least(testimonies[kept]) <= room)
        needed += least(testimonies[kept++]);
    for (size_t i = kept; i < count; i++)
        drop(testimonies[i], &bulks[i]);
    share_out(testimonies, bulks, kept, room - needed);
    free(bulks);
    return kept;
}
