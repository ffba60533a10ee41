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
    -g | -h | -\? | -v | --help | --version) ;;
    *) COMPREPLY=($(compgen -W '-h -v -V -t -T -q -s -p -e -c -g --explain --help --version' -- "$cur")) ;;
    esac
} && complete -F _mailworker mailworker

# The others have a --help that tells their switches and commands.
_mailworker_by_help() {
    local cur prev words cword commands word command=
    _init_completion || return
    commands=$("$1" --help 2>/dev/null | sed -n '/^  COMMAND/,/^$/s/^    \([a-z][a-z-]*\)\( .*\|$\)/\1/p')
    for word in "${words[@]:1:cword-1}"; do
        [[ $'\n'$commands$'\n' != *$'\n'$word$'\n'* ]] || command=$word
    done
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$("$1" $command --help 2>/dev/null | _parse_help -)" -- "$cur"))
    elif [[ -n $commands && -z $command && $prev != -S ]]; then
        COMPREPLY=($(compgen -W "$commands" -- "$cur"))
    else
        _filedir
    fi
} && complete -F _mailworker_by_help mailworker-ctl mailworker-top mailworker-tune
