/* A cluster of a coordinator and two participants in which all is well, as `troth doctor` is told
 * of it; each test makes one thing bad. */
#ifndef TROTH_TESTS_UNIT_DOCTOR_KIT_H
#define TROTH_TESTS_UNIT_DOCTOR_KIT_H

#include "tests/unit/cli_desk.h"

#include <inttypes.h>
#include <time.h>

enum { DOCTOR_PARTICIPANTS = 2 };

struct health {
    Wire__CoordinatorView coordinator;
    Wire__ParticipantView participants[DOCTOR_PARTICIPANTS], *participant_list[DOCTOR_PARTICIPANTS];
    Wire__Testimony testimonies[2][DOCTOR_PARTICIPANTS], *testimony_lists[2][DOCTOR_PARTICIPANTS];
    char *reaches[1];
    char *report; /* of the first database */
    Wire__Answer answers[16];
    Wire__Answer forced, hazards; /* answers[TRANSACTIONS] has those in doubt */
};

enum { HEALTH_PREPARED, HEALTH_DIAGNOSIS };

static inline int64_t doctor_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static const char doctor_report[] =
    "{\"version\":\"15.20\",\"version_num\":150020,\"database\":\"payments\",\"user\":\"payments\","
    "\"superuser\":false,\"monitor\":true,\"in_recovery\":false,\"started_us\":1,"
    "\"settings\":{\"fsync\":\"on\",\"full_page_writes\":\"on\",\"autovacuum\":\"on\","
    "\"default_transaction_read_only\":\"off\",\"synchronous_standby_names\":\"\","
    "\"track_activities\":\"on\",\"zero_damaged_pages\":\"off\"},"
    "\"connections\":{\"used\":25,\"max\":100},\"slots\":{\"used\":3,\"max\":64},"
    "\"work_connections\":16,\"schema_version\":5,\"missing_rights\":[],\"missing_tables\":[],"
    "\"oldest_prepared_ms\":5,\"oldest_xmin_age\":812,\"oldest_xmin_of\":\"session 1 (psql)\","
    "\"frozen_age\":1000,\"freeze_max_age\":200000000,\"standbys\":[]}";

static inline const Wire__Answer *doctor_page(struct desk *desk, const Wire__Query *query)
{
    struct health *health = desk->pages;
    if (query->what == WIRE__WHAT__TRANSACTIONS && query->heuristic)
        return &health->forced;
    if (query->what == WIRE__WHAT__TRANSACTIONS && query->hazard)
        return &health->hazards;
    return &health->answers[query->what];
}

static inline void testimonies_init(struct health *health, int which, Wire__What what)
{
    for (int i = 0; i < DOCTOR_PARTICIPANTS; i++) {
        Wire__Testimony *testimony = &health->testimonies[which][i];
        wire__testimony__init(testimony);
        testimony->participant = health->participants[i].name;
        testimony->agent_us = testimony->database_us = testimony->heard_us = doctor_now_us();
        health->testimony_lists[which][i] = testimony;
    }
    health->answers[what].testimonies = health->testimony_lists[which];
    health->answers[what].n_testimonies = DOCTOR_PARTICIPANTS;
}

static inline void health_init(struct health *health, struct desk *desk)
{
    static const char *const names[] = {"payments", "inventory"};
    *health = (struct health){.reaches = {(char *)"c1"}, .report = (char *)doctor_report};
    for (int i = 0; i < 16; i++)
        wire__answer__init(&health->answers[i]);
    wire__answer__init(&health->forced);
    wire__answer__init(&health->hazards);
    wire__coordinator_view__init(&health->coordinator);
    health->coordinator.cluster = (char *)"shop";
    health->coordinator.name = (char *)"c1";
    health->coordinator.epoch = 7;
    health->coordinator.software = (char *)"troth " TROTH_VERSION;
    health->coordinator.journal_segments = 1;
    health->coordinator.journal_free_bytes = 1ull << 40;
    health->answers[WIRE__WHAT__COORDINATOR].coordinator = &health->coordinator;
    for (int i = 0; i < DOCTOR_PARTICIPANTS; i++) {
        Wire__ParticipantView *view = &health->participants[i];
        wire__participant_view__init(view);
        view->name = (char *)names[i];
        view->listen = (char *)"tcp://10.0.0.2:7412"; /* not to be tried from here */
        view->software = (char *)"troth " TROTH_VERSION;
        view->connected = view->database_up = true;
        view->prepared_slots = 100;
        health->participant_list[i] = view;
    }
    health->answers[WIRE__WHAT__PARTICIPANTS].participants = health->participant_list;
    health->answers[WIRE__WHAT__PARTICIPANTS].n_participants = DOCTOR_PARTICIPANTS;
    testimonies_init(health, HEALTH_PREPARED, WIRE__WHAT__PREPARED);
    testimonies_init(health, HEALTH_DIAGNOSIS, WIRE__WHAT__DIAGNOSIS);
    for (int i = 0; i < DOCTOR_PARTICIPANTS; i++) {
        health->testimonies[HEALTH_DIAGNOSIS][i].report = (char *)doctor_report;
        health->testimonies[HEALTH_DIAGNOSIS][i].reaches = health->reaches;
        health->testimonies[HEALTH_DIAGNOSIS][i].n_reaches = 1;
    }
    desk->page = doctor_page;
    desk->pages = health;
}

/* Lines that were broken are whole again. */
static inline void doctor_unwrap(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        size_t spaces = *from == '\n' ? strspn(from + 1, " ") : 0;
        if (spaces >= 11) {
            *to++ = ' ';
            from += spaces;
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
}

/* What it says, whose lines fit a terminal, each finding on a line of its own. */
static inline struct run doctor(struct desk *desk)
{
    struct run run = ask(desk, WORDS("doctor"));
    expect_narrow(&run);
    doctor_unwrap(run.out);
    return run;
}

static inline void expect_finding(struct desk *desk, int code, const char *text)
{
    struct run run = doctor(desk);
    assert_code(run, code);
    assert_out(run, text);
    run_fini(&run);
}

static inline void expect_no(struct desk *desk, int code, const char *text)
{
    struct run run = doctor(desk);
    assert_code(run, code);
    if (strstr(run.out, text))
        fail_msg("it says %s:\n%s", text, run.out);
    run_fini(&run);
}

#define DOOR_TEST(name) cmocka_unit_test_setup_teardown(name, setup_door, teardown)

#endif
