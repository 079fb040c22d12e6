/* Times that can't be kept. Only what a definition says is counted, not what it leaves to the
 * defaults, so that a sum is never more than what its author wrote. */
#include "saga/duration.h"
#include "saga/lint_parts.h"
#include "saga/retry.h"

/* A sum that stays at the most there is. */
static uint64_t plus(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* The longest that the tries of a step may take, as far as it says. */
static uint64_t longest_try(const struct saga_step *step)
{
    struct saga_retry retry = step->retry;
    retry.jitter_permille = 0;
    int attempts = step->retry_given && retry.attempts ? retry.attempts : 1;
    uint64_t sum = step->timeout_given ? (uint64_t)attempts * step->timeout_us : 0;
    for (int tried = 1; tried < attempts; tried++)
        sum = plus(sum, saga_retry_pause(&retry, tried, 0));
    return sum;
}

/* Whether there is a pivot in it. */
static bool has_pivot(const struct saga_plan *plan, int index)
{
    for (int i = index; i < plan->step_count; i++) {
        if (plan->steps[i].kind == SAGA_PIVOT && saga_step_within(plan, i, index))
            return true;
    }
    return false;
}

static uint64_t longest(const struct saga_plan *plan, int index)
{
    const struct saga_step *step = &plan->steps[index];
    if (step->type == SAGA_WAIT)
        return step->wait_us;
    if (step->first_child == SAGA_NONE)
        return longest_try(step);
    uint64_t most = 0, sum = 0;
    for (int child = step->first_child; child != SAGA_NONE;
         child = plan->steps[child].next_sibling) {
        uint64_t one = longest(plan, child);
        most = one > most ? one : most;
        sum = plus(sum, one);
        if (step->type == SAGA_SEQUENCE && has_pivot(plan, child))
            break; /* the saga's timeout ends here */
    }
    return step->type == SAGA_SEQUENCE ? sum : most;
}

/* Waits that alone are longer than the saga may take, up to the pivot. */
static void check_waits(struct linter *linter, int index)
{
    const struct saga_plan *plan = linter->plan;
    const struct saga_step *step = &plan->steps[index];
    duration_text wait, all;
    if (step->type == SAGA_WAIT && step->wait_us > plan->timeout_us)
        MISTAKE(linter, step->place, "%s waits %s%s, and the saga may take %s in all",
                lint_step_word(plan, index), step->wait == SAGA_WAIT_SIGNAL ? "up to " : "",
                duration_format(wait, step->wait_us), duration_format(all, plan->timeout_us));
    for (int child = step->first_child; child != SAGA_NONE;
         child = plan->steps[child].next_sibling) {
        check_waits(linter, child);
        if (step->type == SAGA_SEQUENCE && has_pivot(plan, child))
            return;
    }
}

void lint_times(struct linter *linter)
{
    const struct saga_plan *plan = linter->plan;
    if (!plan->timeout_us)
        return;
    int mistakes = linter->findings->mistakes;
    check_waits(linter, 0);
    uint64_t sum = longest(plan, 0);
    duration_text steps, all;
    if (sum > plan->timeout_us && linter->findings->mistakes == mistakes)
        WARNING(linter, plan->timeout_place,
                "timeout: the steps up to the pivot may take %s by their own timeouts and retries, "
                "more than the %s of the saga",
                duration_format(steps, sum), duration_format(all, plan->timeout_us));
}
