#!/usr/bin/env bash
# Makes two fresh LND nodes on a private chain ready to pay each other, and again after a pause: mines, opens a channel from the payer
# to the gateway's node, bakes the gateway's macaroon. Runs in LND's image, by docker-compose.yml.
set -euo pipefail

: "${BITCOIND_URL:?}" "${GATEWAY_LND:=gateway-lnd:10009}" "${PAYER_LND:=payer-lnd:10009}" "${GATEWAY_PEER:=gateway-lnd:9735}"
: "${GATEWAY_DIR:=/gateway-lnd}" "${PAYER_DIR:=/payer-lnd}" "${CREDENTIALS:=/credentials}"
CHANNEL_SATS=10000000
# So that the gateway's node can pay too.
PUSHED_SATS=2000000

lncli_of() { lncli --network=regtest --rpcserver="$1" --lnddir="$2" --tlscertpath="$2/tls.cert" "${@:3}"; }
gateway() { lncli_of "$GATEWAY_LND" "$GATEWAY_DIR" "$@"; }
payer() { lncli_of "$PAYER_LND" "$PAYER_DIR" "$@"; }

# eventually <what> <command…>: waits until it succeeds.
eventually() {
  local what=$1
  shift
  for _ in $(seq 120); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.5
  done
  echo "gave up waiting: $what" >&2
  exit 1
}

# mine <blocks>: to the payer's own wallet.
mine() {
  curl --fail --silent --show-error --output /dev/null "$BITCOIND_URL" \
    --data "{\"jsonrpc\":\"1.0\",\"id\":\"1\",\"method\":\"generatetoaddress\",\"params\":[$1,\"$address\"]}"
}

synced() { "$1" getinfo | jq --exit-status '.synced_to_chain'; }
both_synced() { synced gateway && synced payer; }
connected() { payer listpeers | jq --exit-status --arg key "$key" 'any(.peers[]; .pub_key == $key)'; }
connect() { connected || payer connect "$key@$GATEWAY_PEER"; }
open_channels() { "$1" listchannels --active_only | jq --exit-status '.channels | length > 0'; }
any_channel() { payer listchannels | jq --exit-status '.channels | length > 0'; }
pending_channel() { payer pendingchannels | jq --exit-status '.pending_open_channels | length > 0'; }
both_open() { open_channels gateway && open_channels payer; }
funded() { payer walletbalance | jq --exit-status --argjson sats "$CHANNEL_SATS" '(.confirmed_balance | tonumber) > $sats'; }

eventually 'the nodes answer' gateway getinfo
eventually 'the nodes answer' payer getinfo
address=$(payer newaddress p2wkh | jq --raw-output .address)
key=$(gateway getinfo | jq --raw-output .identity_pubkey)

# Coins of a new block can be spent a hundred blocks later; and a node whose last block is old does not call itself synced.
if funded >/dev/null 2>&1; then mine 1; else mine 110; fi
eventually 'the nodes are synced' both_synced
if ! any_channel >/dev/null && ! pending_channel >/dev/null; then
  eventually 'the payer has coins' funded
  eventually 'the payer is connected' connect
  payer openchannel --node_key="$key" --local_amt="$CHANNEL_SATS" --push_amt="$PUSHED_SATS" >/dev/null
fi
if pending_channel >/dev/null; then mine 6; fi
eventually 'the channel is open' both_open

# The least that the gateway needs, which is all that it is given.
rm -f "$CREDENTIALS/gateway.macaroon"
gateway bakemacaroon --save_to="$CREDENTIALS/gateway.macaroon" \
  uri:/lnrpc.Lightning/AddInvoice uri:/lnrpc.Lightning/LookupInvoice uri:/lnrpc.Lightning/SubscribeInvoices \
  uri:/lnrpc.Lightning/GetInfo uri:/lnrpc.Lightning/ListInvoices uri:/lnrpc.Lightning/ChannelBalance
cp "$GATEWAY_DIR/tls.cert" "$CREDENTIALS/tls.cert"
# The gateway's user: node, of its image.
if [ "$(id -u)" -eq 0 ]; then chown -R 1000 "$CREDENTIALS"; fi
echo 'The channel is open: payments can be made.'
