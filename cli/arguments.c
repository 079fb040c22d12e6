#include "cli/arguments.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/print.h"
#include "core/check.h"
#include "io/nano.h"
#include "io/yaml.h"

#define COORDINATOR_DEFAULT "tcp://127.0.0.1:7400"

enum { FLAGS_MAX = 16 };

/* Given before the command's name or after it; the last one counts. */
static struct {
    const char *coordinator, *timeout;
    bool json, help, version;
} given;

static const struct flag global_flags[] = {
    {"--coordinator", NULL, &given.coordinator, NULL},
    {"--timeout", NULL, &given.timeout, NULL},
    {"--json", NULL, NULL, &given.json},
    {"--help", "-h", NULL, &given.help},
    {"--version", NULL, NULL, &given.version},
    {NULL, NULL, NULL, NULL},
};

void command_help(const struct command *command)
{
    printf("Usage: troth %s%s%s\n\n%s", command->name, *command->usage ? " " : "", command->usage,
           command->help);
}

void print_version(void)
{
    printf("troth %s\n", TROTH_VERSION);
}

int arguments_refuse(const struct command *command, const char *format, ...)
{
    char line[600];
    va_list list;
    va_start(list, format);
    vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    struct error error = {0};
    error_set(&error, ERROR_USAGE, "%s", line);
    error_hint(&error, "troth %s%s--help tells more", command ? command->name : "",
               command ? " " : "");
    return print_failure(&(struct options){.json = given.json}, &error);
}

static const struct flag *find_in(const struct flag *flags, const char *word, size_t size)
{
    for (; flags && flags->name; flags++) {
        if (strlen(flags->name) == size && memcmp(flags->name, word, size) == 0)
            return flags;
        if (flags->letter && strlen(flags->letter) == size &&
            memcmp(flags->letter, word, size) == 0)
            return flags;
    }
    return NULL;
}

static bool unknown_flag(const struct command *command, const struct flag *own, const char *word,
                         size_t size)
{
    const char *names[FLAGS_MAX];
    int count = 0;
    for (const struct flag *flag = own; flag && flag->name && count < FLAGS_MAX; flag++)
        names[count++] = flag->name;
    for (const struct flag *flag = global_flags; flag->name && count < FLAGS_MAX; flag++)
        names[count++] = flag->name;
    char *typed = xstrndup(word, size);
    const char *near = error_nearest(typed, names, count);
    if (near)
        arguments_refuse(command, "unknown flag \"%.60s\"; did you mean \"%s\"?", typed, near);
    else
        arguments_refuse(command, "unknown flag \"%.60s\"", typed);
    free(typed);
    return false;
}

static bool begins_with_digit(const char *word)
{
    return *word >= '0' && *word <= '9';
}

/* Takes the flag at argv[*at], and moves *at to its last word. */
static bool take_flag(const struct command *command, const struct flag *own, int argc, char **argv,
                      int *at)
{
    const char *word = argv[*at];
    const char *equals = strchr(word, '=');
    size_t size = equals ? (size_t)(equals - word) : strlen(word);
    const struct flag *flag = find_in(own, word, size);
    if (!flag)
        flag = find_in(global_flags, word, size);
    if (!flag)
        return unknown_flag(command, own, word, size);
    if (!flag->value) {
        if (equals)
            return arguments_refuse(command, "%s takes no value", flag->name) == EXIT_DONE;
        *flag->given = true;
        return true;
    }
    bool optional = flag->given != NULL;
    if (optional)
        *flag->given = true;
    if (optional && !equals && !(*at + 1 < argc && begins_with_digit(argv[*at + 1])))
        return true;
    if (!equals && ++*at == argc)
        return arguments_refuse(command, "%s needs a value", flag->name) == EXIT_DONE;
    *flag->value = equals ? equals + 1 : argv[*at];
    /* As of a variable that is not set: to go on with a default would be a guess. */
    if (!**flag->value)
        return arguments_refuse(command, "%s: its value is empty", flag->name) == EXIT_DONE;
    return true;
}

static bool read_options(struct arguments *arguments)
{
    struct options *options = &arguments->options;
    options->json = given.json;
    options->coordinator = given.coordinator;
    const char *from = "--coordinator";
    options->coordinator_from = NAMED_BY_FLAG;
    if (!options->coordinator) {
        from = "TROTH_COORDINATOR";
        options->coordinator = getenv("TROTH_COORDINATOR");
        options->coordinator_from = NAMED_BY_VARIABLE;
    }
    if (!options->coordinator || !*options->coordinator) {
        options->coordinator = COORDINATOR_DEFAULT;
        options->coordinator_from = NAMED_BY_NOBODY;
    }
    struct error error = {0};
    if (!nano_address_check(options->coordinator, false, &error)) {
        char *prefixed = xasprintf("%s: %s", from, error.message);
        snprintf(error.message, sizeof(error.message), "%s", prefixed);
        free(prefixed);
        print_error(&error);
        return false;
    }
    if (given.timeout && !duration_parse(given.timeout, &options->timeout_us))
        return arguments_refuse(arguments->command,
                                "--timeout: \"%.60s\" is not a duration such as 500ms, 30s or 5m",
                                given.timeout) == EXIT_DONE;
    if (given.timeout && (options->timeout_us < 1000 || options->timeout_us > 86400000000ull))
        return arguments_refuse(arguments->command, "--timeout: %.60s is not from 1ms to 1d",
                                given.timeout) == EXIT_DONE;
    return true;
}

/* While it is set, no command does anything. */
static struct {
    void (*flag)(void *self, const struct flag *flag);
    void *self;
    bool told;
} teller;

static void tell_all(const struct flag *flags, void (*tell)(void *self, const struct flag *flag),
                     void *self)
{
    for (; flags && flags->name; flags++)
        tell(self, flags);
}

void arguments_tell_globals(void (*tell)(void *self, const struct flag *flag), void *self)
{
    tell_all(global_flags, tell, self);
}

void arguments_tell(const struct command *command,
                    void (*tell)(void *self, const struct flag *flag), void *self)
{
    char *none[] = {NULL};
    teller.flag = tell;
    teller.self = self;
    teller.told = false;
    CHECK(command->run(command, 0, none) == EXIT_DONE && teller.told);
    teller.flag = NULL;
}

bool arguments_parse(struct arguments *arguments, int argc, char **argv)
{
    if (teller.flag) {
        tell_all(arguments->flags, teller.flag, teller.self);
        teller.told = arguments->help = true;
        return true;
    }
    arguments->words = argv;
    bool flags_end = false;
    for (int at = 0; at < argc; at++) {
        bool is_flag = !flags_end && argv[at][0] == '-' && argv[at][1];
        if (is_flag && strcmp(argv[at], "--") == 0)
            flags_end = true;
        else if (!is_flag)
            argv[arguments->word_count++] = argv[at];
        else if (!take_flag(arguments->command, arguments->flags, argc, argv, &at))
            return false;
    }
    if (given.help || given.version) {
        if (given.version)
            print_version();
        else
            command_help(arguments->command);
        arguments->help = true;
        return true;
    }
    return read_options(arguments);
}

int arguments_skip_globals(int argc, char **argv, bool *help, bool *version)
{
    int at = 0;
    while (at < argc && argv[at][0] == '-' && argv[at][1]) {
        if (!take_flag(NULL, NULL, argc, argv, &at))
            return -1;
        at++;
    }
    *help = *help || given.help;
    *version = *version || given.version;
    return at;
}
