//! The lens that a cluster is to be seen through, as it is asked for, and how to ask for the same again.

use std::ffi::OsString;
use std::hash::{BuildHasher, Hasher, RandomState};

use clap::Args;
use rsm::lens::{Faults, Lens, Model, PROFILES, Profile, Strength, fault_lines, parse_seed, profile_lines};
use rsm_run::hint::quoted;

/// What `run` and `up` can be told of a lens. A file has the same words as keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Weak order")]
pub(crate) struct LensArgs {
    /// Let stores and signals be late and out of order, as far as the RSMAPI permits: 7, 0x2a, 7:calm, 7:storm
    ///
    /// What is put in explicit mode, and what is stored to memory that is mapped, arrives when the seed says, and by the
    /// end of its span. A program with the barriers that it needs notices nothing but time. The same seed draws the same
    /// delays; without one it is drawn, and printed with the command that repeats it. `calm` halves all delays, `storm`
    /// makes them four times as long. See docs/weak-order.md.
    #[arg(long, value_name = "SEED", num_args = 0..=1, default_missing_value = "", value_parser = Seed::parse)]
    pub(crate) chaos: Option<Seed>,
    /// Which orders are permitted: tso, pcie or sci [default: pcie]
    ///
    /// `tso`: late, but in order, as among processors. `pcie`: as through a write-combining window of a PCIe bridge. `sci`: the
    /// least that the RSMAPI promises. Without --chaos a seed is drawn.
    #[arg(long, value_name = "MODEL", value_parser = model)]
    pub(crate) model: Option<Model>,
    /// Let things go wrong now and then, as on an interconnect: names with commas between, or all; see docs/faults.md
    #[arg(long, value_name = "FAULTS", value_parser = faults, long_help = faults_help())]
    pub(crate) faults: Option<Faults>,
    /// Let calls take as long as on an interconnect: dolphin-ntb, dolphin-ix, intel-ntb, firelink or sci; see docs/profiles.md
    #[arg(long, value_name = "NAME", value_parser = profile, long_help = profile_help())]
    pub(crate) profile: Option<Profile>,
    /// Wait for nothing of that: add up what calls would take, and say it at the end
    ///
    /// Each node has a clock that only its calls move, and the signals that it takes, to when they arrive. What the program
    /// computes takes no time there. Needs a profile.
    #[arg(long = "virtual")]
    pub(crate) is_virtual: bool,
}

/// What the manual says of faults: the table that they are drawn from.
fn faults_help() -> String {
    format!(
        "Let things go wrong now and then, as on an interconnect: names with commas between, or all\n\nWhat goes wrong when \
         is drawn from the seed of --chaos. Without that a seed is drawn, and nothing is late. See docs/faults.md.\n\n{}",
        fault_lines()
    )
}

/// What the manual says of profiles: the table that times are taken from.
fn profile_help() -> String {
    format!(
        "Let calls take as long as on an interconnect\n\nPuts, gets, barriers, signals and connects wait until the time is over \
         that they would take there; what is stored and loaded through mappings does not. Times are modelled: numbers with a \
         question mark are guesses, the others were measured by somebody. See docs/profiles.md.\n\n{}",
        profile_lines()
    )
}

/// A seed, or the wish to have one drawn, and how late things are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seed(Option<(u64, Strength)>);

impl Seed {
    /// Reads `SEED[:calm|:storm]`, or nothing.
    pub(crate) fn parse(text: &str) -> Result<Seed, String> {
        if text.is_empty() {
            return Ok(Seed::DRAWN);
        }
        parse_seed(text).map(|seed| Seed(Some(seed))).map_err(|error| error.detail().to_owned())
    }

    /// One that is to be drawn.
    pub(crate) const DRAWN: Seed = Seed(None);
}

/// Reads the name of a model.
pub(crate) fn model(name: &str) -> Result<Model, String> {
    Model::parse(name).map_err(|error| error.detail().to_owned())
}

/// Reads names of faults.
pub(crate) fn faults(names: &str) -> Result<Faults, String> {
    Faults::parse(names).map_err(|error| error.detail().to_owned())
}

/// Reads the name of a profile.
pub(crate) fn profile(name: &str) -> Result<Profile, String> {
    Profile::parse(name).map_err(|error| error.detail().to_owned())
}

impl LensArgs {
    /// These words, and those of a file where nothing is said here.
    pub(crate) fn or(self, file: LensArgs) -> LensArgs {
        LensArgs {
            chaos: self.chaos.or(file.chaos),
            model: self.model.or(file.model),
            faults: self.faults.or(file.faults),
            profile: self.profile.or(file.profile),
            is_virtual: self.is_virtual || file.is_virtual,
        }
    }

    /// The lens that is asked for, if one is.
    pub(crate) fn lens(&self) -> Option<Lens> {
        if *self == LensArgs::default() {
            return None;
        }
        let is_late = self.chaos.is_some() || self.model.is_some();
        let draws = is_late || self.faults.is_some();
        let unsaid = || (if draws { drawn() } else { 0 }, Strength::Usual);
        let (seed, strength) = self.chaos.and_then(|seed| seed.0).unwrap_or_else(unsaid);
        let model = is_late.then(|| self.model.unwrap_or_default());
        let (faults, profile, is_virtual) = (self.faults.unwrap_or_default(), self.profile, self.is_virtual);
        Some(Lens { model, strength, faults, profile, is_virtual, ..Lens::clear(seed) })
    }

    /// What cannot be meant.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.is_virtual && self.profile.is_none() {
            let names: Vec<&str> = PROFILES.iter().map(|row| row.name).collect();
            return Err(format!("virtual time needs a profile: {}", names.join(", ")));
        }
        Ok(())
    }
}

/// A seed by chance, short enough to be typed.
fn drawn() -> u64 {
    RandomState::new().build_hasher().finish() & 0xffff_ffff
}

/// What to say before anything starts.
pub(crate) fn notice(lens: &Lens) -> String {
    if let Some(profile) = lens.profile.filter(|_| lens.model.is_none() && lens.faults == Faults::NONE) {
        return format!("rsm-ctl: profile {profile}: all times are modelled\n");
    }
    format!("rsm-ctl: chaos: {lens}; the same again: {}\n", again(std::env::args_os(), lens))
}

/// The command line, with the seed in it.
fn again(words: impl Iterator<Item = OsString>, lens: &Lens) -> String {
    line(&with_seed(words.collect(), lens))
}

/// A command line as a shell takes it.
pub(crate) fn line(words: &[OsString]) -> String {
    words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// The words of a command line, with the seed among them.
pub(crate) fn with_seed(mut words: Vec<OsString>, lens: &Lens) -> Vec<OsString> {
    if let Some(program) = words.first_mut() {
        *program = "rsm-ctl".into();
    }
    let seed = match lens.strength {
        Strength::Usual => lens.seed.to_string(),
        Strength::Calm => format!("{}:calm", lens.seed),
        Strength::Storm => format!("{}:storm", lens.seed),
    };
    // What stands after "--" is not ours.
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let given =
        words[..end].iter().position(|word| word == "--chaos" || word.as_encoded_bytes().starts_with(b"--chaos="));
    match given {
        Some(at) => {
            let has_seed =
                words.get(at + 1).and_then(|word| word.to_str()).is_some_and(|word| parse_seed(word).is_ok());
            if words[at] == "--chaos" && has_seed {
                words.remove(at + 1);
            }
            words[at] = format!("--chaos={seed}").into();
        }
        None => {
            let command = words.iter().position(|word| ["run", "up", "explore"].iter().any(|name| word == name));
            words.insert(command.map_or(1, |at| at + 1), format!("--chaos={seed}").into());
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_has_the_seed() {
        let again = |line: &str| again(line.split(' ').map(OsString::from), &Lens::chaos(7));
        for line in [
            "target/rsm-ctl run -n 2 --chaos=7 -- ./pipe --chaos 9",
            "rsm-ctl run -n 2 --chaos 7 -- ./pipe --chaos 9",
            "rsm-ctl run -n 2 --chaos -- ./pipe --chaos 9",
            "rsm-ctl run -n 2 --chaos= -- ./pipe --chaos 9",
        ] {
            assert_eq!(again(line), "rsm-ctl run -n 2 --chaos=7 -- ./pipe --chaos 9");
        }
        assert_eq!(again("rsm-ctl -v run --file a.toml"), "rsm-ctl -v run --chaos=7 --file a.toml");
        assert_eq!(again("rsm-ctl up -n 2 --model sci"), "rsm-ctl up --chaos=7 -n 2 --model sci");
    }

    #[test]
    fn the_manual_has_the_table_of_faults() {
        let help = faults_help();
        assert!(rsm::lens::FAULTS.iter().all(|row| help.contains(row.name) && help.contains(row.text)), "{help}");
    }

    #[test]
    fn what_is_not_said_is_drawn_or_usual() {
        assert_eq!(LensArgs::default().lens(), None);
        let drawn = LensArgs { chaos: Some(Seed::DRAWN), ..LensArgs::default() };
        assert_ne!(drawn.lens(), drawn.lens());
        let model = LensArgs { model: Some(Model::Sci), ..LensArgs::default() }.lens().unwrap();
        assert_eq!((model.model, model.strength), (Some(Model::Sci), Strength::Usual));
        let given = LensArgs { chaos: Some(Seed::parse("7:storm").unwrap()), ..LensArgs::default() };
        assert_eq!(given.lens(), Some(Lens::chaos(7).strength(Strength::Storm)));
        let paced = LensArgs { profile: Some(Profile::Sci), is_virtual: true, ..LensArgs::default() };
        assert_eq!(paced.lens(), Some(Lens::clear(0).profile(Profile::Sci).virtual_time()), "nothing is drawn");
        assert_eq!(notice(&paced.lens().unwrap()), "rsm-ctl: profile sci: all times are modelled\n");
        let nameless = LensArgs { profile: None, ..paced };
        assert!(nameless.check().unwrap_err().contains("dolphin-ntb, dolphin-ix, intel-ntb, firelink, sci"));
        assert!(Seed::parse("seven").unwrap_err().contains("no seed"));
    }
}
