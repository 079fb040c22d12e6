#include "core/crash.h"

void (*crash_hook)(const char *point) = NULL;
