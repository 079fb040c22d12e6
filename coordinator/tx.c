#include "coordinator/tx.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

enum { PROBLEM_TEXT_BYTES = 2048 };
_Static_assert(5 * PROBLEM_TEXT_BYTES + LIMIT_RESULT_BYTES + 4096 < LIMIT_MESSAGE_BYTES,
               "an outcome with its problem and results is one message");

struct block {
    struct tx tx;
    size_t used, room;
    char *texts;
};

struct tx *tx_new(struct txid id, int branch_count, int call_count, bool three_phase,
                  size_t text_bytes)
{
    size_t branches = sizeof(struct tx_branch) * (size_t)branch_count;
    size_t calls = sizeof(struct tx_call) * (size_t)call_count;
    size_t states = sizeof(struct branch) * (size_t)branch_count;
    size_t sites =
        three_phase ? sizeof(struct tx_sites) + sizeof(struct tx_site) * (size_t)(branch_count + 1)
                    : 0;
    size_t size = sizeof(struct block) + branches + calls + sites + states + text_bytes;
    struct block *block = xcalloc(1, size);
    struct tx *tx = &block->tx;
    char *at = (char *)(block + 1);
    tx->branches = (struct tx_branch *)at;
    tx->calls = (struct tx_call *)(at + branches);
    at += branches + calls;
    if (three_phase) {
        tx->sites = (struct tx_sites *)at;
        tx->sites->tx = tx;
    }
    tx->machine.branches = (struct branch *)(at + sites);
    block->texts = at + sites + states;
    block->room = text_bytes;
    tx->id = id;
    tx->call_count = call_count;
    tx->machine.branch_count = (uint8_t)branch_count;
    for (int i = 0; i < branch_count; i++) {
        tx->branches[i].tx = tx;
        tx->branches[i].number = (uint8_t)i;
        list_init(&tx->branches[i].waits);
    }
    list_init(&tx->all);
    list_init(&tx->durable);
    list_init(&tx->waiters);
    list_init(&tx->first.in_tx);
    list_init(&tx->first.in_guest);
    return tx;
}

char *tx_text(struct tx *tx, const char *text)
{
    struct block *block = CONTAINER(tx, struct block, tx);
    size_t size = strlen(text) + 1;
    CHECK(block->used + size <= block->room);
    char *copy = memcpy(block->texts + block->used, text, size);
    block->used += size;
    return copy;
}

void tx_drop_results(struct tx *tx)
{
    for (int i = 0; i < tx->call_count; i++) {
        free(tx->calls[i].result);
        tx->calls[i].result = NULL;
    }
}

static void free_problem(struct problem *problem)
{
    if (!problem)
        return;
    free(problem->operation);
    free(problem->code);
    free(problem->message);
    free(problem->detail);
    free(problem->hint);
    free(problem);
}

void tx_free(struct tx *tx)
{
    tx_drop_results(tx);
    free_problem(tx->problem);
    for (int i = 0; i < tx->machine.branch_count; i++)
        free(tx->branches[i].planted_prepare);
    free(CONTAINER(tx, struct block, tx));
}

int tx_branch_index(const struct tx *tx, uint32_t number)
{
    int count = tx->machine.branch_count;
    if (number < (uint32_t)count && tx->branches[number].number == number)
        return (int)number;
    for (int i = 0; i < count; i++) {
        if (tx->branches[i].number == number)
            return i;
    }
    return -1;
}

/* A participant's text, cut so that all of a problem's fit beside the results in one message. */
static char *cut(const char *text)
{
    size_t size = strnlen(text, PROBLEM_TEXT_BYTES);
    /* Not in the middle of a UTF-8 character. */
    while (text[size] && size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return xstrndup(text, size);
}

void tx_problem(struct tx *tx, struct participant *participant, const Wire__Problem *problem)
{
    if (tx->problem)
        return;
    struct problem *copy = tx->problem = xcalloc(1, sizeof(*copy));
    copy->participant = participant;
    copy->operation = cut(problem->operation);
    copy->code = cut(problem->code);
    copy->message = cut(problem->message);
    copy->detail = cut(problem->detail);
    copy->hint = cut(problem->hint);
}

void tx_hazard(struct tx *tx, struct participant *participant, const char *reason)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    free_problem(tx->problem);
    tx->problem = NULL;
    problem.code = (char *)"hazard";
    problem.message = (char *)"the database can't prove what was decided";
    problem.detail = (char *)reason;
    problem.hint =
        (char *)"`troth tx explain` with its id tells what each database holds, and what to do";
    tx_problem(tx, participant, &problem);
}

uint32_t tx_age_ms(const struct tx *tx, int64_t wall_us)
{
    int64_t ms = (wall_us - tx->begun_us) / 1000;
    if (tx->begun_us == 0 || ms >= UINT32_MAX)
        return 0;
    return ms > 0 ? (uint32_t)ms + 1 : 1; /* the clock may have been set back */
}

const char *tx_state_word(const struct tx *tx)
{
    const struct transaction *machine = &tx->machine;
    if (machine->state != TRANSACTION_DONE)
        return transaction_state_name(machine->state);
    if (machine->in[BRANCH_HAZARD] > 0)
        return "forgotten";
    bool overruled =
        machine->proposer.phase == PROPOSER_DECIDED && machine->proposer.value == REGISTER_ABORT;
    return overruled || machine->in[BRANCH_NO] + machine->in[BRANCH_ABORTED] > 0 ? "aborted"
                                                                                 : "applied";
}
