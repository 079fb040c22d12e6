/* What the files that read a definition from YAML share. */
#ifndef TROTH_SAGA_READ_H
#define TROTH_SAGA_READ_H

#include "io/yaml_node.h"
#include "saga/plan.h"

struct reader {
    struct yaml *yaml; /* takes the mistakes of form */
    struct saga_plan *plan;
    struct saga_findings *findings; /* takes those of expressions */
    bool full;                      /* there was one step too many: told once */
};

struct saga_place read_place(const struct yaml_node *node);

/* The step or block at this node, and all that is in it. */
void read_step(struct reader *reader, const struct yaml_node *node, int parent);
/* A list of steps, in sequence below parent. */
void read_steps(struct reader *reader, const struct yaml_node *list, int parent);

/* A value with expressions in it, of any shape: a template; SAGA_NONE for no node. */
int read_template(struct reader *reader, const struct yaml_node *node);
/* The same, where only a map makes sense: arguments, outputs. *first and *count: its members, in
 * arguments; *open: it is one expression, so they are not known. */
int read_map_template(struct reader *reader, const struct yaml_node *node, int *first, int *count,
                      bool *open);
/* "${ ... }" and nothing else; SAGA_NONE for no node, and with a mistake noted. */
int read_expression(struct reader *reader, const struct yaml_node *node);
/* A word that expressions use after a dot: of a step or an input. NULL with a mistake noted. */
const char *read_word(struct reader *reader, const struct yaml_node *node, const char *what);
/* A saga's name. NULL with a mistake noted. */
const char *read_name(struct reader *reader, const struct yaml_node *node);
/* A copy of a scalar's text that lives as long as the plan, or NULL. */
const char *read_text(struct reader *reader, const struct yaml_node *node);
/* From 1ms; `fallback` for no node. */
uint64_t read_duration(struct reader *reader, const struct yaml_node *node, uint64_t fallback);
/* A decimal such as 1.5 in thousandths. */
uint32_t read_permille(struct reader *reader, const struct yaml_node *node, uint32_t low,
                       uint32_t high, uint32_t fallback);

/* In read_call.c: a call with its arguments, what undoes it, and how often it is tried. */
int read_call(struct reader *reader, const struct yaml_node *call, const struct yaml_node *with);
void read_compensation(struct reader *reader, const struct yaml_node *node, int step);
void read_transaction(struct reader *reader, const struct yaml_node *node, int step);
void read_retry(struct reader *reader, const struct yaml_node *node, int step);

#endif
