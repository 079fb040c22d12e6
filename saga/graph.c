#include "saga/graph.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/duration.h"

/* What a node of the picture stands for. */
enum shape {
    SHAPE_END, /* the beginning and the end */
    SHAPE_STEP,
    SHAPE_PIVOT,
    SHAPE_RETRIABLE,
    SHAPE_SAGA,
    SHAPE_WAIT,
    SHAPE_CHOICE,
    SHAPE_JOIN, /* where branches part and meet */
    SHAPE_UNDO,
    SHAPES,
};

struct graph {
    const struct saga_plan *plan;
    enum saga_graph_format format;
    FILE *out;
    int nodes;  /* numbers given out */
    int indent; /* subgraphs that are open */
};

/* Where a part of the picture is entered and left. */
struct span {
    int in, out;
};

enum { SOURCE_SHOWN = 60 }; /* of a condition */

/* ---- writing ------------------------------------------------------------------------------- */

/* `<` and such are markup in Mermaid's labels, quotes end them in both; a line break is written as
 * each has it. */
static void put_text(struct graph *graph, const char *text)
{
    bool mermaid = graph->format == SAGA_GRAPH_MERMAID;
    for (; *text; text++) {
        if (*text == '\n')
            fputs(mermaid ? "<br/>" : "\\n", graph->out);
        else if (*text == '"')
            fputs(mermaid ? "#quot;" : "\\\"", graph->out);
        else if (mermaid && strchr("<>&#", *text))
            fprintf(graph->out, "#%d;", *text);
        else if (!mermaid && *text == '\\')
            fputs("\\\\", graph->out);
        else
            fputc(*text, graph->out);
    }
}

static void begin_line(struct graph *graph)
{
    fprintf(graph->out, "%*s", 2 + 2 * graph->indent, "");
}

static int put_node(struct graph *graph, enum shape shape, const char *label)
{
    static const struct {
        const char *open, *close, *dot;
    } shapes[SHAPES] = {
        [SHAPE_END] = {"([\"", "\"])", "shape=oval"},
        [SHAPE_STEP] = {"[\"", "\"]", "shape=box"},
        [SHAPE_PIVOT] = {"{{\"", "\"}}:::pivot", "shape=hexagon, penwidth=3"},
        [SHAPE_RETRIABLE] = {"(\"", "\")", "shape=box, style=rounded"},
        [SHAPE_SAGA] = {"[[\"", "\"]]", "shape=box, peripheries=2"},
        [SHAPE_WAIT] = {"[/\"", "\"\\]", "shape=trapezium"},
        [SHAPE_CHOICE] = {"{\"", "\"}", "shape=diamond"},
        [SHAPE_JOIN] = {"((\"", "\"))", "shape=circle"},
        [SHAPE_UNDO] = {"[/\"", "\"/]:::undo", "shape=parallelogram, style=dashed"},
    };
    int node = graph->nodes++;
    begin_line(graph);
    bool mermaid = graph->format == SAGA_GRAPH_MERMAID;
    fprintf(graph->out, mermaid ? "n%d%s" : "n%d [%s, label=\"", node,
            mermaid ? shapes[shape].open : shapes[shape].dot);
    put_text(graph, label);
    fprintf(graph->out, "%s\n", mermaid ? shapes[shape].close : "\"];");
    return node;
}

static void put_edge(struct graph *graph, int from, int to, const char *label, bool undo)
{
    begin_line(graph);
    if (graph->format == SAGA_GRAPH_MERMAID) {
        fprintf(graph->out, "n%d %s%s", from, undo ? "-.->" : "-->", label ? "|\"" : "");
        put_text(graph, label ? label : "");
        fprintf(graph->out, "%sn%d\n", label ? "\"| " : " ", to);
        return;
    }
    fprintf(graph->out, "n%d -> n%d", from, to);
    if (label || undo) {
        fprintf(graph->out, " [%s", undo ? "style=dashed, constraint=false" : "");
        fprintf(graph->out, "%s", label && undo ? ", " : "");
        if (label) {
            fputs("label=\"", graph->out);
            put_text(graph, label);
            fputc('"', graph->out);
        }
        fputc(']', graph->out);
    }
    fputs(";\n", graph->out);
}

/* ---- labels -------------------------------------------------------------------------------- */

/* A condition as it is shown: on one line, and not too long. */
static char *condition(const struct graph *graph, int expression)
{
    const char *source = graph->plan->expressions[expression].source;
    int size = (int)strlen(source), shown = size;
    if (size > SOURCE_SHOWN) {
        shown = SOURCE_SHOWN;
        while (shown > 0 && ((unsigned char)source[shown] & 0xc0) == 0x80)
            shown--;
    }
    char *text = xasprintf("%.*s%s", shown, source, shown < size ? "..." : "");
    for (char *at = text; *at; at++)
        *at = *at == '\n' ? ' ' : *at;
    return text;
}

static void put_calls(const struct graph *graph, const struct saga_step *step, FILE *label)
{
    if (step->type == SAGA_TRANSACTION)
        fprintf(label, "%s:", step->protocol == SAGA_3PC ? "3pc" : "2pc");
    for (int i = 0; i < step->call_count; i++) {
        const struct saga_call *call = &graph->plan->calls[step->first_call + i];
        fprintf(label, "%s%s.%s", step->type == SAGA_TRANSACTION ? "\n" : "", call->participant,
                call->operation);
    }
}

static void put_wait(const struct saga_step *step, FILE *label)
{
    duration_text time;
    duration_format(time, step->wait_us);
    if (step->wait == SAGA_WAIT_SIGNAL)
        fprintf(label, "signal %s within %s,\nelse %s", step->signal, time,
                step->or_continue ? "go on" : "fail");
    else if (step->wait == SAGA_WAIT_FOR)
        fprintf(label, "wait %s", time);
    else
        fputs("wait until a time", label);
}

/* The text in the node of a step. The caller frees it. */
static char *label_of(const struct graph *graph, int index)
{
    const struct saga_step *step = &graph->plan->steps[index];
    char *text = NULL;
    size_t size = 0;
    FILE *label = open_memstream(&text, &size);
    CHECK(label != NULL);
    if (step->name)
        fprintf(label, "%s\n", step->name);
    if (step->type == SAGA_SAGA)
        fprintf(label, "saga %s", step->saga);
    else if (step->type == SAGA_WAIT)
        put_wait(step, label);
    else if (step->type == SAGA_PARALLEL)
        fputs("all at once", label);
    else if (step->type == SAGA_CHOOSE)
        fputs("choose", label);
    else
        put_calls(graph, step, label);
    if (step->kind != SAGA_COMPENSATABLE)
        fprintf(label, "\n%s", saga_kind_words[step->kind]);
    if (step->when != SAGA_NONE) {
        char *when = condition(graph, step->when);
        fprintf(label, "\nwhen %s", when);
        free(when);
    }
    fclose(label);
    return text;
}

/* ---- the parts of the picture -------------------------------------------------------------- */

static struct span draw(struct graph *graph, int index);

/* A step that does something, with what undoes it. */
static struct span draw_action(struct graph *graph, int index)
{
    const struct saga_step *step = &graph->plan->steps[index];
    enum shape shape = step->kind == SAGA_PIVOT       ? SHAPE_PIVOT
                       : step->type == SAGA_SAGA      ? SHAPE_SAGA
                       : step->type == SAGA_WAIT      ? SHAPE_WAIT
                       : step->kind == SAGA_RETRIABLE ? SHAPE_RETRIABLE
                                                      : SHAPE_STEP;
    char *label = label_of(graph, index);
    int node = put_node(graph, shape, label);
    free(label);
    if (step->compensation != SAGA_NONE) {
        const struct saga_call *call = &graph->plan->calls[step->compensation];
        label = xasprintf("%s.%s", call->participant, call->operation);
        put_edge(graph, node, put_node(graph, SHAPE_UNDO, label), "undo", true);
        free(label);
    }
    return (struct span){node, node};
}

static struct span draw_sequence(struct graph *graph, int index)
{
    const struct saga_plan *plan = graph->plan;
    struct span all = {SAGA_NONE, SAGA_NONE};
    for (int child = plan->steps[index].first_child; child != SAGA_NONE;
         child = plan->steps[child].next_sibling) {
        struct span one = draw(graph, child);
        if (all.in == SAGA_NONE)
            all.in = one.in;
        else
            put_edge(graph, all.out, one.in, NULL, false);
        all.out = one.out;
    }
    return all;
}

/* parallel and choose: the ways part at a node and meet at another. */
static struct span draw_branches(struct graph *graph, int index)
{
    const struct saga_plan *plan = graph->plan;
    bool choose = plan->steps[index].type == SAGA_CHOOSE, otherwise = false;
    char *label = label_of(graph, index);
    struct span all = {put_node(graph, choose ? SHAPE_CHOICE : SHAPE_JOIN, label), 0};
    free(label);
    all.out = put_node(graph, SHAPE_JOIN, " ");
    for (int child = plan->steps[index].first_child; child != SAGA_NONE;
         child = plan->steps[child].next_sibling) {
        int when = plan->steps[child].when;
        bool shown = when != SAGA_NONE && plan->steps[child].type == SAGA_SEQUENCE;
        struct span one = draw(graph, child);
        label = shown ? condition(graph, when) : choose ? xstrdup("otherwise") : NULL;
        otherwise = otherwise || (choose && when == SAGA_NONE);
        put_edge(graph, all.in, one.in, label, false);
        put_edge(graph, one.out, all.out, NULL, false);
        free(label);
    }
    if (choose && !otherwise)
        put_edge(graph, all.in, all.out, "otherwise", false);
    return all;
}

/* What is in a block, with a frame around it. Takes over the label. */
static struct span draw_framed(struct graph *graph, int index, int inner, char *label)
{
    bool mermaid = graph->format == SAGA_GRAPH_MERMAID;
    begin_line(graph);
    fprintf(graph->out, mermaid ? "subgraph g%d[\"" : "subgraph cluster_g%d { label=\"", index);
    put_text(graph, label);
    fputs(mermaid ? "\"]\n" : "\";\n", graph->out);
    graph->indent++;
    struct span all = inner == index ? draw_sequence(graph, index) : draw(graph, inner);
    graph->indent--;
    begin_line(graph);
    fputs(mermaid ? "end\n" : "}\n", graph->out);
    free(label);
    return all;
}

static char *condition_line(const struct graph *graph, int expression)
{
    if (expression == SAGA_NONE)
        return xstrdup("");
    char *source = condition(graph, expression), *line = xasprintf("when %s", source);
    free(source);
    return line;
}

static struct span draw_for_each(struct graph *graph, int index)
{
    const struct saga_step *step = &graph->plan->steps[index];
    char *items = condition(graph, step->items), *when = condition_line(graph, step->when);
    char at_once[40] = "one after the other";
    if (step->at_once > 1)
        snprintf(at_once, sizeof(at_once), "%d at once", step->at_once);
    char *label = xasprintf("%s: for each of %s, %s%s%s", step->name, items, at_once,
                            *when ? "\n" : "", when);
    free(items);
    free(when);
    return draw_framed(graph, index, step->first_child, label);
}

/* Steps in sequence; a frame shows their condition where no edge does. */
static struct span draw_block(struct graph *graph, int index)
{
    const struct saga_step *step = &graph->plan->steps[index];
    bool edge =
        step->parent != SAGA_NONE && (graph->plan->steps[step->parent].type == SAGA_CHOOSE ||
                                      graph->plan->steps[step->parent].type == SAGA_PARALLEL);
    if (step->when == SAGA_NONE || edge)
        return draw_sequence(graph, index);
    return draw_framed(graph, index, index, condition_line(graph, step->when));
}

/* Depth is bounded by LIMIT_SAGA_DEPTH. */
static struct span draw(struct graph *graph, int index)
{
    switch (graph->plan->steps[index].type) {
    case SAGA_SEQUENCE:
        return draw_block(graph, index);
    case SAGA_PARALLEL:
    case SAGA_CHOOSE:
        return draw_branches(graph, index);
    case SAGA_FOR_EACH:
        return draw_for_each(graph, index);
    default:
        return draw_action(graph, index);
    }
}

char *saga_graph(const struct saga_plan *plan, enum saga_graph_format format)
{
    char *text = NULL;
    size_t size = 0;
    struct graph graph = {.plan = plan, .format = format, .out = open_memstream(&text, &size)};
    CHECK(graph.out != NULL);
    bool mermaid = format == SAGA_GRAPH_MERMAID;
    fputs(mermaid ? "flowchart TD\n" : "digraph saga {\n", graph.out);
    char *label = xasprintf("%s %" PRId64, plan->name, plan->version);
    int first = put_node(&graph, SHAPE_END, label);
    free(label);
    struct span all = draw(&graph, 0);
    int last = put_node(&graph, SHAPE_END, "done");
    put_edge(&graph, first, all.in, NULL, false);
    put_edge(&graph, all.out, last, NULL, false);
    fputs(mermaid ? "  classDef pivot stroke-width:4px\n  classDef undo stroke-dasharray:5\n"
                  : "}\n",
          graph.out);
    fclose(graph.out);
    return text;
}
