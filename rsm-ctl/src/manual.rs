//! Manual pages and completions, made from the same definitions as the command line.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::{print, printable};
use rsm_run::descriptor;

/// What `man` can be told.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The page of one command; the whole manual without it
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
    /// Write every page into this directory: rsm-ctl.1 and one for each command
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// What completions can be told.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell
    shell: Shell,
}

/// The commands, each of which has a page.
fn names(command: &Command) -> Vec<&str> {
    command.get_subcommands().map(Command::get_name).filter(|name| *name != "help").collect()
}

/// Writes what was asked for. `command` is the definition of the command line.
pub(crate) fn perform(args: &ManArgs, mut command: Command) -> Result<ExitCode, Failure> {
    command.build();
    let failed = |e| Failure::system("cannot write the manual page", e);
    match (&args.command, &args.dir) {
        (Some(name), _) => match command.find_subcommand(name).filter(|_| name != "help") {
            Some(sub) => print::answer(&page_of(sub).map_err(failed)?),
            None => {
                let names = names(&command).join(", ");
                Err(Failure::usage(format!("there is no command {name:?}; the commands are: {names}")))
            }
        },
        (None, Some(dir)) => install(dir, &command),
        (None, None) => print::answer(&whole(&command).map_err(failed)?),
    }
}

/// Writes a completion script.
pub(crate) fn completions(args: &CompletionsArgs, mut command: Command) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "rsm-ctl", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        script = with_cluster_names(&script);
    }
    print::answer(&script)
}

/// What follows `--cluster` is a file name to clap; the shell asks for the running ones instead.
fn with_cluster_names(script: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in script.lines() {
        let after_cluster = lines.last().is_some_and(|before| before.trim() == "--cluster)");
        if after_cluster && line.trim() == r#"COMPREPLY=($(compgen -f "${cur}"))"# {
            let indent = &line[..line.len() - line.trim_start().len()];
            lines.push(format!(
                r#"{indent}COMPREPLY=($(compgen -W "$(rsm-ctl ls 2>/dev/null | awk 'NR > 1 {{ print $1 }}')" -- "${{cur}}"))"#
            ));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n") + "\n"
}

/// One page: the command, then each of its commands as a section.
fn whole(command: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    let manual = Man::new(command.clone().disable_help_subcommand(true));
    manual.render_title(&mut page)?;
    manual.render_name_section(&mut page)?;
    page.extend_from_slice(synopsis(&mut command.clone()).as_bytes());
    manual.render_description_section(&mut page)?;
    manual.render_options_section(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let heading = format!(".SH {}\n", sub.get_name().to_uppercase());
        page.extend_from_slice(heading.as_bytes());
        let manual = Man::new(sub.clone());
        let mut section = Vec::new();
        manual.render_description_section(&mut section)?;
        section.extend_from_slice(synopsis(&mut sub.clone()).as_bytes());
        manual.render_options_section(&mut section)?;
        section.extend_from_slice(own_notes(sub).map(|text| notes(&text)).unwrap_or_default().as_bytes());
        // Sections of a command are subsections of the page; exit codes are told once, at the end.
        let text = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        page.extend_from_slice(text.as_bytes());
    }
    Ok(String::from_utf8_lossy(&page).into_owned() + &notes(&crate::exit_code::help()))
}

/// The page of one command, rsm-ctl-COMMAND(1).
fn page_of(sub: &Command) -> io::Result<String> {
    let mut page = Vec::new();
    let (name, mut sub) = (sub.get_name(), sub.clone());
    let synopsis = synopsis(&mut sub);
    // What a command says after its options stays; the table of exit codes is in every page, once.
    let after = own_notes(&sub).map_or_else(String::new, |text| text + "\n\n") + &crate::exit_code::help();
    // The hyphen makes it one word for man(1), as with git.
    let title: &'static str = format!("rsm-ctl-{name}").leak();
    let manual = Man::new(sub.name(title).display_name(title));
    manual.render_title(&mut page)?;
    manual.render_name_section(&mut page)?;
    page.extend_from_slice(synopsis.as_bytes());
    manual.render_description_section(&mut page)?;
    manual.render_options_section(&mut page)?;
    let see = ".SH \"SEE ALSO\"\nrsm\\-ctl(1), rsm(3)\n";
    Ok(String::from_utf8_lossy(&page).into_owned() + &notes(&after) + see)
}

/// What a command alone says after its options.
fn own_notes(command: &Command) -> Option<String> {
    command.get_after_help().map(ToString::to_string).filter(|text| !text.contains("Exit codes:"))
}

/// How a command is called, as `--help` has it: the lines that were written, not every option in brackets.
fn synopsis(command: &mut Command) -> String {
    let usage = command.render_usage().to_string();
    let lines = usage.strip_prefix("Usage:").unwrap_or(&usage).lines().map(|line| escaped(line.trim()) + "\n");
    format!(".SH SYNOPSIS\n.nf\n{}.fi\n", lines.collect::<String>())
}

/// A section of what stands after the options of a command: prose is filled, tables and examples keep their lines.
fn notes(text: &str) -> String {
    let paragraph = |text: &str| {
        let lines: String = text.lines().map(|line| escaped(line) + "\n").collect();
        let is_prose = !text.contains("  ");
        if is_prose { format!(".PP\n{lines}") } else { format!(".PP\n.nf\n{lines}.fi\n") }
    };
    ".SH NOTES\n".to_owned() + &text.trim().split("\n\n").map(paragraph).collect::<String>()
}

/// A line of text that roff takes for nothing else.
fn escaped(line: &str) -> String {
    let text = line.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

fn install(dir: &Path, command: &Command) -> Result<ExitCode, Failure> {
    let write = |name: &str, page: io::Result<String>| {
        let path = dir.join(name);
        let written = page.and_then(|page| descriptor::write_file(&path, page.as_bytes()));
        written.map_err(|e| Failure::system(&format!("cannot write {}", printable::path(&path)), e))
    };
    fs::create_dir_all(dir).map_err(|e| Failure::system(&format!("cannot make {}", printable::path(dir)), e))?;
    write("rsm-ctl.1", whole(command))?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        write(&format!("rsm-ctl-{}.1", sub.get_name()), page_of(sub))?;
    }
    Ok(ExitCode::Success)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn built() -> Command {
        let mut command = Cli::command();
        command.build();
        command
    }

    #[test]
    fn tables_keep_their_lines() {
        let text = "Prose is\nfilled.\n\n  at TIME   waits\n.x";
        assert_eq!(notes(text), ".SH NOTES\n.PP\nProse is\nfilled.\n.PP\n.nf\n  at TIME   waits\n\\&.x\n.fi\n");
        let run = page_of(built().find_subcommand("run").unwrap()).unwrap();
        assert!(run.contains(".nf\nrsm\\-ctl run \\-n N [OPTIONS] [\\-\\-] PROG ARGS...\n"), "{run}");
        assert!(
            whole(&built())
                .unwrap()
                .contains("\n  when CONDITION [within TIME] [then ACTION]   waits until it holds\n")
        );
    }

    #[test]
    fn every_command_has_a_page() {
        let command = built();
        for name in names(&command) {
            let page = page_of(command.find_subcommand(name).unwrap()).unwrap();
            assert!(page.contains(&format!("rsm\\-ctl\\-{name}")) && page.contains("Exit codes"), "{page}");
        }
    }
}
