#include "saga/builtin.h"

#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "core/limits.h"

static const char *const allowed[] = {
    "IN",
    "INDEX",
    "JOIN",
    "add",
    "all",
    "any",
    "arrays",
    "ascii_downcase",
    "ascii_upcase",
    "booleans",
    "bsearch",
    "capture",
    "ceil",
    "contains",
    "del",
    "delpaths",
    "empty",
    "endswith",
    "error",
    "explode",
    "fabs",
    "finites",
    "first",
    "flatten",
    "floor",
    "from_entries",
    "fromdate",
    "fromdateiso8601",
    "fromjson",
    "getpath",
    "group_by",
    "has",
    "in",
    "index",
    "indices",
    "inside",
    "isempty",
    "isfinite",
    "isinfinite",
    "isnan",
    "isnormal",
    "iterables",
    "join",
    "keys",
    "keys_unsorted",
    "last",
    "leaf_paths",
    "length",
    "limit",
    "ltrimstr",
    "map",
    "map_values",
    "match",
    "max",
    "max_by",
    "min",
    "min_by",
    "not",
    "nth",
    "null",
    "nulls",
    "numbers",
    "objects",
    "path",
    "paths",
    "pow",
    "range",
    "reverse",
    "rindex",
    "round",
    "rtrimstr",
    "scalars",
    "scan",
    "select",
    "setpath",
    "sort",
    "sort_by",
    "split",
    "splits",
    "sqrt",
    "startswith",
    "strings",
    "test",
    "to_entries",
    "todate",
    "todateiso8601",
    "tojson",
    "tonumber",
    "tostring",
    "transpose",
    "true",
    "trunc",
    "type",
    "unique",
    "unique_by",
    "utf8bytelength",
    "values",
    "walk",
    "with_entries",
    "false",
};
enum { ALLOWED = sizeof(allowed) / sizeof(allowed[0]) };

struct refused {
    const char *name, *why;
};

#define READS_PROCESS "it reads the process, not the saga"
#define NO_END        "it may not end"
#define CLOCK         "a saga that is recovered must compute the same again"
#define NO_NUMBER     "nothing can be computed with it"
#define MACHINE       "its result differs from machine to machine"

static const struct refused refused[] = {
    {"combinations", "its result grows beyond all bounds"},
    {"debug", READS_PROCESS},
    {"env", READS_PROCESS},
    {"get_search_list", READS_PROCESS},
    {"gmtime", "use fromdate and todate"},
    {"gsub", "it does not end when it matches nothing; use split and join"},
    {"halt", "it ends the program"},
    {"halt_error", "it ends the program; use error"},
    {"implode", "use join"},
    {"infinite", NO_NUMBER},
    {"input", READS_PROCESS "; a saga's input is .input"},
    {"input_filename", READS_PROCESS},
    {"input_line_number", READS_PROCESS},
    {"inputs", READS_PROCESS "; a saga's input is .input"},
    {"localtime", CLOCK},
    {"mktime", "use fromdate"},
    {"modulemeta", READS_PROCESS},
    {"nan", NO_NUMBER},
    {"now", CLOCK},
    {"recurse", NO_END "; name the path"},
    {"recurse_down", NO_END "; name the path"},
    {"repeat", NO_END},
    {"stderr", READS_PROCESS},
    {"strflocaltime", CLOCK},
    {"strftime", "use todate"},
    {"strptime", "use fromdate"},
    {"sub", "it does not end when it matches nothing; use split and join"},
    {"until", NO_END "; use reduce or foreach"},
    {"while", NO_END "; use reduce or foreach"},
    {"cos", MACHINE},
    {"exp", MACHINE},
    {"exp10", MACHINE},
    {"exp2", MACHINE},
    {"log", MACHINE},
    {"log10", MACHINE},
    {"log2", MACHINE},
    {"sin", MACHINE},
    {"tan", MACHINE},
};
enum { REFUSED = sizeof(refused) / sizeof(refused[0]) };

static const struct refused refused_keywords[] = {
    {"def", "expressions define no functions; put the work into an operation"},
    {"import", "an expression stands alone"},
    {"include", "an expression stands alone"},
    {"module", "an expression stands alone"},
};

static const struct refused refused_variables[] = {
    {"ENV", READS_PROCESS},
    {"__loc__", "it is a line of the compiled program, which another version makes another"},
    {"__prog_args", READS_PROCESS},
};

/* These look at no value of their own: what is evaluated in their arguments sees the same `.`. */
static const char *const passing[] = {"empty", "false", "isempty", "limit",
                                      "null",  "range", "true"};
static const char *const passing_with_arguments[] = {"error", "first", "last"};

static const char *const formats[] = {"text", "json", "html", "uri", "csv", "tsv", "sh", "base64"};

static bool same(const char *word, const char *name, size_t size)
{
    return strlen(word) == size && memcmp(word, name, size) == 0;
}

static bool is_one_of(const char *const *words, size_t count, const char *name, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (same(words[i], name, size))
            return true;
    }
    return false;
}

static const char *reason(const struct refused *list, size_t count, const char *name, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        if (same(list[i].name, name, size))
            return list[i].why;
    }
    return NULL;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum builtin_use builtin_look(const char *name, size_t size, bool arguments, const char **why)
{
    *why = reason(refused, REFUSED, name, size);
    if (*why)
        return BUILTIN_REFUSED;
    if (!is_one_of(allowed, ALLOWED, name, size)) {
        char typed[LIMIT_WORD_BYTES + 1];
        snprintf(typed, sizeof(typed), "%.*s", (int)size, name);
        *why = error_nearest(typed, allowed, ALLOWED);
        return BUILTIN_UNKNOWN;
    }
    if (is_one_of(passing, COUNT(passing), name, size))
        return BUILTIN_PASSES_DOT;
    if (arguments && is_one_of(passing_with_arguments, COUNT(passing_with_arguments), name, size))
        return BUILTIN_PASSES_DOT;
    return BUILTIN_READS_DOT;
}

const char *keyword_refused(const char *name, size_t size)
{
    return reason(refused_keywords, COUNT(refused_keywords), name, size);
}

const char *variable_refused(const char *name, size_t size)
{
    return reason(refused_variables, COUNT(refused_variables), name, size);
}

bool format_known(const char *name, size_t size)
{
    return is_one_of(formats, COUNT(formats), name, size);
}

#define NUMBER_OF(value) #value
#define TEXT_OF(value)   NUMBER_OF(value)

/* A definition of jq's own name after one of ours that still means the original: a function that
 * called itself would be recursive. The order in which several results come stays jq's.
 *  range      could run for ever, or where a step is lost in a large number
 *  *          could repeat a text beyond all memory
 *  * / sqrt pow tonumber fromjson   could give a number that is none (NaN) or infinite, which ends
 *             the process when it is used as an index
 *  %          ends the process for some large numbers
 *  = |= etc.  could make an array of any size by writing to a large index
 *  index      does not end for an empty text
 *  todate     ends the process for a time beyond the calendar */
const char builtin_prelude[] = "def troth__most: " TEXT_OF(
    LIMIT_SAGA_ITEMS) ";\n"
                      "def troth__exact: (isnan | not) and fabs <= 9007199254740991;\n"
                      "def troth__range($a; $b): range($a; $b);\n"
                      "def range($a; $b): if ($a | troth__exact) and ($b | troth__exact) and $b - "
                      "$a <= troth__most"
                      " then troth__range($a; $b) else error(\"range() gives more than "
                      "\\(troth__most) numbers\") end;"
                      "\n"
                      "def range($b): range(0; $b);\n"
                      "def range($a; $b; $by): if $by == 0 then error(\"range() with a step of 0\")"
                      " else range(0; ($b - $a) / $by) | $a + . * $by end;\n"
                      "def troth__number: if type == \"number\" and (isnan or fabs > 1e300)"
                      " then error(\"the result is not a number that can be computed with\") else "
                      ". end;\n"
                      "def troth__times($a; $b): $a * $b;\n"
                      "def troth__repeats($a; $b): if ($a | type) == \"string\" and ($b | type) == "
                      "\"number\""
                      " then ($a | utf8bytelength) * $b > " TEXT_OF(
                          LIMIT_SAGA_REPEATED_BYTES) " else false end;\n"
                                                     "def _multiply(a; b): b as $b | a as $a |"
                                                     " if troth__repeats($a; $b) or "
                                                     "troth__repeats($b; $a)"
                                                     " then error(\"a text is repeated too "
                                                     "often\") else troth__times($a; $b) | "
                                                     "troth__number end;\n"
                                                     "def troth__divide($a; $b): $a / $b;\n"
                                                     "def _divide(a; b): b as $b | a as $a | "
                                                     "troth__divide($a; $b) | troth__number;\n"
                                                     "def troth__mod($a; $b): $a % $b;\n"
                                                     "def _mod(a; b): b as $b | a as $a | if ($a | "
                                                     "troth__exact) and ($b | troth__exact)"
                                                     " then troth__mod($a; $b) else error(\"% "
                                                     "needs whole numbers below 2^53\") end;\n"
                                                     "def troth__sqrt: sqrt;\n"
                                                     "def sqrt: troth__sqrt | troth__number;\n"
                                                     "def troth__pow(a; b): pow(a; b);\n"
                                                     "def pow(a; b): troth__pow(a; b) | "
                                                     "troth__number;\n"
                                                     "def troth__tonumber: tonumber;\n"
                                                     "def tonumber: troth__tonumber | "
                                                     "troth__number;\n"
                                                     "def troth__fromjson: fromjson;\n"
                                                     "def fromjson: troth__fromjson | if "
                                                     "isempty(.. | numbers | select(isnan or fabs "
                                                     "> 1e300))"
                                                     " then . else error(\"a number in the text "
                                                     "can't be computed with\") end;\n"
                                                     "def troth__path($p): if any($p[]; type == "
                                                     "\"number\" and . > troth__most)"
                                                     " then error(\"an index over "
                                                     "\\(troth__most)\") else . end;\n"
                                                     "def troth__setpath($p; $v): setpath($p; "
                                                     "$v);\n"
                                                     "def setpath(p; v): p as $p | v as $v | "
                                                     "troth__path($p) | troth__setpath($p; $v);\n"
                                                     "def _assign(paths; $v): reduce path(paths) "
                                                     "as $p (.; setpath($p; $v));\n"
                                                     "def _modify(paths; update): reduce "
                                                     "path(paths) as $p (.; label $out |"
                                                     " (setpath($p; getpath($p) | update) | ., "
                                                     "break $out), delpaths([$p]));\n"
                                                     "def troth__indices($i): indices($i);\n"
                                                     "def indices($i): if $i == \"\" then "
                                                     "error(\"an empty text is everywhere\")"
                                                     " else troth__indices($i) end;\n"
                                                     "def index($i): indices($i) | .[0];\n"
                                                     "def rindex($i): indices($i) | .[-1:][0];\n"
                                                     "def troth__todate: todate;\n"
                                                     "def todate: if type == \"number\" and . >= "
                                                     "-62135596800 and . <= 253402300799"
                                                     " then troth__todate else error(\"todate "
                                                     "needs seconds since 1970, up to the year "
                                                     "9999\") end;\n"
                                                     "def todateiso8601: todate;\n";
