# shellcheck shell=sh
# What the scripts share: where the key is kept, how the gateway is asked, how answers are read. To be sourced by a POSIX shell.

umask 077
pura_home=${HOME_OF_PURA:-${XDG_CONFIG_HOME:-${HOME:-}/.config}/pura}
credentials=$pura_home/curl.conf
url_file=$pura_home/url
work=$pura_home/work.$$
body=$work/body
head=$work/head

# fail CODE MESSAGE
fail() {
  printf '%s\n' "pura: $2" >&2
  exit "$1"
}

# Makes the folder for the key and one for answers, which goes when the script ends.
begin() {
  command -v curl >/dev/null 2>&1 || fail 2 'curl is missing: install it, then run this again'
  if ! { mkdir -p "$pura_home" && chmod 700 "$pura_home" && mkdir "$work"; }; then fail 1 "$pura_home cannot be written to"; fi
  trap 'rm -rf "$work"' EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# The gateway's address: that of the gateway which setup.sh asks for a key, else that of the key which is kept.
chosen=''
url() {
  if [ -n "$chosen" ]; then
    printf '%s\n' "$chosen"
    return
  fi
  [ -s "$url_file" ] || fail 1 'nothing is set up: run setup.sh --url https://…'
  cat "$url_file"
}

require_key() {
  [ -s "$credentials" ] || fail 1 'no key is set up: run setup.sh --url https://…'
}

# check_url URL: a key goes over TLS, or stays on this machine.
check_url() {
  case $1 in
    *[!A-Za-z0-9:/._~%-]* | *..* | */) fail 1 'the address must be like https://pura.example, without a slash at the end' ;;
    https://?*) ;;
    http://localhost | http://localhost:* | http://127.0.0.1 | http://127.0.0.1:*) ;;
    *) fail 1 'the address must begin with https:// (http:// only for this machine)' ;;
  esac
}

# ask METHOD PATH [JSON] [AS]: puts the answer into $body and its head into $head, and its status into $status.
# AS is an option file for curl, by default that with the key; "nobody" for none. No secret is an argument of curl.
ask() {
  method=$1 path=$2 json=${3:-} as=${4:-$credentials}
  address=$(url)
  set -- -q --silent --show-error --connect-timeout 10 --max-time 120 --proto '=http,https' --output "$body" --dump-header "$head" \
    --write-out '%{http_code}' --request "$method" --header 'Accept: application/json'
  [ "$as" = nobody ] || set -- "$@" --config "$as"
  [ -z "$json" ] || set -- "$@" --header 'Content-Type: application/json' --data-binary "$json"
  : >"$body"
  status=$(curl "$@" "$address$path" 2>"$work/error") || fail 3 "the gateway at $address cannot be reached: $(shown <"$work/error")"
}

# Takes out what could play tricks with a terminal.
shown() { tr -d '\000-\037\177'; }

# text NAME: the first string of that name in $body, as JSON writes it. number NAME: the first number.
text() { tr '\n' ' ' <"$body" | sed "s/\"$1\" *: *\"/\\
/" | sed -n '2s/^\(\(\\.\)*[^"\\]*\(\\.[^"\\]*\)*\)".*/\1/p' | shown; }
number() { tr '\n' ' ' <"$body" | sed "s/\"$1\" *: */\\
/" | sed -n '2s/^\(-\{0,1\}[0-9][0-9.]*\).*/\1/p'; }

# header NAME: of the answer, whose lines end in CR.
header() { tr -d '\r' <"$head" | sed -n "s/^$1: *//p" | sed -n 1p | shown; }

# expect STATUS: ends the script with the gateway's own words where the answer has another status.
expect() {
  [ "$status" != "$1" ] || return 0
  said="$(text message) ($status $(text code))"
  case $status in
    401) fail 4 "the gateway refuses the key: $said" ;;
    402) fail 5 "$said" ;;
    *) fail 6 "the gateway says: $said" ;;
  esac
}

# whole_sats MSAT: rounded down.
whole_sats() { printf '%s' "$(($1 / 1000))"; }

# keep FILE: puts standard input into a file that only its owner reads, all of it or nothing.
keep() {
  cat >"$work/kept" && chmod 600 "$work/kept" && mv "$work/kept" "$1"
}
