/* Texts and arguments with generated values in them, as the file of `troth bench` has them: read
 * once, then made anew for every request.
 *
 *   "${ seq }"              1, 2, 3 ...: the number of the request, the same in all of its places
 *   "${ random(1, 100) }"   by chance, a whole number or, as random(0.01, 9.99), a decimal
 *   "${ cycle(1, 100) }"    one after the other, and again from the first
 *   "${ pick(ada, bob) }"   one of them by chance
 *   "${ uuid }", "${ run }" a text that is new; a text that is new in each run of troth bench
 *   "${ NAME }"             a value of the file's `values`: drawn once a request
 *   "${ text(seq) }"        the same as a text
 *
 * Alone it is the value itself, a number or a text; with text around it, a text. */
#ifndef TROTH_CLI_BENCH_VALUES_H
#define TROTH_CLI_BENCH_VALUES_H

#include <stdbool.h>
#include <stdint.h>

#include "io/yaml.h"

struct bench_values; /* what all requests of a run draw from */
struct bench_template;

/* run is copied. */
struct bench_values *bench_values_new(const char *run, uint64_t seed);
void bench_values_free(struct bench_values *values);
/* A map of names and scalars; each may use those above it. Mistakes are noted. */
void bench_values_read(struct bench_values *values, struct yaml *yaml, const struct yaml_node *map);

/* A value of any shape. Mistakes are noted. To be freed before `values`. */
struct bench_template *bench_template_read(struct bench_values *values, struct yaml *yaml,
                                           const struct yaml_node *node);
void bench_template_free(struct bench_template *template); /* NULL is harmless */
bool bench_template_varies(const struct bench_template *template);

/* What is drawn next is the next request's. */
void bench_values_next(struct bench_values *values);
/* What is drawn next is for looking at only, and long: no number of a request is used up. */
void bench_values_sample(struct bench_values *values);
const char *bench_values_run(const struct bench_values *values);
/* JSON, a new text that the caller frees. */
char *bench_template_draw(struct bench_template *template, struct bench_values *values);
/* The same of a template that is a scalar, as plain text. */
char *bench_template_draw_text(struct bench_template *template, struct bench_values *values);

#endif
