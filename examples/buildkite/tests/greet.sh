#!/usr/bin/env bash
# Each case is a call of the service and what it must answer; all of them run, even when one fails.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

failed=0
check() { # NAME WANTED-STATUS WANTED-OUTPUT COMMAND...
    local name="$1" wanted_status="$2" wanted="$3" got status
    shift 3
    got="$("$@" 2>&1)"
    status=$?
    if [ "$status" = "$wanted_status" ] && [ "$got" = "$wanted" ]; then
        echo "ok      $name"
    else
        printf 'FAILED  %s\n  wanted (%s): %s\n  got    (%s): %s\n' "$name" "$wanted_status" "$wanted" "$status" "$got"
        failed=1
    fi
}

check "one name" 0 "Hello, Ada!" service/greet Ada
check "two names" 0 $'Hello, Ada!\nHello, Grace!' service/greet Ada Grace
check "a name with spaces" 0 "Hello, Ada Lovelace!" service/greet "Ada Lovelace"
check "a name is never a format" 0 "Hello, %s%n!" service/greet "%s%n"
check "nobody to greet" 2 "usage: greet NAME..." service/greet
exit "$failed"
