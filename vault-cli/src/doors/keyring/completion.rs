//! Completion scripts for the `keyring` command.

/// The script for a shell that Python's command knows.
pub(crate) fn script(shell: &str) -> &'static str {
    match shell {
        "zsh" => ZSH,
        "tcsh" => TCSH,
        _ => BASH,
    }
}

const BASH: &str = r#"_keyring() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} words
    case $before in
        --mode) words="password creds" ;;
        --output) words="plain json" ;;
        --print-completion) words="bash zsh tcsh" ;;
        -b|--keyring-backend) words="vault_keyring.Keyring" ;;
        *) words="get set del diagnose -h --help -p --keyring-path -b --keyring-backend --list-backends --disable --mode --output --print-completion" ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _keyring keyring
"#;

const ZSH: &str = r"#compdef keyring
_arguments \
    '(- *)'{-h,--help}'[show the help]' \
    {-p,--keyring-path}'[path to the keyring backend]:path:_files -/' \
    {-b,--keyring-backend}'[name of the keyring backend]:backend:(vault_keyring.Keyring)' \
    '(- *)--list-backends[list keyring backends]' \
    '(- *)--disable[disable keyring]' \
    '--mode[what get prints]:mode:(password creds)' \
    '--output[how get prints]:format:(plain json)' \
    '(- *)--print-completion[print a completion script]:shell:(bash zsh tcsh)' \
    '1:operation:(get set del diagnose)' \
    '2:service:' \
    '3:username:'
";

const TCSH: &str = "\
complete keyring 'n/--mode/(password creds)/' 'n/--output/(plain json)/' 'n/--print-completion/(bash zsh tcsh)/' \
'c/-/(-h --help -p --keyring-path -b --keyring-backend --list-backends --disable --mode --output --print-completion)/' \
'p/1/(get set del diagnose)/'
";
