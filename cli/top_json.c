/* What the screen of `troth top` shows, for programs. Rates are of the time since the look before;
 * null where there was none. */
#include <stdio.h>
#include <string.h>

#include "cli/print.h"
#include "cli/top.h"
#include "cli/tx.h"

static void put_number(struct json_writer *writer, const char *name, double value, bool known)
{
    char text[40];
    json_name(writer, name);
    if (!known) {
        json_string(writer, NULL);
        return;
    }
    snprintf(text, sizeof(text), "%.6g", value);
    json_raw(writer, text);
}

static void put_count(struct json_writer *writer, const char *name, uint64_t value)
{
    json_name(writer, name);
    json_unsigned(writer, value);
}

static void put_rates(struct json_writer *writer, const struct top_view *view, bool known)
{
    const struct top_counts *now = &view->now->counts,
                            *before = known ? &view->before->counts : now;
    double seconds = known ? top_seconds(before, now) : 1;
    const struct {
        const char *name;
        double difference;
    } rates[] = {{"commits", now->committed - before->committed},
                 {"aborts", now->aborted - before->aborted},
                 {"rejections", now->rejected - before->rejected},
                 {"journal_records", now->records - before->records},
                 {"sagas_started", now->sagas_started - before->sagas_started},
                 {"sagas_ended", now->sagas_ended - before->sagas_ended},
                 {"saga_steps", now->steps - before->steps}};
    json_name(writer, "per_second");
    json_open(writer, '{');
    for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++)
        put_number(writer, rates[i].name, rates[i].difference / seconds, known);
    json_close(writer, '}');
}

static void put_latencies(struct json_writer *writer, const struct top_view *view, bool known)
{
    json_name(writer, "latencies");
    json_open(writer, '{');
    for (int i = 0; i < TOP_LATENCIES; i++) {
        const struct top_histogram *now = &view->now->counts.latencies[i];
        const struct top_histogram *before = known ? &view->before->counts.latencies[i] : now;
        double seconds = known ? top_seconds(&view->before->counts, &view->now->counts) : 1;
        bool any = now->count > before->count;
        json_name(writer, top_latency_words[i]);
        json_open(writer, '{');
        put_number(writer, "p50_seconds", top_quantile(before, now, 0.5), any);
        put_number(writer, "p95_seconds", top_quantile(before, now, 0.95), any);
        put_number(writer, "p99_seconds", top_quantile(before, now, 0.99), any);
        put_number(writer, "per_second", (now->count - before->count) / seconds, known);
        json_close(writer, '}');
    }
    json_close(writer, '}');
}

static void put_coordinator(struct json_writer *writer, const struct top_view *view)
{
    const Wire__CoordinatorView *coordinator = view->now->coordinator->coordinator;
    if (!coordinator)
        return;
    json_name(writer, "coordinator");
    json_string(writer, coordinator->name);
    json_name(writer, "cluster");
    json_string(writer, coordinator->cluster);
    json_time(writer, "started", coordinator->started_us);
    json_name(writer, "draining");
    json_boolean(writer, coordinator->draining);
    put_count(writer, "undecided", coordinator->undecided);
    put_count(writer, "unapplied", coordinator->unapplied);
    put_number(writer, "in_doubt", view->now->counts.in_doubt, true);
    put_number(writer, "oldest_in_doubt_seconds", view->now->counts.oldest_s, true);
    put_count(writer, "hazards", coordinator->hazards);
    put_count(writer, "heuristics", coordinator->heuristics);
    put_count(writer, "mixed", coordinator->mixed);
    put_count(writer, "sagas_running", coordinator->sagas_running);
    put_count(writer, "sagas_compensating", coordinator->sagas_compensating);
    put_count(writer, "sagas_needing_operator", coordinator->sagas_waiting_for_operator);
    put_count(writer, "journal_bytes", coordinator->journal_bytes);
    put_count(writer, "journal_segments", coordinator->journal_segments);
    put_count(writer, "journal_free_bytes", coordinator->journal_free_bytes);
}

static void put_participant(struct json_writer *writer, const struct top_view *view,
                            const Wire__ParticipantView *participant, bool known)
{
    struct top_times now = top_times_of(view->now->metrics, participant->name), before = now;
    if (known)
        before = top_times_of(view->before->metrics, participant->name);
    double votes = now.vote_count - before.vote_count,
           applies = now.apply_count - before.apply_count;
    json_open(writer, '{');
    json_name(writer, "name");
    json_string(writer, participant->name);
    json_name(writer, "connected");
    json_boolean(writer, participant->connected);
    json_name(writer, "database_up");
    json_boolean(writer, participant->database_up);
    put_count(writer, "prepared", participant->prepared);
    put_count(writer, "prepared_slots", participant->prepared_slots);
    put_count(writer, "working", participant->working);
    put_count(writer, "unapplied", participant->unapplied);
    put_count(writer, "held", participant->n_held);
    put_count(writer, "minority", participant->minority);
    put_number(writer, "vote_seconds", votes > 0 ? (now.vote_sum - before.vote_sum) / votes : 0,
               votes > 0);
    put_number(writer, "apply_seconds",
               applies > 0 ? (now.apply_sum - before.apply_sum) / applies : 0, applies > 0);
    json_close(writer, '}');
}

static void put_tables(struct json_writer *writer, const struct top_view *view, bool known)
{
    const Wire__Answer *people = view->now->participants, *late = view->now->slowest;
    json_name(writer, "participants");
    json_open(writer, '[');
    for (size_t i = 0; people && i < people->n_participants; i++)
        put_participant(writer, view, people->participants[i], known);
    json_close(writer, ']');
    json_name(writer, "slowest");
    json_open(writer, '[');
    for (size_t i = 0; late && i < late->n_transactions; i++) {
        json_open(writer, '{');
        json_transaction(writer, late->transactions[i]);
        json_close(writer, '}');
    }
    json_close(writer, ']');
    put_count(writer, "slowest_more", late ? late->more : 0);
}

void top_json(struct json_writer *writer, const struct top_view *view)
{
    bool known =
        view->before && view->now && top_comparable(&view->before->counts, &view->now->counts);
    json_time(writer, "at", view->wall_us);
    json_name(writer, "address");
    json_string(writer, view->address);
    json_name(writer, "reachable");
    json_boolean(writer, !view->lost_us);
    if (view->lost_us || !view->now) {
        json_time(writer, "since", view->lost_us);
        json_name(writer, "problem");
        json_string(writer, view->reason);
        return;
    }
    put_number(writer, "seconds",
               known ? top_seconds(&view->before->counts, &view->now->counts) : 0, known);
    put_coordinator(writer, view);
    put_rates(writer, view, known);
    put_latencies(writer, view, known);
    put_tables(writer, view, known);
}
