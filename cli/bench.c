/* troth bench: a mix of transactions and sagas, again and again, and how long they take. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cli/arguments.h"
#include "cli/bench_load.h"
#include "cli/bench_report.h"
#include "cli/given.h"
#include "cli/print.h"
#include "cli/saga_offers.h"
#include "core/check.h"

typedef char run_text[16];

/* Of the time, so that later ones sort behind earlier ones. */
static void run_name(run_text out)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t ms = (uint64_t)wall_now_us() / 1000;
    size_t size = 0;
    for (uint64_t rest = ms; rest; rest /= 36)
        size++;
    out[size] = '\0';
    for (; ms; ms /= 36)
        out[--size] = digits[ms % 36];
}

/* Calls that nobody offers are told before anything is sent, all at once. */
static bool check_calls(struct bench_plan *plan, struct yaml *yaml, const struct options *options,
                        struct error *error)
{
    struct catalogue catalogue = {0};
    bool good = saga_offers(options, &catalogue, error);
    if (good) {
        bench_plan_check(plan, yaml, &catalogue);
        good = yaml_check(yaml, error);
    }
    catalogue_fini(&catalogue);
    return good;
}

static int measure(struct bench_plan *plan, const struct options *options)
{
    struct bench_load load;
    struct error error = {0};
    int code;
    if (bench_load_run(&load, plan, options, &error)) {
        for (int i = 0; i < plan->entry_count; i++)
            bench_figures_sort(&load.figures[i]);
        (options->json ? bench_report_json : bench_report)(&load);
        code = bench_exit(&load);
    } else {
        code = print_failure(options, &error);
    }
    bench_load_fini(&load);
    return code;
}

static int bench(const char *path, struct bench_flags *flags, const struct options *options)
{
    struct error error = {0};
    struct bench_plan plan;
    run_text run;
    uint64_t seed;
    struct yaml *yaml = file_or_stdin(path, &error);
    if (!yaml)
        return print_failure(options, &error);
    run_name(run);
    CHECK(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
    flags->deadline_us = options->timeout_us;
    bench_plan_read(&plan, yaml, run, seed);
    bool good = yaml_check(yaml, &error) && bench_plan_override(&plan, flags, &error) &&
                check_calls(&plan, yaml, options, &error);
    int code = good ? measure(&plan, options) : print_failure(options, &error);
    bench_plan_fini(&plan);
    yaml_free(yaml);
    return code;
}

static int run_bench(const struct command *self, int argc, char **argv)
{
    struct bench_flags values = {0};
    const struct flag flags[] = {{"--in-flight", NULL, &values.in_flight, NULL},
                                 {"--duration", NULL, &values.duration, NULL},
                                 {"--count", NULL, &values.count, NULL},
                                 {"--rate", NULL, &values.rate, NULL},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "bench takes one FILE");
    return bench(arguments.words[0], &values, &arguments.options);
}

const struct command bench_command = {
    .name = "bench",
    .usage = "FILE [flags]",
    .summary = "make a load of transactions and sagas, and measure it",
    .help = "Begins what FILE says (- is stdin) again and again, and shows how many were\n"
            "done, how long they took, and why others were not. It really does them: give it\n"
            "databases of their own. On a terminal a line shows how it goes; Ctrl-C ends it\n"
            "early, with the figures so far.\n"
            "\n"
            "  --in-flight N        so many at a time (the file's in_flight; else 16)\n"
            "  --duration DURATION  measure so long (the file's duration; else 10s)\n"
            "  --count N            or so many\n"
            "  --rate N/s           begin so many a second (/m, /h), whatever becomes of them\n"
            "  --timeout DURATION   the deadline of each\n"
            "\n"
            "Without a rate the next begins when one has ended, so a slow answer also delays\n"
            "those behind it, and the slow are counted too rarely. With a rate each is due\n"
            "at its time, and its latency counts from then on; in_flight bounds those that\n"
            "are under way. What is refused waits 10ms for its next try.\n"
            "\n"
            "The file is YAML: in_flight; duration or count; warm_up, whose requests are not\n"
            "measured; rate; values; and mix, a list. Of each entry of it: name, weight (how\n"
            "often, among the others), deadline, key; for a transaction branches, protocol\n"
            "and wait as in a file of troth submit; for a saga saga, input, and wait: ended\n"
            "(default) or started. In what is sent, and in keys, stand generated values:\n"
            "\n"
            "  \"${ seq }\"             the number of the request: 1, 2, 3 ...\n"
            "  \"${ random(1, 100) }\"  by chance; random(0.01, 9.99) has two decimals\n"
            "  \"${ cycle(1, 100) }\"   one after the other, and again from the first\n"
            "  \"${ pick(ada, bob) }\"  one of them by chance\n"
            "  \"${ uuid }\"            a text that is new\n"
            "  \"${ run }\"             a text that is new in each run of troth bench\n"
            "  \"${ NAME }\"            one of `values`, drawn once a request\n"
            "\n"
            "Alone it is a number or a text, as it comes; with text around it, as in\n"
            "\"o-${ run }-${ seq }\", a text. text(seq) is a number as a text; $${ a mere ${.\n"
            "\n"
            "Exit code: 0 measured, and aborts are figures, too; 1 not one was done; 2 a\n"
            "mistake in the words or the file, or what it asks for nobody offers; 3 nobody\n"
            "answers; 5 of some it is not known how they ended.\n"
            "\n"
            "Examples:\n"
            "  troth bench bench.yaml\n"
            "  troth bench bench.yaml --rate 200/s --duration 1m --json >figures.json\n"
            "\n"
            "  # bench.yaml\n"
            "  in_flight: 16\n"
            "  duration: 30s\n"
            "  warm_up: 5s\n"
            "  values: {order: \"b-${ run }-${ seq }\", amount: \"${ random(1.00, 9.99) }\"}\n"
            "  mix:\n"
            "    - name: purchase\n"
            "      weight: 9\n"
            "      branches:\n"
            "        - call: payments.charge\n"
            "          with: {order_id: \"${ order }\", customer: ada, amount: \"${ amount }\"}\n"
            "        - call: inventory.reserve\n"
            "          with: {order_id: \"${ order }\", sku: \"${ pick(lamp, desk) }\",\n"
            "                 quantity: 1}\n"
            "    - saga: place-order\n"
            "      input: {order_id: \"${ order }\", customer: ada, sku: lamp, quantity: 1,\n"
            "              amount: \"${ amount }\"}\n",
    .run = run_bench,
};
