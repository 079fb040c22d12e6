/* The switch of the crash points (core/crash.h): TROTH_CRASH_AT=POINT[:N], and TROTH_STOP_AT. */
#ifndef TROTH_IO_CRASH_H
#define TROTH_IO_CRASH_H

/* Called first in a daemon's main. With TROTH_CRASH_AT set, the process kills itself with SIGKILL
 * at the N-th passing (default: the first) of the point. With TROTH_STOP_AT, of the same form and
 * at the same points, it stops itself there with SIGSTOP, and goes on from there after SIGCONT. A
 * value that is not of that form ends the process with 2: a test that kills nothing would prove
 * nothing.
 */
void crash_setup(void);

#endif
