/* troth: the command line. Finds the command that the words name, and runs it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/cli.h"
#include "cli/commands.h"
#include "cli/print.h"
#include "core/check.h"
#include "io/log.h"

static void print_commands(FILE *file, const char *noun)
{
    size_t size = noun ? strlen(noun) : 0;
    for (int i = 0; i < command_count; i++) {
        const char *name = commands[i]->name;
        if (!noun || (strncmp(name, noun, size) == 0 && name[size] == ' '))
            fprintf(file, "  %-18s %s\n", name, commands[i]->summary);
    }
}

static void short_help(FILE *file)
{
    fprintf(file, "Usage: troth COMMAND ...\n\n");
    print_commands(file, NULL);
    fprintf(file, "\ntroth --help tells more; troth COMMAND --help tells all of one command.\n");
}

static void long_help(void)
{
    printf("troth: one business action over several PostgreSQL databases, all or nothing.\n"
           "\n"
           "Usage: troth [flags] COMMAND ...\n"
           "\n");
    print_commands(stdout, NULL);
    printf("\nFlags, before or after a command:\n%s"
           "\nExit codes:\n%s"
           "\nExamples:\n%s",
           help_flags, help_exit_codes, help_examples);
}

static bool is_noun(const char *word)
{
    size_t size = strlen(word);
    for (int i = 0; i < command_count; i++) {
        if (strncmp(commands[i]->name, word, size) == 0 && commands[i]->name[size] == ' ')
            return true;
    }
    return false;
}

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < command_count; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    }
    return NULL;
}

/* The only command with this verb: "saga start" for "start"; or NULL. */
static const char *command_of_verb(const char *verb)
{
    const char *found = NULL;
    for (int i = 0; i < command_count; i++) {
        const char *space = strchr(commands[i]->name, ' ');
        if (!space || strcmp(space + 1, verb) != 0)
            continue;
        if (found)
            return NULL;
        found = commands[i]->name;
    }
    return found;
}

/* Tells the nearest first word, or the nearest verb of the noun. */
static int unknown_command(const char *noun, const char *word)
{
    char **firsts = xcalloc((size_t)command_count, sizeof(*firsts));
    const char **words = xcalloc((size_t)command_count, sizeof(*words));
    int count = 0;
    for (int i = 0; i < command_count; i++) {
        const char *name = commands[i]->name, *space = strchr(name, ' ');
        if (noun && !(space && strncmp(name, noun, strlen(noun)) == 0))
            continue;
        firsts[count] = noun ? xstrdup(space + 1) : xstrndup(name, strcspn(name, " "));
        words[count] = firsts[count];
        count++;
    }
    const char *near = noun ? NULL : command_of_verb(word);
    near = near ? near : error_nearest(word, words, count);
    const char *prefix = noun ? noun : "", *space = noun ? " " : "";
    char *hint = near ? xasprintf("; did you mean \"%s%s%s\"?", prefix, space, near) : xstrdup("");
    fputs("troth: unknown command \"", stderr);
    fprintf(stderr, "%s%s", prefix, space);
    print_escaped(stderr, word);
    fprintf(stderr, "\"%s\n  hint: troth %s%s--help lists the commands\n", hint, prefix, space);
    free(hint);
    for (int i = 0; i < count; i++)
        free(firsts[i]);
    free(firsts);
    free(words);
    return EXIT_USAGE;
}

static int noun_alone(const char *noun, bool help)
{
    FILE *file = help ? stdout : stderr;
    if (!help)
        fprintf(file, "troth: %s needs to know what to do\n\n", noun);
    fprintf(file, "Usage: troth %s COMMAND ...\n\n", noun);
    print_commands(file, noun);
    fprintf(file, "\ntroth %s COMMAND --help tells all of one command.\n", noun);
    return help ? EXIT_DONE : EXIT_USAGE;
}

static int dispatch(int argc, char **argv)
{
    bool help = false, version = false;
    int at = arguments_skip_globals(argc, argv, &help, &version);
    if (at < 0)
        return EXIT_USAGE;
    if (version) {
        print_version();
        return EXIT_DONE;
    }
    if (at < argc && strcmp(argv[at], "help") == 0) { /* troth help tx list */
        help = true;
        at++;
    }
    if (at == argc && help) {
        long_help();
        return EXIT_DONE;
    }
    if (at == argc) {
        short_help(stderr);
        return EXIT_USAGE;
    }
    const char *word = argv[at++];
    const struct command *command = find_command(word);
    if (!command && !is_noun(word))
        return unknown_command(NULL, word);
    if (!command) {
        int more = arguments_skip_globals(argc - at, argv + at, &help, &version);
        if (more < 0)
            return EXIT_USAGE;
        at += more;
        if (version) {
            print_version();
            return EXIT_DONE;
        }
        if (at == argc)
            return noun_alone(word, help);
        char *name = xasprintf("%s %s", word, argv[at]);
        command = find_command(name);
        free(name);
        if (!command)
            return unknown_command(word, argv[at]);
        at++;
    }
    if (help) {
        command_help(command);
        return EXIT_DONE;
    }
    return command->run(command, argc - at, argv + at);
}

int main(int argc, char **argv)
{
    log_hold_standard_files();
    int code = dispatch(argc - 1, argv + 1);
    errno = 0;
    if ((fflush(stdout) != 0 || ferror(stdout)) && errno != EPIPE) {
        fprintf(stderr, "troth: the answer can't be written: %s\n", strerror(errno));
        return code == EXIT_DONE ? EXIT_UNKNOWN : code;
    }
    return code;
}
