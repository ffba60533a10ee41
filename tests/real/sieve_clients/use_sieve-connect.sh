# Puts, lists, activates and fetches a script by sieve-connect.
set -eu
port=$1 mechanism=$3 login=$4 password=$5 name=$6 script=$7 fetched=$8

run() {
    printf '%s\n' "$password" | sieve-connect --server localhost --port "$port" --user "$login" --authmech "$mechanism" \
        --passwordfd 0 --tlscafile "$SSL_CERT_FILE" --noclearchan "$@"
}

run --upload --localsieve "$script" --remotesieve "$name" >&2
run --activate --remotesieve "$name" >&2
run --list | sed 's/^"\([^"]*\)".*/\1/'
run --download --localsieve "$fetched" --remotesieve "$name" >&2
