#error "pure code may not include <nanomsg/nn.h>: the world is reached through core/ports.h"
