/* The text of a definition, from its tree. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/check.h"
#include "tests/sim/saga_tree.h"

/* What is being written. */
struct page {
    const struct saga_tree *tree;
    FILE *out;
};

static const struct tree_node *node_of(const struct page *page, int index)
{
    return &page->tree->nodes[index];
}

/* `.steps.s3.n`, or 0 where it may have been skipped. */
static void write_number_of(const struct page *page, int of)
{
    fprintf(page->out, "(.steps.%s.n // 0)", node_of(page, of)->name);
}

static void write_condition(const struct page *page, const struct tree_condition *condition)
{
    FILE *out = page->out;
    fputs("\"${ ", out);
    switch (condition->when) {
    case WHEN_FLAG:
        fputs(".input.flag", out);
        break;
    case WHEN_NOT_FLAG:
        fputs(".input.flag | not", out);
        break;
    case WHEN_MORE:
        fprintf(out, ".input.amount > %d", condition->limit);
        break;
    case WHEN_ODD:
        write_number_of(page, condition->of);
        fputs(" % 2 == 1", out);
        break;
    case WHEN_ITEM_FLAG:
        fputs(".item.flag", out);
        break;
    default:
        fputs(".index % 2 == 0", out);
    }
    fputs(" }\"", out);
}

static void write_when(const struct page *page, const struct tree_node *node)
{
    if (node->condition.when == WHEN_ALWAYS)
        return;
    fputs(", when: ", page->out);
    write_condition(page, &node->condition);
}

static void write_amount(const struct page *page, const struct tree_call *call)
{
    FILE *out = page->out;
    switch (call->amount) {
    case AMOUNT_GIVEN:
        fprintf(out, "%d", call->more);
        break;
    case AMOUNT_INPUT:
        fputs("\"${ .input.amount }\"", out);
        break;
    case AMOUNT_INPUT_AND:
        fprintf(out, "\"${ .input.amount + %d }\"", call->more);
        break;
    case AMOUNT_ITEM:
        fputs("\"${ .item.amount }\"", out);
        break;
    default:
        fputs("\"${ .item.amount * 2 }\"", out);
    }
}

/* The mark names the step and its items as a participant's row does; in a transaction the branch.
 */
static void write_mark(const struct page *page, const struct tree_node *node, int branch)
{
    FILE *out = page->out;
    fprintf(out, "mark: \"${ .saga.id }/%s%s", node->name,
            node->depth == 0   ? ""
            : node->depth == 1 ? "[${ .index }]"
                               : "${ .item.at }");
    if (node->type == TREE_TRANSACTION)
        fprintf(out, ":%d", branch);
    fputs("\"", out);
}

enum sight { SIGHT_OF_STEP, SIGHT_OF_RESULT };

static void write_with(const struct page *page, const struct tree_node *node,
                       const struct tree_call *call, int branch, enum sight sight)
{
    FILE *out = page->out;
    if (call->act == ACT_LOOK) {
        fprintf(out, "{account: %d}", call->account);
        return;
    }
    fputc('{', out);
    write_mark(page, node, branch);
    if (call->act == ACT_REFUSE) {
        fputs("}", out);
        return;
    }
    fprintf(out, ", account: %d, amount: ", call->account);
    write_amount(page, call);
    fputs(", seen: ", out);
    if (sight == SIGHT_OF_RESULT) {
        fputs(node->type == TREE_TRANSACTION ? "\"${ .result[0].n }\"" : "\"${ .result.n }\"", out);
    } else if (node->seen != TREE_NONE) {
        fputs("\"${ ", out);
        write_number_of(page, node->seen);
        fputs(" }\"", out);
    } else {
        fputs("-1", out);
    }
    fputs("}", out);
}

static void write_undo(const struct page *page, const struct tree_node *node)
{
    FILE *out = page->out;
    if (node->kind != TREE_COMPENSATABLE)
        return;
    if (node->undo == UNDO_NONE) {
        fputs(", compensate: none", out);
        return;
    }
    fprintf(out, ", compensate: {call: p%d.%s", node->back.participant,
            tree_act_words[node->back.act]);
    if (node->undo == UNDO_WITH_RESULT) {
        fputs(", with: ", out);
        write_with(page, node, &node->back, 0, SIGHT_OF_RESULT);
    }
    fputs("}", out);
}

static void write_tries(const struct page *page, const struct tree_node *node)
{
    FILE *out = page->out;
    if (node->kind == TREE_PIVOT)
        fputs(", kind: pivot", out);
    if (node->kind == TREE_RETRIABLE)
        fputs(", kind: retriable", out);
    if (node->reasoned)
        fputs(", reason: it is tried on all the same", out);
    if (node->timeout_ms)
        fprintf(out, ", timeout: %dms", node->timeout_ms);
    if (!node->attempts)
        return;
    fputs(", retry: {", out);
    if (node->kind != TREE_RETRIABLE)
        fprintf(out, "attempts: %d, ", node->attempts);
    fprintf(out, "initial: %dms, max: %dms}", node->initial_ms, node->max_ms);
}

static void write_output(const struct page *page, const struct tree_node *node)
{
    if (node->bare)
        return;
    fprintf(page->out, ", output: {n: \"${ .result%s.n",
            node->type == TREE_TRANSACTION ? "[0]" : "");
    if (node->shift)
        fprintf(page->out, " + %d", node->shift);
    fputs(" }\"}", page->out);
}

static void write_branches(const struct page *page, const struct tree_node *node)
{
    FILE *out = page->out;
    fprintf(out, ", transaction: {protocol: %s, branches: [", node->three_phase ? "3pc" : "2pc");
    for (int i = 0; i < node->call_count; i++) {
        const struct tree_call *call = &node->calls[i];
        fprintf(out, "%s{call: p%d.%s, with: ", i ? ", " : "", call->participant,
                tree_act_words[call->act]);
        write_with(page, node, call, i, SIGHT_OF_STEP);
        fputs("}", out);
    }
    fputs("]}", out);
}

static void write_sub_saga(const struct page *page, const struct tree_node *node)
{
    fprintf(page->out,
            ", saga: f%d, input: {amount: \"${ .input.amount + %d }\", flag: \"${ .input.flag }\","
            " list: \"${ .input.list }\"}",
            node->family, node->amount_more);
    write_tries(page, node);
}

/* What a step that holds no others does. */
static void write_doing(const struct page *page, const struct tree_node *node)
{
    FILE *out = page->out;
    const struct tree_call *call = &node->calls[0];
    switch (node->type) {
    case TREE_CALL:
        fprintf(out, ", call: p%d.%s, with: ", call->participant, tree_act_words[call->act]);
        write_with(page, node, call, 0, SIGHT_OF_STEP);
        break;
    case TREE_TRANSACTION:
        write_branches(page, node);
        break;
    case TREE_SAGA:
        write_sub_saga(page, node);
        return;
    case TREE_PAUSE:
        fprintf(out, ", wait: {for: %dms}", node->wait_ms);
        return;
    default:
        fprintf(out, ", wait: {signal: go%d, timeout: %dms%s}", node->signal, node->wait_ms,
                node->or_continue ? ", otherwise: continue" : "");
        return;
    }
    write_output(page, node);
    write_undo(page, node);
    write_tries(page, node);
}

static void indent(const struct page *page, int depth)
{
    fprintf(page->out, "%*s", depth * 2, "");
}

static void write_steps(const struct page *page, int parent, int depth);

static void write_choose(const struct page *page, int index, int depth)
{
    const struct tree_node *node = node_of(page, index);
    for (int i = node->first_child; i != TREE_NONE; i = node_of(page, i)->next_sibling) {
        indent(page, depth);
        if (node_of(page, i)->condition.when == WHEN_ALWAYS) {
            fputs("- otherwise:\n", page->out);
        } else {
            fputs("- when: ", page->out);
            write_condition(page, &node_of(page, i)->condition);
            fputc('\n', page->out);
            indent(page, depth + 1);
            fputs("steps:\n", page->out);
        }
        write_steps(page, i, depth + 2);
    }
}

static void write_for_each(const struct page *page, const struct tree_node *node, int depth)
{
    FILE *out = page->out;
    fprintf(out, "for_each: \"${ %s%s }\"\n", node->depth ? ".item.list" : ".input.list",
            node->only_flagged ? " | map(select(.flag))" : "");
    indent(page, depth + 1);
    fprintf(out, "parallel: %d\n", node->at_once);
    indent(page, depth + 1);
    fputs("steps:\n", out);
    write_steps(page, node->first_child, depth + 2);
}

/* A step that holds others. */
static void write_block(const struct page *page, int index, int depth)
{
    const struct tree_node *node = node_of(page, index);
    FILE *out = page->out;
    if (node->name[0]) {
        fprintf(out, "name: %s\n", node->name);
        indent(page, depth + 1);
    }
    if (node->condition.when != WHEN_ALWAYS) {
        fputs("when: ", out);
        write_condition(page, &node->condition);
        fputc('\n', out);
        indent(page, depth + 1);
    }
    if (node->type == TREE_FOR_EACH) {
        write_for_each(page, node, depth);
        return;
    }
    fprintf(out, "%s:\n",
            node->type == TREE_PARALLEL ? "parallel"
            : node->type == TREE_CHOOSE ? "choose"
                                        : "steps");
    if (node->type == TREE_CHOOSE)
        write_choose(page, index, depth + 2);
    else
        write_steps(page, index, depth + 2);
}

static void write_steps(const struct page *page, int parent, int depth)
{
    for (int i = node_of(page, parent)->first_child; i != TREE_NONE;
         i = node_of(page, i)->next_sibling) {
        const struct tree_node *node = node_of(page, i);
        indent(page, depth);
        if (node->first_child != TREE_NONE) {
            fputs("- ", page->out);
            write_block(page, i, depth);
            continue;
        }
        fprintf(page->out, "- {name: %s", node->name);
        write_when(page, node);
        write_doing(page, node);
        fputs("}\n", page->out);
    }
}

char *saga_tree_text(const struct saga_tree *tree)
{
    char *text = NULL;
    size_t size = 0;
    struct page page = {.tree = tree, .out = open_memstream(&text, &size)};
    CHECK(page.out != NULL);
    fprintf(page.out, "saga: f%d\nversion: %d\n", tree->family, tree->version);
    fputs("input: {amount: integer, flag: {type: boolean, default: false}, list: {type: array, "
          "default: []}, ref: {type: integer, default: 0}}\n",
          page.out);
    if (tree->timeout_ms)
        fprintf(page.out, "timeout: %dms\n", tree->timeout_ms);
    fprintf(page.out, "alert_after: %d\n", tree->alert_after);
    if (tree->output_from != TREE_NONE) {
        fputs("output: {n: \"${ ", page.out);
        write_number_of(&page, tree->output_from);
        fputs(" }\"}\n", page.out);
    }
    fputs("steps:\n", page.out);
    write_steps(&page, 0, 1);
    CHECK(fclose(page.out) == 0);
    return text;
}
