#!/bin/bash
# examples/run is a test too: each of its checks can fail it.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/../lib/common.sh"
. "$TROTH_ROOT/tests/lib/tap.sh"

ok "the example tells its story and the books balance" "$TROTH_ROOT/examples/run"
done_testing
