//! Manual pages and completions, made from the same definitions as the command line.

use std::path::{Path, PathBuf};
use std::{fs, io};

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// What `man` can be told.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The page of one command; the whole manual without it
    #[arg(value_name = "COMMAND", value_parser = command_name)]
    command: Option<String>,
    /// Write every page into this directory: rsm-ctl.1 and one for each command
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    dir: Option<PathBuf>,
}

/// Reads the name of a command. Asked when the command line is read, not when it is defined: this is a part of it.
fn command_name(text: &str) -> Result<String, String> {
    let names = names();
    if names.iter().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    Err(format!("the commands are: {}", names.join(", ")))
}

/// The commands, each of which has a page.
fn names() -> Vec<String> {
    let command = built();
    let all = command.get_subcommands().map(clap::Command::get_name).filter(|name| *name != "help");
    all.map(str::to_owned).collect()
}

/// Writes what was asked for.
pub(crate) fn perform(args: &ManArgs) -> Result<ExitCode, Failure> {
    let failed = |e| Failure::system("cannot write the manual page", e);
    match (&args.command, &args.dir) {
        (Some(name), _) => print::answer(&page_of(name).map_err(failed)?),
        (None, Some(dir)) => install(dir),
        (None, None) => print::answer(&whole().map_err(failed)?),
    }
}

/// Writes a completion script.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rsm-ctl", &mut script);
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if shell == Shell::Bash {
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

fn built() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}

/// One page: the command, then each of its commands as a section.
fn whole() -> io::Result<String> {
    let mut page = Vec::new();
    let command = built();
    let manual = Man::new(command.clone().disable_help_subcommand(true));
    manual.render_title(&mut page)?;
    manual.render_name_section(&mut page)?;
    manual.render_synopsis_section(&mut page)?;
    manual.render_description_section(&mut page)?;
    manual.render_options_section(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let heading = format!(".SH {}\n", sub.get_name().to_uppercase());
        page.extend_from_slice(heading.as_bytes());
        let manual = Man::new(sub.clone());
        let mut section = Vec::new();
        manual.render_description_section(&mut section)?;
        manual.render_synopsis_section(&mut section)?;
        manual.render_options_section(&mut section)?;
        // Sections of a command are subsections of the page; exit codes are told once, at the end.
        let text = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        page.extend_from_slice(text.as_bytes());
    }
    manual.render_extra_section(&mut page)?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

/// The page of one command, rsm-ctl-COMMAND(1).
fn page_of(name: &str) -> io::Result<String> {
    let mut page = Vec::new();
    let command = built();
    let sub = command.get_subcommands().find(|sub| sub.get_name() == name);
    let sub = sub.ok_or_else(|| io::Error::other(format!("there is no command {name}")))?.clone();
    // What a command says after its options stays; the table of exit codes is in every page, once.
    let own = sub.get_after_help().map(ToString::to_string).filter(|text| !text.contains("Exit codes:"));
    let sub = sub.after_help(own.map_or_else(String::new, |text| text + "\n\n") + &crate::exit_code::help());
    // The hyphen makes it one word for man(1), as with git.
    let title: &'static str = format!("rsm-ctl-{name}").leak();
    Man::new(sub.name(title).display_name(title)).render(&mut page)?;
    let see = ".SH \"SEE ALSO\"\nrsm\\-ctl(1), rsm(3)\n";
    Ok(String::from_utf8_lossy(&page).into_owned() + see)
}

fn install(dir: &Path) -> Result<ExitCode, Failure> {
    let write = |name: &str, page: io::Result<String>| {
        let path = dir.join(name);
        let written = page.and_then(|page| fs::write(&path, page));
        written.map_err(|e| Failure::system(&format!("cannot write {}", path.display()), e))
    };
    fs::create_dir_all(dir).map_err(|e| Failure::system(&format!("cannot make {}", dir.display()), e))?;
    write("rsm-ctl.1", whole())?;
    for name in names() {
        write(&format!("rsm-ctl-{name}.1"), page_of(&name))?;
    }
    Ok(ExitCode::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page() {
        for name in names() {
            let page = page_of(&name).unwrap();
            assert!(page.contains(&format!("rsm\\-ctl\\-{name}")) && page.contains("Exit codes"), "{page}");
        }
    }
}
