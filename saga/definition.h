/* A saga's definition as a checked plan: what an engine walks.
 *
 * A plan is immutable, and thousands of sagas share one. It holds no YAML and no pointer into
 * anything else: all are indices into its arrays, and the same text always gives the same indices.
 * So a journal names a step by its index and a plan by its digest, and after a restart the text
 * with that digest gives the same plan again.
 *
 * The tree of steps. Step 0 is the sequence of all; children come after their parent, in the order
 * of the file:
 *
 *   SEQUENCE     its children one after the other                    (no name, no result)
 *   CALL         one operation: calls[first_call]
 *   TRANSACTION  call_count operations in one 2pc or 3pc transaction
 *   SAGA         another saga by name, as one step
 *   WAIT         for a time, until a time, for a signal
 *   PARALLEL     all children at once
 *   CHOOSE       the first child (a SEQUENCE) whose `when` is true; one without `when` is last
 *   FOR_EACH     its one child (a SEQUENCE) for every item of a list, at_once at a time
 *
 * An instance. A step inside a FOR_EACH runs once an item: what a journal names is the step and,
 * for each FOR_EACH around it (step.loop, outermost first), the index of the item. There are at
 * most LIMIT_SAGA_DEPTH of them.
 *
 * A step's life, as the language has it:
 *   1. `when` is evaluated. false: the step is skipped, its output is null.
 *   2. The arguments are rendered (saga/expression.h). With the same scope they come out the same,
 *      byte for byte, so they need not be journaled; what a participant answered must be.
 *   3. It runs, `retry.attempts` times at most (0: until it is done), each try at most timeout_us.
 *   4. `output` is rendered with the result, or the result itself is the output.
 * What fails before the pivot is undone: the steps that are done, in reverse order of their
 * completion, branches of a PARALLEL at once. Only CALL and TRANSACTION have a compensation of
 * their own; a SAGA undoes all that it did; the others have their children's. After a pivot is done
 * nothing is undone.
 *
 * Scope of an expression: .input; .saga.id; .steps.NAME of steps that are done; .item and .index of
 * the innermost FOR_EACH; .result in `output` and in the compensation's arguments. The result of a
 * TRANSACTION is the list of its branches' results; of a PARALLEL and a CHOOSE an object with the
 * outputs of the named steps in it (saga_block_result); of a FOR_EACH the list of such objects; of
 * a SAGA its output; of a WAIT what the signal carried, else null. */
#ifndef TROTH_SAGA_DEFINITION_H
#define TROTH_SAGA_DEFINITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "saga/digest.h"
#include "saga/finding.h"

enum { SAGA_NONE = -1 }; /* an index of nothing */

enum saga_type {
    SAGA_SEQUENCE,
    SAGA_CALL,
    SAGA_TRANSACTION,
    SAGA_SAGA,
    SAGA_WAIT,
    SAGA_PARALLEL,
    SAGA_CHOOSE,
    SAGA_FOR_EACH,
};

enum saga_kind {
    SAGA_COMPENSATABLE,
    SAGA_PIVOT,
    SAGA_RETRIABLE,
};

enum saga_protocol { SAGA_2PC, SAGA_3PC };

enum saga_wait { SAGA_WAIT_FOR, SAGA_WAIT_UNTIL, SAGA_WAIT_SIGNAL };

/* Types of inputs. */
enum saga_value_type {
    SAGA_STRING,
    SAGA_INTEGER,
    SAGA_NUMBER,
    SAGA_BOOLEAN,
    SAGA_OBJECT,
    SAGA_ARRAY,
    SAGA_ANY,
};

/* The value of one path: what an expression names. */
enum saga_root {
    SAGA_ROOT_ALL, /* `.` itself: everything */
    SAGA_ROOT_INPUT,
    SAGA_ROOT_STEPS, /* name and step: which; name NULL: all of them */
    SAGA_ROOT_RESULT,
    SAGA_ROOT_ITEM,
    SAGA_ROOT_INDEX,
    SAGA_ROOT_SAGA,
    SAGA_ROOT_UNKNOWN, /* of a mistake: such a plan is not run */
};

/* A member of an object by name, or of a list by index. */
struct saga_member {
    const char *name; /* NULL: by index */
    long index;       /* negative: from the end */
};

/* One path in an expression, as .steps.quote.fee: a root and the members below it (of the root
 * STEPS without the step's name), up to where it is computed. */
struct saga_reference {
    enum saga_root root;
    const char *name; /* the root as written; of SAGA_ROOT_STEPS the step's; or NULL */
    int step;         /* of SAGA_ROOT_STEPS, SAGA_NONE when there is no such step */
    int first_member, member_count;
    size_t offset; /* in the source */
    bool certain;  /* false: it may be a path in some other value, as .item in map(.item) */
    bool guarded;  /* what it gives is tested or has a default: it may be null */
};

/* Where in its step an expression stands. */
enum saga_role {
    SAGA_BEFORE_STEP, /* when, for_each, until, arguments; the saga's own output */
    SAGA_IN_OUTPUT,
    SAGA_IN_COMPENSATION,
};

struct saga_expression {
    int step;            /* whose it is; SAGA_NONE: the saga's own output */
    enum saga_role role; /* it and the step decide what the expression sees */
    const char *source;  /* what stands between ${ and } */
    struct saga_place place;
    bool exact;   /* source stands at that place byte for byte: offsets are places */
    bool bad;     /* a mistake in it was noted: it is not compiled */
    bool is_path; /* nothing but references[first_reference]: it is not computed, but copied */
    int first_reference, reference_count;
};

/* A JSON text with holes. */
enum saga_piece_type {
    SAGA_PIECE_TEXT,   /* as it is */
    SAGA_PIECE_VALUE,  /* an expression's value as JSON */
    SAGA_PIECE_INSERT, /* the same inside of a string: strings without quotes, the rest as JSON */
};

struct saga_piece {
    enum saga_piece_type type;
    int expression;
    const char *text;
    size_t size;
};

struct saga_template {
    int first_piece, piece_count;
};

struct saga_input {
    const char *name;
    enum saga_value_type type;
    const char *fallback; /* JSON; NULL: it must be given */
    const char *description;
    struct saga_place place;
};

/* An argument of a call, or a member of an output, as far as it is known without running. */
struct saga_argument {
    const char *name;
    struct saga_place place;
    const char *literal; /* JSON without holes, or NULL */
    int expression;      /* the value is just this expression, or SAGA_NONE */
};

struct saga_call {
    const char *participant, *operation;
    struct saga_place place;
    int with;          /* template; SAGA_NONE: {} */
    bool with_is_open; /* `with` is one expression: the names are not known */
    int first_argument, argument_count;
};

struct saga_retry {
    int attempts; /* 0: until it is done */
    uint64_t initial_us, max_us;
    uint32_t factor_permille, jitter_permille;
};

struct saga_step {
    enum saga_type type;
    enum saga_kind kind;
    const char *name; /* unique; NULL: it has none */
    struct saga_place place;
    int parent, first_child, next_sibling; /* or SAGA_NONE */
    int child_count, depth;
    int loop;                       /* the innermost FOR_EACH around it, or SAGA_NONE */
    int when;                       /* expression, or SAGA_NONE */
    int output;                     /* template, or SAGA_NONE: the result */
    int first_output, output_count; /* the members of `output`, in arguments */
    const char *reason;
    uint64_t timeout_us; /* of a try; CALL, TRANSACTION; SAGA, where 0 is none */
    bool timeout_given, retry_given;
    struct saga_retry retry; /* delays are those of its compensation, too */

    int first_call, call_count; /* CALL, TRANSACTION: in calls */
    enum saga_protocol protocol;
    int compensation;       /* CALL, TRANSACTION: in calls, or SAGA_NONE */
    bool compensation_none; /* `compensate: none` was said */

    const char *saga;                   /* SAGA: its name */
    int input;                          /* SAGA: template; SAGA_NONE: {} */
    bool input_is_open;                 /* as with_is_open */
    int first_argument, argument_count; /* SAGA: of input */

    int items;   /* FOR_EACH: expression */
    int at_once; /* FOR_EACH: from 1 */

    enum saga_wait wait;
    uint64_t wait_us;   /* WAIT: for; the time limit of a signal */
    int until;          /* WAIT: template that gives a time (saga/instant.h) */
    const char *signal; /* WAIT: its name */
    bool or_continue;   /* WAIT: without the signal it goes on, with null */
};

struct saga_program; /* the compiled expressions: saga/program.h */

struct saga_plan {
    const char *file; /* the name that it was loaded under, for places */
    const char *name, *description;
    int64_t version;
    const char *text; /* of the definition; its SHA-256 is digest */
    size_t size;
    struct digest digest;
    uint64_t timeout_us; /* of the saga up to its pivot; 0: none */
    struct saga_place timeout_place;
    int alert_after; /* tries of a compensation before an operator is called */
    int output;      /* template, or SAGA_NONE: null */
    int first_output, output_count;
    struct saga_place place;

    struct saga_step *steps;
    struct saga_call *calls;
    struct saga_argument *arguments;
    struct saga_input *inputs;
    struct saga_expression *expressions;
    struct saga_reference *references;
    struct saga_member *members;
    struct saga_template *templates;
    struct saga_piece *pieces;
    int step_count, call_count, argument_count, input_count, expression_count, reference_count,
        member_count, template_count, piece_count;

    struct saga_program *program;
    struct saga_memory *memory; /* of all texts above */
};

/* Of a definition that does not say: three tries, 100 ms apart and then twice as long each, with a
 * fifth of chance; 30 s a try. */
extern const struct saga_retry saga_retry_default;
#define SAGA_TIMEOUT_US  (30 * 1000 * 1000ull)
#define SAGA_ALERT_AFTER 5

/* Reads and checks a definition. NULL with an error that lists every mistake with its place, what
 * is wrong and the nearest known word. name: of the file, for places. The text is copied. */
struct saga_plan *saga_definition_load(const char *name, const char *text, size_t size,
                                       struct error *error);
/* The same for saga/lint.h, which looks further: notes mistakes instead. What it returns is good
 * for looking at; it may be run only when no mistake was noted. NULL: nothing could be read. */
struct saga_plan *saga_definition_read(const char *name, const char *text, size_t size,
                                       struct saga_findings *findings);
void saga_plan_free(struct saga_plan *plan); /* NULL is harmless */

/* The index of a step, or SAGA_NONE. */
int saga_step_find(const struct saga_plan *plan, const char *name);
/* Whether `step` is `block` or lies in it. */
bool saga_step_within(const struct saga_plan *plan, int step, int block);
/* Whether the output of `step` is a member of the result of `block`: a named step in it, and in no
 * FOR_EACH in between. */
bool saga_step_is_part(const struct saga_plan *plan, int step, int block);
/* Whether the compensation's arguments look at the step's result: then it is needed, besides the
 * output, for as long as the step may be undone. */
bool saga_step_keeps_result(const struct saga_plan *plan, int step);
/* The place of a byte of an expression's source, as near as it is known. */
struct saga_place saga_expression_place(const struct saga_expression *expression, size_t offset);

/* The word of the language for each. */
extern const char *const saga_type_words[];
extern const char *const saga_kind_words[]; /* ends with NULL, as the following */
extern const char *const saga_value_type_words[];

#endif
