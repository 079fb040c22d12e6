/* Pictures of definitions, character by character. */
#include "tests/unit/saga_kit.h"

#include "saga/graph.h"

static const char all[] = "saga: s\nversion: 2\ninput: {n: integer, list: array}\nsteps:\n"
                          "  - {name: a, call: p.q, compensate: p.undo}\n"
                          "  - parallel:\n"
                          "      - {name: b, when: '${ .input.n > 1 and \"<x>\" != \"\" }', call: "
                          "p.q, compensate: none}\n"
                          "      - {name: c, saga: other}\n"
                          "  - choose:\n"
                          "      - when: \"${ .input.n > 2 }\"\n"
                          "        steps: [{name: d, wait: {for: 90s}}]\n"
                          "  - name: f\n"
                          "    for_each: \"${ .input.list }\"\n"
                          "    parallel: 3\n"
                          "    steps: [{name: e, wait: {signal: go, timeout: 1h}}]\n"
                          "  - when: \"${ .input.n > 3 }\"\n"
                          "    steps: [{name: g, wait: {until: \"${ .input.list[0] }\"}}]\n"
                          "  - {name: h, transaction: {protocol: 3pc, branches: [{call: p.q}, "
                          "{call: r.s}]}, kind: pivot}\n"
                          "  - {name: i, call: p.q, kind: retriable}\n";

static void expect(enum saga_graph_format format, const char *expected)
{
    struct saga_plan *plan = kit_plan(all);
    char *graph = saga_graph(plan, format);
    assert_string_equal(graph, expected);
    free(graph);
    saga_plan_free(plan);
}

static void mermaid_shows_compensations_and_the_pivot(void **state)
{
    (void)state;
    expect(
        SAGA_GRAPH_MERMAID,
        "flowchart TD\n"
        "  n0([\"s 2\"])\n"
        "  n1[\"a<br/>p.q\"]\n"
        "  n2[/\"p.undo\"/]:::undo\n"
        "  n1 -.->|\"undo\"| n2\n"
        "  n3((\"all at once\"))\n"
        "  n4((\" \"))\n"
        "  n5[\"b<br/>p.q<br/>when .input.n #62; 1 and #quot;#60;x#62;#quot; != #quot;#quot;\"]\n"
        "  n3 --> n5\n"
        "  n5 --> n4\n"
        "  n6[[\"c<br/>saga other\"]]\n"
        "  n3 --> n6\n"
        "  n6 --> n4\n"
        "  n1 --> n3\n"
        "  n7{\"choose\"}\n"
        "  n8((\" \"))\n"
        "  n9[/\"d<br/>wait 90s\"\\]\n"
        "  n7 -->|\".input.n #62; 2\"| n9\n"
        "  n9 --> n8\n"
        "  n7 -->|\"otherwise\"| n8\n"
        "  n4 --> n7\n"
        "  subgraph g8[\"f: for each of .input.list, 3 at once\"]\n"
        "    n10[/\"e<br/>signal go within 1h,<br/>else fail\"\\]\n"
        "  end\n"
        "  n8 --> n10\n"
        "  subgraph g11[\"when .input.n #62; 3\"]\n"
        "    n11[/\"g<br/>wait until a time\"\\]\n"
        "  end\n"
        "  n10 --> n11\n"
        "  n12{{\"h<br/>3pc:<br/>p.q<br/>r.s<br/>pivot\"}}:::pivot\n"
        "  n11 --> n12\n"
        "  n13(\"i<br/>p.q<br/>retriable\")\n"
        "  n12 --> n13\n"
        "  n14([\"done\"])\n"
        "  n0 --> n1\n"
        "  n13 --> n14\n"
        "  classDef pivot stroke-width:4px\n"
        "  classDef undo stroke-dasharray:5\n");
}

static void dot_shows_the_same(void **state)
{
    (void)state;
    expect(SAGA_GRAPH_DOT,
           "digraph saga {\n"
           "  n0 [shape=oval, label=\"s 2\"];\n"
           "  n1 [shape=box, label=\"a\\np.q\"];\n"
           "  n2 [shape=parallelogram, style=dashed, label=\"p.undo\"];\n"
           "  n1 -> n2 [style=dashed, constraint=false, label=\"undo\"];\n"
           "  n3 [shape=circle, label=\"all at once\"];\n"
           "  n4 [shape=circle, label=\" \"];\n"
           "  n5 [shape=box, label=\"b\\np.q\\nwhen .input.n > 1 and \\\"<x>\\\" != \\\"\\\"\"];\n"
           "  n3 -> n5;\n"
           "  n5 -> n4;\n"
           "  n6 [shape=box, peripheries=2, label=\"c\\nsaga other\"];\n"
           "  n3 -> n6;\n"
           "  n6 -> n4;\n"
           "  n1 -> n3;\n"
           "  n7 [shape=diamond, label=\"choose\"];\n"
           "  n8 [shape=circle, label=\" \"];\n"
           "  n9 [shape=trapezium, label=\"d\\nwait 90s\"];\n"
           "  n7 -> n9 [label=\".input.n > 2\"];\n"
           "  n9 -> n8;\n"
           "  n7 -> n8 [label=\"otherwise\"];\n"
           "  n4 -> n7;\n"
           "  subgraph cluster_g8 { label=\"f: for each of .input.list, 3 at once\";\n"
           "    n10 [shape=trapezium, label=\"e\\nsignal go within 1h,\\nelse fail\"];\n"
           "  }\n"
           "  n8 -> n10;\n"
           "  subgraph cluster_g11 { label=\"when .input.n > 3\";\n"
           "    n11 [shape=trapezium, label=\"g\\nwait until a time\"];\n"
           "  }\n"
           "  n10 -> n11;\n"
           "  n12 [shape=hexagon, penwidth=3, label=\"h\\n3pc:\\np.q\\nr.s\\npivot\"];\n"
           "  n11 -> n12;\n"
           "  n13 [shape=box, style=rounded, label=\"i\\np.q\\nretriable\"];\n"
           "  n12 -> n13;\n"
           "  n14 [shape=oval, label=\"done\"];\n"
           "  n0 -> n1;\n"
           "  n13 -> n14;\n"
           "}\n");
}

static void a_long_condition_is_cut_at_a_whole_character(void **state)
{
    (void)state;
    struct saga_plan *plan =
        kit_plan("saga: s\nversion: 1\ninput: {n: any}\nsteps:\n"
                 "  - {name: a, when: '${ .input.n ==\n"
                 "      \"ääääääääääääääääääääääääääääääääääääääääääääääääää\" }', call: p.q, "
                 "compensate: none}\n");
    char *graph = saga_graph(plan, SAGA_GRAPH_MERMAID);
    if (!strstr(graph, "when .input.n == #quot;äääääääääääääääääääääää...\"]\n"))
        fail_msg("%s", graph);
    free(graph);
    saga_plan_free(plan);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mermaid_shows_compensations_and_the_pivot),
        cmocka_unit_test(dot_shows_the_same),
        cmocka_unit_test(a_long_condition_is_cut_at_a_whole_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
