/* All commands, and what the help says of all of them together. */
#ifndef TROTH_CLI_COMMANDS_H
#define TROTH_CLI_COMMANDS_H

#include "cli/cli.h"

/* As the help lists them. */
extern const struct command *const commands[];
extern const int command_count;

/* Texts of lines, each with its newline. */
extern const char help_flags[];      /* of every command */
extern const char help_exit_codes[]; /* code, two spaces, meaning */
extern const char help_examples[];

#endif
