#include "core/ports.h"

#include <stdarg.h>
#include <stdio.h>

void host_log(const struct host_port *host, enum log_level level, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    host->log(host->self, level, line);
}
