/* A definition as a picture: the steps and their order, what undoes each, and the pivot. */
#ifndef TROTH_SAGA_GRAPH_H
#define TROTH_SAGA_GRAPH_H

#include "saga/definition.h"

enum saga_graph_format {
    SAGA_GRAPH_MERMAID, /* a flowchart, as Markdown viewers draw it */
    SAGA_GRAPH_DOT,     /* for Graphviz */
};

/* A new text that the caller frees, ending with a newline. */
char *saga_graph(const struct saga_plan *plan, enum saga_graph_format format);

#endif
