#!/bin/sh
# Sets up a key at a Pura gateway and keeps it.
#   setup.sh --url https://pura.example [--label NAME] [--new]   makes an account and its key
#   setup.sh --url https://pura.example --pay [--sats N]         asks for an invoice whose payment makes them
#   setup.sh --paid < preimage                                   the same, once the invoice was paid
set -eu
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

address='' label='agent' sats='' way=make new=no
pending=$pura_home/pending

while [ $# -gt 0 ]; do
  case $1 in
    --url | --label | --sats)
      [ $# -ge 2 ] || fail 1 "$1 needs a value"
      case $1 in --url) address=$2 ;; --label) label=$2 ;; --sats) sats=$2 ;; esac
      shift
      ;;
    --pay) way=pay ;;
    --paid) way=paid ;;
    --new) new=yes ;;
    *) fail 1 "there is no $1: see SKILL.md" ;;
  esac
  shift
done

case $label in '' | *[!A-Za-z0-9\ ._-]*) fail 1 'a label has letters, digits, spaces, dots, hyphens and underscores' ;; esac
case $sats in *[!0-9]*) fail 1 '--sats needs a whole number' ;; esac
begin

if [ -s "$credentials" ] && [ "$new" = no ]; then
  printf 'A key is set up already, for %s. verify.sh checks it; setup.sh --new makes another.\n' "$(url)"
  exit 0
fi
if [ -n "$address" ]; then
  check_url "$address"
  chosen=$address
fi

# Keeps the key of the answer and says that it did; the key itself is shown nowhere.
keep_key() {
  key=$(text key)
  case $key in
    pura_*[!A-Za-z0-9_-]* | '') fail 6 'the answer has no key' ;;
    pura_*) printf 'header = "Authorization: Bearer %s"\n' "$key" | keep "$credentials" ;;
    *) fail 6 'the answer has no key' ;;
  esac
  # Only now: until there is another key, the one that is kept goes to its own gateway.
  url | keep "$url_file"
  printf 'A key is set up for %s: %s…, kept in %s.\n' "$(url)" "$(text prefix)" "$credentials"
  free=$(number freeRequestsRemaining)
  printf '%s free requests are left.\n' "${free:-0}"
}

make_key() {
  ask POST /api/keys "{\"label\":\"$label\"}" "$1"
  expect 201
  keep_key
}

# Asks without a key: the answer is a 402 that says what to pay and what the payment is good for.
ask_for_invoice() {
  printf 'header = "X-Pura-Topup-Sats: %s"\n' "${sats:-1000}" >"$work/topup"
  ask POST /l402/v1/chat/completions '{"model":"auto","max_tokens":16,"messages":[{"role":"user","content":"Hello"}]}' "$work/topup"
  [ "$status" = 402 ] || expect 402
  challenge=$(header '[Ww][Ww][Ww]-[Aa]uthenticate')
  token=$(printf '%s\n' "$challenge" | sed -n 's/^L402 .*token="\([A-Za-z0-9+/=_-]*\)".*/\1/p')
  invoice=$(printf '%s\n' "$challenge" | sed -n 's/^L402 .*invoice="\([a-z0-9]*\)".*/\1/p')
  if [ -z "$token" ] || [ -z "$invoice" ]; then fail 6 'the gateway asks for a payment in a way that this script does not know'; fi
  printf '%s\n' "$token" | keep "$pending"
  url | keep "$pending.url"
  printf 'Pay this invoice of %s sats with a Lightning wallet, then give its preimage to: setup.sh --paid\n' "$(number amount)"
  printf 'page:    %s\ninvoice: %s\n' "$(text invoiceUrl)" "$invoice"
}

# The credential of the payment makes a key that does not hang on it.
use_payment() {
  [ -s "$pending" ] || fail 1 'no invoice waits for a payment: run setup.sh --pay first'
  preimage=''
  IFS= read -r preimage || [ -n "$preimage" ] || fail 1 'give the preimage on standard input'
  case $preimage in *[!0-9a-fA-F]* | '') fail 1 'the preimage is 64 hexadecimal digits' ;; esac
  [ ${#preimage} -eq 64 ] || fail 1 'the preimage is 64 hexadecimal digits'
  [ ! -s "$pending.url" ] || chosen=$(cat "$pending.url")
  printf 'header = "Authorization: L402 %s:%s"\n' "$(cat "$pending")" "$preimage" >"$work/payment"
  make_key "$work/payment"
  rm -f "$pending" "$pending.url"
}

case $way in
  make) make_key nobody ;;
  pay) ask_for_invoice ;;
  paid) use_payment ;;
esac
