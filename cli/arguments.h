/* The words of a command line: flags, which may stand anywhere, and the rest. */
#ifndef TROTH_CLI_ARGUMENTS_H
#define TROTH_CLI_ARGUMENTS_H

#include "cli/cli.h"
#include "core/error.h"

/* A flag of a command, besides those that every command takes. */
struct flag {
    const char *name;   /* "--key" */
    const char *letter; /* "-f", or NULL */
    const char **value; /* where its value goes; NULL: it takes none, and `given` is set */
    /* With `value` too, the value may be left out: the next word is it when it begins with a digit.
     */
    bool *given;
};

struct arguments {
    const struct command *command;
    const struct flag *flags; /* ends with a NULL name */
    struct options options;
    bool help; /* it or the version was printed: the command ends with EXIT_DONE */
    char **words;
    int word_count;
};

/* Parses `--flag value`, `--flag=value`, `--`; unknown flags name the nearest. The words that are
 * no flags are moved to the front of argv. On false a message was printed. */
bool arguments_parse(struct arguments *arguments, int argc, char **argv);

/* A mistake in the words: prints it with the place to read more. Returns EXIT_USAGE. */
int arguments_refuse(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first of argv that is no global flag: its index, or argc. Flags before a command's name may
 * only be those that every command takes. help and version are set when asked for. Negative: a
 * message was printed. */
int arguments_skip_globals(int argc, char **argv, bool *help, bool *version);

/* Runs a command only as far as arguments_parse, which tells its flags in place of parsing. */
void arguments_tell(const struct command *command,
                    void (*tell)(void *self, const struct flag *flag), void *self);
/* Those that every command takes. */
void arguments_tell_globals(void (*tell)(void *self, const struct flag *flag), void *self);

void command_help(const struct command *command);
void print_version(void);

#endif
