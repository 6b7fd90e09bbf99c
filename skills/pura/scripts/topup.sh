#!/bin/sh
# Makes an invoice that tops the account up, or tells whether the last one was paid. Pays nothing.
#   topup.sh SATS        100 to 1000000
#   topup.sh --check
set -eu
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

last=$pura_home/last-invoice
[ $# -eq 1 ] || fail 1 'name an amount in sats, or --check'
require_key
begin

case $1 in
  --check)
    [ -s "$last" ] || fail 1 'no invoice was made here yet'
    ask GET "/api/wallet/status?invoiceId=$(cat "$last")"
    expect 200
    printf 'The invoice is %s. The balance is %s sats.\n' "$(text status)" "$(number balance)"
    [ "$(text status)" = paid ] || exit 5
    ;;
  '' | *[!0-9]*) fail 1 'name an amount in sats, 100 to 1000000' ;;
  *)
    ask POST /api/wallet/fund "{\"amount\":$1}"
    expect 201
    text invoiceId | keep "$last"
    printf 'An invoice for %s sats, good until %s. topup.sh --check tells when it was paid.\n' "$(number amount)" "$(text expiresAt)"
    printf 'page:    %s\nlink:    %s\ninvoice: %s\n' "$(text invoiceUrl)" "$(text lightningUrl)" "$(text paymentRequest)"
    ;;
esac
