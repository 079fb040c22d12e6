/* Checks that stay on in release builds.
 *
 * A broken invariant in a transaction coordinator must end the process: the journal and the
 * databases hold all that is needed to go on, and a process that runs on with a wrong belief can
 * only make two databases disagree. */
#ifndef TROTH_CORE_CHECK_H
#define TROTH_CORE_CHECK_H

#include <stddef.h>

/* Ends the process with a line that names the broken invariant. Never returns. */
_Noreturn void check_failed(const char *expression, const char *file, int line);

#define CHECK(expression)                                                                          \
    (__builtin_expect(!!(expression), 1) ? (void)0 : check_failed(#expression, __FILE__, __LINE__))

/* malloc and friends that never return NULL: running out of memory ends the process, as above.
 * The caller owns what they return and frees it with free(). */
void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrdup(const char *text);
char *xstrndup(const char *text, size_t size);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
