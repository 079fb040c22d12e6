/* troth completion: what a shell needs to complete the words of troth. All of it comes from the
 * table of commands: their flags from those that they parse, the values from what usage and help
 * say of them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/commands.h"
#include "core/check.h"

/* ---- what the texts say of a value -------------------------------------------------------- */

/* Texts with a space between them, a new one. */
static char *join(char *list, const char *word, size_t size)
{
    char *longer = xasprintf("%s%s%.*s", list, *list ? " " : "", (int)size, word);
    free(list);
    return longer;
}

/* "FILE" and "DIR" are paths; words of small letters are the values themselves, with | between
 * them: "bash|zsh". What else is in capitals nobody can complete. */
static char *kind_of(char *kind, const char *word, size_t size)
{
    static const struct {
        const char *name, *kind;
    } paths[] = {{"FILE", "file"}, {"FILE...", "file"}, {"FILE,...", "file"}, {"DIR", "dir"}};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        if (strlen(paths[i].name) == size && memcmp(paths[i].name, word, size) == 0)
            return *kind ? kind : join(kind, paths[i].kind, strlen(paths[i].kind));
    }
    if (strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789|") < size)
        return kind;
    for (size_t at = 0; at < size;) {
        size_t length = strcspn(word + at, "|");
        length = length < size - at ? length : size - at;
        kind = join(kind, word + at, length);
        at += length + 1;
    }
    return kind;
}

/* The lines of a help that begin with a flag are "  -f, --file FILE  text": after the name one
 * space and the value, or more and the text. A flag has a line for each value that is a word. */
static char *kind_of_flag(const char *help, const char *name)
{
    char *kind = xstrdup("");
    size_t size = strlen(name);
    for (const char *line = help; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, "  -", 3) != 0)
            continue;
        const char *end = line + strcspn(line, "\n");
        const char *at = memmem(line, (size_t)(end - line), name, size);
        if (!at || at[-1] != ' ' || at[size] != ' ' || at[size + 1] == ' ')
            continue;
        at += size + 1;
        kind = kind_of(kind, at, strcspn(at, " \n"));
    }
    return kind;
}

/* Of what is no flag and no flag's value. */
static char *kind_of_words(const char *usage)
{
    char *kind = xstrdup("");
    bool value = false;
    for (const char *at = usage; *at;) {
        at += strspn(at, " []");
        size_t size = strcspn(at, " []");
        if (*at == '-')
            value = at[size] == ' ';
        else if (*at == '|' && size == 1)
            value = false;
        else if (value)
            value = false;
        else if (strncmp(at, "flags", size) != 0)
            kind = kind_of(kind, at, size);
        at += size;
    }
    return kind;
}

/* ---- the tables that both shells read ----------------------------------------------------- */

struct list {
    const char *command, *help; /* command: how the pattern of a shell's case begins */
    bool values; /* print a line for each flag that takes a value, else the names of all */
};

static void print_flag(void *self, const struct flag *flag)
{
    const struct list *list = self;
    if (!list->values) {
        printf(" %s", flag->name);
        return;
    }
    /* One whose value may be left out goes without. */
    if (!flag->value || flag->given)
        return;
    char *kind = kind_of_flag(list->help, flag->name);
    printf("    %s %s'", list->command, flag->name);
    if (flag->letter)
        printf(" | %s %s'", list->command, flag->letter);
    printf(") kind='%s' ;;\n", *kind ? kind : "any");
    free(kind);
}

static void print_tables(void)
{
    puts("_troth_commands='");
    for (int i = 0; i < command_count; i++)
        puts(commands[i]->name);
    puts("'\n\n# Sets flags: those of a command.\n_troth_flags_of() {\n    case $1 in");
    for (int i = 0; i < command_count; i++) {
        printf("    '%s') flags='", commands[i]->name);
        arguments_tell(commands[i], print_flag, &(struct list){0});
        puts("' ;;");
    }
    fputs("    esac\n    flags=\"$flags", stdout);
    arguments_tell_globals(print_flag, &(struct list){0});
    puts("\"\n}\n\n"
         "# Sets kind: what the value of a command's flag is. Unchanged: the flag takes none.\n"
         "_troth_value_of() {\n    case \"$1 $2\" in");
    for (int i = 0; i < command_count; i++) {
        char *name = xasprintf("'%s", commands[i]->name);
        arguments_tell(commands[i], print_flag, &(struct list){name, commands[i]->help, true});
        free(name);
    }
    arguments_tell_globals(print_flag, &(struct list){"*'", help_flags, true});
    puts("    esac\n}\n\n"
         "# Sets kind: what the words of a command are. Unchanged: it is no command.\n"
         "_troth_words_of() {\n    case $1 in");
    for (int i = 0; i < command_count; i++) {
        char *kind = kind_of_words(commands[i]->usage);
        printf("    '%s') kind='%s' ;;\n", commands[i]->name, *kind ? kind : "any");
        free(kind);
    }
    puts("    esac\n}\n");
}

/* ---- the shells --------------------------------------------------------------------------- */

/* Goes over the words before the one that is completed, which are in the positional parameters.
 * Sets command, as far as it is there, and flag: the one whose value comes next. */
static const char walk[] =
    "_troth_walk() {\n"
    "    local word kind\n"
    "    for word in \"$@\"; do\n"
    "        kind=\n"
    "        if [[ -n $flag ]]; then flag=; continue; fi\n"
    "        case $word in\n"
    "        --*=*) ;;\n"
    "        -*) _troth_value_of \"$command\" \"$word\"; [[ -z $kind ]] || flag=$word ;;\n"
    "        *) _troth_words_of \"$command\"; [[ -n $kind ]] || command=${command:+$command }$word "
    ";;\n"
    "        esac\n"
    "    done\n"
    "}\n"
    "\n"
    "# Sets words: those that may come after the words of a command that are there.\n"
    "_troth_next() {\n"
    "    local name rest\n"
    "    while read -r name; do\n"
    "        rest=${name#\"${command:+$command }\"}\n"
    "        [[ $rest = \"$name\" && -n $command ]] || words=\"$words ${rest%% *}\"\n"
    "    done <<EOF\n"
    "$_troth_commands\n"
    "EOF\n"
    "}\n";

static const char bash_driver[] =
    "_troth() {\n"
    "    local line=${COMP_LINE:0:COMP_POINT} current command= flag= flags= kind= words=\n"
    "    local -a given\n"
    "    read -ra given <<<\"$line\"\n"
    "    [[ $line != *[[:blank:]] ]] || given+=('')\n"
    "    current=${given[${#given[@]} - 1]}\n"
    "    _troth_walk \"${given[@]:1:${#given[@]}-2}\"\n"
    "    if [[ -z $flag && $current == --*=* ]]; then\n"
    "        flag=${current%%=*}\n"
    "        current=${current#*=}\n"
    "    fi\n"
    "    if [[ -n $flag ]]; then\n"
    "        _troth_value_of \"$command\" \"$flag\"\n"
    "    else\n"
    "        _troth_words_of \"$command\"\n"
    "    fi\n"
    "    COMPREPLY=()\n"
    "    if [[ -z $flag && $current == -* ]]; then\n"
    "        _troth_flags_of \"$command\"\n"
    "        words=$flags\n"
    "    elif [[ -z $kind ]]; then\n"
    "        _troth_next\n"
    "    elif [[ $kind == file || $kind == dir ]]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        local option=-f\n"
    "        [[ $kind == file ]] || option=-d\n"
    "        while IFS= read -r line; do COMPREPLY+=(\"$line\"); done \\\n"
    "            < <(compgen \"$option\" -- \"$current\")\n"
    "        return\n"
    "    elif [[ $kind != any ]]; then\n"
    "        words=$kind\n"
    "    fi\n"
    "    while IFS= read -r line; do COMPREPLY+=(\"$line\"); done < <(compgen -W \"$words\" -- "
    "\"$current\")\n"
    "}\n"
    "complete -F _troth troth\n";

static const char zsh_driver[] =
    "_troth() {\n"
    "    local current=${words[CURRENT]} command= flag= flags= kind= given=\n"
    "    local -a before\n"
    "    before=(\"${(@)words[2,CURRENT-1]}\")\n"
    "    _troth_walk \"${before[@]}\"\n"
    "    if [[ -z $flag && $current == --*=* ]]; then\n"
    "        flag=${current%%=*}\n"
    "        compset -P '*='\n"
    "    fi\n"
    "    if [[ -n $flag ]]; then\n"
    "        _troth_value_of \"$command\" \"$flag\"\n"
    "    else\n"
    "        _troth_words_of \"$command\"\n"
    "    fi\n"
    "    if [[ -z $flag && $current == -* ]]; then\n"
    "        _troth_flags_of \"$command\"\n"
    "        compadd -- ${=flags}\n"
    "    elif [[ -z $kind ]]; then\n"
    "        local words=\n"
    "        _troth_next\n"
    "        compadd -- ${=words}\n"
    "    elif [[ $kind == file ]]; then\n"
    "        _files\n"
    "    elif [[ $kind == dir ]]; then\n"
    "        _files -/\n"
    "    elif [[ $kind != any ]]; then\n"
    "        compadd -- ${=kind}\n"
    "    fi\n"
    "}\n"
    "if [[ $funcstack[1] == _troth ]]; then _troth \"$@\"; else compdef _troth troth; fi\n";

static int run_completion(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.command = self};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "completion needs the name of a shell: bash or zsh");
    bool bash = strcmp(arguments.words[0], "bash") == 0;
    if (!bash && strcmp(arguments.words[0], "zsh") != 0)
        return arguments_refuse(self, "completion: \"%.60s\" is not bash or zsh",
                                arguments.words[0]);
    if (bash)
        puts("# bash completion of troth, as `troth completion bash` prints it.\n");
    else
        puts("#compdef troth\n# zsh completion of troth, as `troth completion zsh` prints it.\n");
    print_tables();
    puts(walk);
    fputs(bash ? bash_driver : zsh_driver, stdout);
    return EXIT_DONE;
}

const struct command completion_command = {
    .name = "completion",
    .usage = "bash|zsh",
    .summary = "print the completion for a shell",
    .help = "Prints what makes the shell complete commands, flags, and values that are known\n"
            "beforehand. An installation has it in place already; else\n"
            "\n"
            "  bash   eval \"$(troth completion bash)\"               in ~/.bashrc\n"
            "  zsh    troth completion zsh >~/.zfunc/_troth          with ~/.zfunc in fpath\n"
            "\n"
            "Example:\n"
            "  eval \"$(troth completion bash)\"\n",
    .run = run_completion,
};
