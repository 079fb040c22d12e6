/* Text in lines that fit a page: broken between words, in JSON after a comma, and within what is
 * too long all the same. */
#ifndef TROTH_CLI_WRAP_H
#define TROTH_CLI_WRAP_H

#include <stdio.h>

enum { PAGE_COLUMNS = 80 };

/* Prints the text, escaped, from where the cursor is, which is column `at`; every further line
 * begins with `rail`. Line breaks in it are spaces. No last line break. */
void print_wrapped(FILE *file, const char *text, int at, const char *rail);

#endif
