/* What a coordinator sends of transactions that are built step by step, to the agent of
 * neighbour_ports.h. All are of branch 1, as in the transactions of three phases there. */
#ifndef TROTH_TESTS_UNIT_STEPS_KIT_H
#define TROTH_TESTS_UNIT_STEPS_KIT_H

#include "participant/agent_private.h"
#include "tests/unit/neighbour_ports.h"

static const char gid_1[] = "troth.shop.c1.5.1.1";

struct work_sent {
    uint64_t seq; /* 0: 1 */
    uint32_t number;
    const char *operation, *arguments; /* NULL: charge 1 */
    bool late, long_time;
};

static void send_work_of(struct work_sent sent)
{
    Wire__Branch branch = three_phase_branch(sent.seq ? sent.seq : 1);
    Wire__Call call = WIRE__CALL__INIT;
    call.operation = (char *)(sent.operation ? sent.operation : "charge");
    call.arguments = (char *)(sent.arguments ? sent.arguments : "{\"amount\":1}");
    Wire__Work work = WIRE__WORK__INIT;
    work.branch = &branch;
    work.number = sent.number ? sent.number : 1;
    work.call = &call;
    work.timeout_ms = sent.late ? 0 : sent.long_time ? 100000 : 1000;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_WORK;
    message.work = &work;
    send(&message);
}

#define SEND_WORK(...) send_work_of((struct work_sent){__VA_ARGS__})

struct prepare_sent {
    Wire__Mode mode;
    uint64_t xid;
    bool three_phase, late;
};

static void send_prepare_of(struct prepare_sent sent)
{
    static const char *const names[] = {"orders", "payments", "inventory"};
    static const char *const addresses[] = {"tcp://127.0.0.1:7411", "tcp://127.0.0.1:7412",
                                            "tcp://127.0.0.1:7413"};
    Wire__Site sites[3], *pointers[3];
    for (size_t i = 0; i < 3; i++) {
        wire__site__init(&sites[i]);
        sites[i].participant = (char *)names[i];
        sites[i].address = (char *)addresses[i];
        pointers[i] = &sites[i];
    }
    Wire__Branch branch = three_phase_branch(1);
    Wire__Prepare prepare = WIRE__PREPARE__INIT;
    prepare.branch = &branch;
    prepare.mode = sent.mode;
    prepare.xid = sent.xid;
    prepare.timeout_ms = sent.late ? 0 : 1000;
    prepare.sites = pointers;
    prepare.n_sites = sent.three_phase ? 3 : 0;
    prepare.begun_us = (int64_t)now_us;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_PREPARE;
    message.prepare = &prepare;
    send(&message);
}

#define SEND_CONTINUE(...)                                                                         \
    send_prepare_of((struct prepare_sent){.mode = WIRE__MODE__CONTINUE, __VA_ARGS__})
#define SEND_ADOPT(...)                                                                            \
    send_prepare_of((struct prepare_sent){.mode = WIRE__MODE__ADOPT, __VA_ARGS__})

static const Wire__Worked *got_worked(const char *problem)
{
    const Wire__Worked *worked = got(WIRE__MESSAGE__BODY_WORKED)->worked;
    if (problem)
        assert_string_equal(worked->problem->code, problem);
    else
        assert_null(worked->problem);
    return worked;
}

static enum branch_state state_of(const char *gid)
{
    const struct entry *entry = entry_find(agent, gid);
    return entry ? entry->branch.state : BRANCH_ENDED;
}

#define WITH_AGENT(test) cmocka_unit_test_setup_teardown(test, start_three_phase, stop_three_phase)

#endif
