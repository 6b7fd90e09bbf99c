#!/bin/sh
# Checks that the gateway answers, that it takes the key, and that a model answers: one short request.
#   verify.sh [MODEL]
set -eu
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

model=${1:-auto}
[ $# -le 1 ] || fail 1 'name one model, or none'
case $model in *[!A-Za-z0-9:/._-]*) fail 1 'that is no name of a model' ;; esac
require_key
begin

ask GET /health '' nobody
expect 200
printf 'The gateway at %s answers.\n' "$(url)"

ask GET /v1/models
expect 200
printf 'It takes the key.\n'

ask POST /v1/chat/completions "{\"model\":\"$model\",\"max_tokens\":16,\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}"
if [ "$status" = 402 ]; then
  page=$(text invoiceUrl)
  [ -z "$page" ] || printf 'Payment is needed: %s sats, at %s\n' "$(number amount)" "$page"
fi
expect 200
cost=$(header '[Xx]-[Pp]ura-[Cc]harged-[Mm]sat')
printf '%s of %s answers. It cost %s msat (%s).\n' "$(header '[Xx]-[Pp]ura-[Mm]odel')" "$(header '[Xx]-[Pp]ura-[Pp]rovider')" "${cost:-0}" \
  "$(header '[Xx]-[Pp]ura-[Ff]unding')"
