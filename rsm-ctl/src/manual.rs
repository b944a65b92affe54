//! Manual page and completions, made from the same definitions as the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::print;

/// Writes a completion script.
pub(crate) fn completions(shell: Shell) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rsm-ctl", &mut script);
    print::answer(&String::from_utf8_lossy(&script))
}

/// Writes the manual page: the command, then each of its commands as a section.
pub(crate) fn page() -> Result<ExitCode, Failure> {
    let failed = |e| Failure::system("cannot write the manual page", e);
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let manual = clap_mangen::Man::new(command.clone().disable_help_subcommand(true));
    manual.render_title(&mut page).map_err(failed)?;
    manual.render_name_section(&mut page).map_err(failed)?;
    manual.render_synopsis_section(&mut page).map_err(failed)?;
    manual.render_description_section(&mut page).map_err(failed)?;
    manual.render_options_section(&mut page).map_err(failed)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        let heading = format!(".SH {}\n", sub.get_name().to_uppercase());
        page.extend_from_slice(heading.as_bytes());
        let manual = clap_mangen::Man::new(sub.clone());
        let mut section = Vec::new();
        manual.render_description_section(&mut section).map_err(failed)?;
        manual.render_synopsis_section(&mut section).map_err(failed)?;
        manual.render_options_section(&mut section).map_err(failed)?;
        // Sections of a command are subsections of the page; exit codes are told once, at the end.
        let text = String::from_utf8_lossy(&section).replace(".SH ", ".SS ");
        page.extend_from_slice(text.as_bytes());
    }
    manual.render_extra_section(&mut page).map_err(failed)?;
    print::answer(&String::from_utf8_lossy(&page))
}
