# Completion of mailworker and its companions for bash, with the package bash-completion.

_mailworker() {
    local cur prev
    _init_completion || return
    case $prev in
    -s) COMPREPLY=($(compgen -W 'stop quit reopen reload' -- "$cur")) ;;
    -p) _filedir -d ;;
    -c) _filedir conf ;;
    -e) _filedir ;;
    --explain) COMPREPLY=($(compgen -W "$("$1" --explain 2>/dev/null | tr -d '$')" -- "$cur")) ;;
    -g | -h | -\? | -v) ;;
    *) COMPREPLY=($(compgen -W '-h -v -V -t -T -q -s -p -e -c -g --explain' -- "$cur")) ;;
    esac
} && complete -F _mailworker mailworker

# The others have a --help that tells their switches and commands.
_mailworker_by_help() {
    local cur prev
    _init_completion || return
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$(_parse_help "$1")" -- "$cur"))
        return
    fi
    local commands
    commands=$("$1" --help 2>/dev/null | sed -n 's/^[^{]*{\([a-z0-9,_-]*\)}.*/\1/p' | head -n 1)
    [[ -z $commands ]] || COMPREPLY=($(compgen -W "${commands//,/ }" -- "$cur"))
    _filedir
} && complete -F _mailworker_by_help mailworker-ctl mailworker-top mailworker-tune
