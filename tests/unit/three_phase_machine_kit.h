/* The machine of a three-phase transaction of two branches, fed by hand. */
#ifndef TROTH_TESTS_UNIT_THREE_PHASE_MACHINE_KIT_H
#define TROTH_TESTS_UNIT_THREE_PHASE_MACHINE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/transaction.h"

enum { BRANCHES = 2, SITES = 3 };

struct fixture {
    struct transaction machine;
    struct branch branches[BRANCHES];
    struct actions actions;
};

static inline void feed(struct fixture *f, const struct transaction_event *event)
{
    assert_true(transaction_step(&f->machine, event, &f->actions));
}

static inline void feed_type(struct fixture *f, enum transaction_event_type type)
{
    struct transaction_event event = {.type = type};
    feed(f, &event);
}

static inline void propose(struct fixture *f)
{
    transaction_init(&f->machine, f->branches, BRANCHES, IN_THREE_PHASES, false);
    feed_type(f, EVENT_SUBMITTED);
    for (int i = 0; i < BRANCHES; i++) {
        struct transaction_event event = {.type = EVENT_VOTED, .branch = i, .choice = CHOSE_YES};
        feed(f, &event);
    }
}

static inline void expect(const struct fixture *f, ...)
{
    va_list list;
    va_start(list, f);
    int i = 0;
    for (int type; (type = va_arg(list, int)) >= 0; i++) {
        assert_true(i < f->actions.count);
        assert_int_equal(f->actions.list[i].type, type);
        assert_int_equal(f->actions.list[i].branch, va_arg(list, int));
    }
    va_end(list);
    assert_int_equal(f->actions.count, i);
}

static inline struct transaction_event grant(struct fixture *f, int site)
{
    struct transaction_event event = {
        .type = EVENT_REPLIED, .site = site, .reply = REGISTER_GRANTED};
    event.ask = proposer_ask(&f->machine.proposer);
    event.state = (struct register_state){.promised = event.ask.ballot};
    if (event.ask.question == REGISTER_ACCEPT) {
        event.state.accepted = event.ask.ballot;
        event.state.value = (uint8_t)event.ask.value;
    }
    return event;
}

#endif
