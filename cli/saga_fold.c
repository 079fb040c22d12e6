#include "cli/saga_fold.h"

#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "cli/saga.h"
#include "core/check.h"

/* Lists up to this long are shown whole. */
enum { SHOWN_ITEMS = 8 };

/* A stretch of steps: the children of a block, or one item of a for_each. */
struct stretch {
    size_t begin, end;
};

static bool state_is(const Wire__SagaStepView *step, const char *state)
{
    return strcmp(step->state, state) == 0;
}

/* less: of the depth, what blocks that are not shown would take. */
static void add_step(struct fold *fold, const Wire__SagaStepView *step, unsigned less)
{
    fold->lines[fold->count++] = (struct fold_line){.step = step, .depth = step->depth - less};
}

/* Where what is inside the block at `at` ends. */
static size_t block_end(const Wire__SagaView *saga, size_t at)
{
    size_t end = at + 1;
    while (end < saga->n_steps && saga->steps[end]->depth > saga->steps[at]->depth)
        end++;
    return end;
}

static unsigned bracket_count(const char *path)
{
    unsigned count = 0;
    for (; *path; path++)
        count += *path == '[';
    return count;
}

/* The number in the bracket of this index: "goods[3][12]", 1 gives 12. */
static size_t item_number(const char *path, unsigned index)
{
    for (; *path; path++) {
        if (*path == '[' && index-- == 0)
            return strtoul(path + 1, NULL, 10);
    }
    return 0;
}

/* What can be said of an item in one word; NULL: it is to be seen. */
static const char *item_state(const Wire__SagaView *saga, struct stretch item)
{
    size_t waiting = 0, undone = 0, done = 0;
    for (size_t i = item.begin; i < item.end; i++) {
        const Wire__SagaStepView *step = saga->steps[i];
        bool quiet = !step->needs_operator && !problem_is_set(step->problem);
        waiting += quiet && state_is(step, "waiting");
        undone += quiet && state_is(step, "undone");
        done += quiet && (state_is(step, "done") || state_is(step, "skipped"));
    }
    size_t count = item.end - item.begin;
    if (waiting == count)
        return "waiting";
    if (done == count)
        return "done";
    return undone && undone + done + waiting == count ? "undone" : NULL;
}

/* The item that begins at `at`. */
static struct stretch item_at(const Wire__SagaView *saga, size_t at, size_t end, unsigned bracket)
{
    struct stretch item = {at, at + 1};
    size_t number = item_number(saga->steps[at]->path, bracket);
    while (item.end < end && item_number(saga->steps[item.end]->path, bracket) == number)
        item.end++;
    return item;
}

static size_t count_items(const Wire__SagaView *saga, struct stretch inside, unsigned bracket)
{
    size_t count = 0;
    for (size_t at = inside.begin; at < inside.end; count++)
        at = item_at(saga, at, inside.end, bracket).end;
    return count;
}

/* The steps of an item stand in a block, which says nothing where it holds only one. */
static bool is_wrapper(const Wire__SagaView *saga, struct stretch item)
{
    return item.end > item.begin + 1 && strncmp(saga->steps[item.begin]->path, "steps#", 6) == 0 &&
           block_end(saga, item.begin + 1) == item.end;
}

static void fold_stretch(struct fold *fold, const Wire__SagaView *saga, struct stretch stretch,
                         unsigned less);

static void fold_item(struct fold *fold, const Wire__SagaView *saga, struct stretch item,
                      unsigned less)
{
    bool wrapper = is_wrapper(saga, item);
    item.begin += wrapper;
    fold_stretch(fold, saga, item, less + wrapper);
}

/* folds: items of which one word says all are counted. */
static void fold_items(struct fold *fold, const Wire__SagaView *saga, struct stretch inside,
                       unsigned bracket, unsigned less, bool folds)
{
    struct fold_line *open = NULL; /* what the next item may be counted with */
    for (size_t at = inside.begin; at < inside.end;) {
        struct stretch item = item_at(saga, at, inside.end, bracket);
        const char *state = folds ? item_state(saga, item) : NULL;
        at = item.end;
        if (!state) {
            fold_item(fold, saga, item, less);
            open = NULL;
            continue;
        }
        if (!open || strcmp(open->state, state) != 0) {
            open = &fold->lines[fold->count++];
            *open =
                (struct fold_line){.depth = saga->steps[item.begin]->depth - less, .state = state};
        }
        open->count++;
    }
}

static bool never_begins(const Wire__SagaView *saga, const Wire__SagaStepView *step)
{
    return state_is(step, "skipped") || (saga_goes_back(saga) && state_is(step, "waiting"));
}

static void fold_stretch(struct fold *fold, const Wire__SagaView *saga, struct stretch stretch,
                         unsigned less)
{
    for (size_t at = stretch.begin; at < stretch.end;) {
        const Wire__SagaStepView *step = saga->steps[at];
        struct stretch inside = {at + 1, block_end(saga, at)};
        unsigned bracket = bracket_count(step->path);
        add_step(fold, step, less);
        bool hidden = !fold->all_items && never_begins(saga, step);
        if (!hidden && strcmp(step->type, "for_each") == 0)
            fold_items(fold, saga, inside, bracket, less,
                       !fold->all_items && count_items(saga, inside, bracket) > SHOWN_ITEMS);
        else if (!hidden)
            fold_stretch(fold, saga, inside, less);
        at = inside.end;
    }
}

void fold_steps(struct fold *fold, const Wire__SagaView *saga, bool all_items)
{
    /* No line stands for less than one step. */
    *fold = (struct fold){.lines = xcalloc(saga->n_steps + 1, sizeof(fold->lines[0])),
                          .all_items = all_items};
    fold_stretch(fold, saga, (struct stretch){0, saga->n_steps}, 0);
}

void fold_fini(struct fold *fold)
{
    free(fold->lines);
}
