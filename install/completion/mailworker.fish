# Completion of mailworker for fish.

complete -c mailworker -f
complete -c mailworker -s h -l help -d 'Print a help'
complete -c mailworker -s v -l version -d 'Print the version'
complete -c mailworker -s V -d 'Print the version, and where files are found'
complete -c mailworker -s t -d 'Test the configuration'
complete -c mailworker -s T -d 'Test the configuration and print it'
complete -c mailworker -s q -d 'Print errors alone while testing'
complete -c mailworker -s s -x -a 'stop quit reopen reload' -d 'Send a signal to the master'
complete -c mailworker -s p -x -a '(__fish_complete_directories)' -d 'Folder of relative file names'
complete -c mailworker -s e -r -F -d 'Error log'
complete -c mailworker -s c -r -F -d 'Configuration'
complete -c mailworker -s g -x -d 'Directives of the main context'
complete -c mailworker -l explain -x -a '(mailworker --explain 2>/dev/null | tr -d \$)' -d 'Explain a name of the configuration'
