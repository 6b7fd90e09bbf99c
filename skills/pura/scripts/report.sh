#!/bin/sh
# Reports the balance and what was spent, in all and by model.
#   report.sh [24h|7d|30d]
set -eu
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

period=${1:-24h}
[ $# -le 1 ] || fail 1 'name one period: 24h, 7d or 30d'
case $period in 24h | 7d | 30d) ;; *) fail 1 'the period is 24h, 7d or 30d' ;; esac
require_key
begin

ask GET /api/wallet/balance
expect 200
printf 'balance:       %s sats (%s sats held for requests under way)\n' "$(number balance)" "$(whole_sats "$(number reservedMsat)")"
printf 'free requests: %s of %s left\n' "$(number freeRequestsRemaining)" "$(number freeRequestsLimit)"
printf 'budget today:  $%s of $%s used\n' "$(number dailySpendUsd)" "$(number dailyBudgetUsd)"

ask GET "/api/report?period=$period"
expect 200
count=$(number requestCount)
requests=requests
[ "$count" != 1 ] || requests=request
printf 'last %-4s      %s %s, worth $%s; %s msat charged\n' "$period:" "$count" "$requests" "$(number totalSpendUsd)" "$(number totalChargedMsat)"
# One model a line: its name, its requests, what was charged. A last line without an end stays without one in sed.
{ tr '\n' ' ' <"$body" && echo; } | sed -n 's/.*"perModel" *: *{\(.*\)/\1/p' | sed 's/} *} *,.*//' | tr '}' '\n' |
  sed -n 's/^[ ,]*"\([^"]*\)" *: *{.*"requestCount" *: *\([0-9]*\).*"chargedMsat" *: *\([0-9]*\).*/  \1: \2 requests, \3 msat/p' | sed 's/: 1 requests, /: 1 request, /' |
  tr -d '\001-\011\013-\037\177'
