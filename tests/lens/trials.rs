//! The trials: which programs are run with what, and what must come of it.

use crate::ledger::Ledger;
use crate::pairs::{Language, Model, Needs, PAIRS, Pair, Shows};
use crate::play::{Lens, Outcome, Play};
use crate::programs::{Programs, source};
use crate::{deaths, excerpts, races};
use libtest_mimic::Trial;
use std::collections::BTreeSet;
use std::sync::Arc;

/// How many seeds each program is run with, and the first of them.
#[derive(Clone, Copy)]
struct Seeds {
    first: u64,
    /// Of repaired programs.
    good: u64,
    /// Of bugs that show always.
    always: u64,
    /// Of bugs that must not show under a model.
    never: u64,
    /// Of all other bugs, which are looked for ten times; `None` means until one has shown.
    sometimes: Option<u64>,
}

impl Seeds {
    fn wanted() -> Seeds {
        let first = std::env::var("RSM_LENS_SEED").map_or(1, |seed| {
            seed.parse().unwrap_or_else(|_| panic!("RSM_LENS_SEED={seed}: a seed is a number, such as 41"))
        });
        match std::env::var("RSM_LENS").as_deref() {
            Err(_) => Seeds { first, good: 1, always: 1, never: 1, sometimes: None },
            Ok("all") => Seeds { first, good: 200, always: 20, never: 20, sometimes: Some(20) },
            Ok(number) => {
                let seeds = number.parse().unwrap_or_else(|_| panic!("RSM_LENS={number}: may be all, or a number"));
                Seeds { first, good: seeds, always: seeds, never: seeds, sometimes: Some(seeds) }
            }
        }
    }

    fn take(self, count: u64) -> impl Iterator<Item = u64> {
        (0..count).map(move |i| self.first.wrapping_add(i))
    }
}

/// The models under which programs are played: where nobody asks for more, the one that is used without `--model`.
fn models() -> impl Iterator<Item = Model> {
    let all = std::env::var_os("RSM_LENS").is_some();
    Model::ALL.into_iter().filter(move |&model| all || model == Model::Pcie)
}

/// Where trials find what they need.
#[derive(Clone)]
struct Stage {
    programs: Arc<Programs>,
    ledger: Arc<Ledger>,
    seeds: Seeds,
}

pub(crate) fn all(programs: &Arc<Programs>, ledger: &Arc<Ledger>) -> Vec<Trial> {
    let stage = Stage { programs: Arc::clone(programs), ledger: Arc::clone(ledger), seeds: Seeds::wanted() };
    let mut trials = vec![
        Trial::test("the table names every program", || table_is_complete().map_err(Into::into)),
        Trial::test("the excerpts are the programs", || excerpts::are_sources().map_err(Into::into)),
    ];
    // First, as their survivors wait for a while, in which others are played.
    for (pair, language) in Pair::all().filter(|(pair, _)| pair.needs == Needs::Death) {
        let die = move |stage: &Stage| deaths::are_survived(&stage.programs, pair, language);
        trials.push(stage.trial(format!("{} in {language}, whose holder dies", pair.name), die));
    }
    for (pair, language) in Pair::all() {
        let name = format!("{} in {language}", pair.name);
        trials.push(stage.trial(format!("{name}, no lens"), move |stage| stage.without_lens(pair, language)));
        if pair.name == races::PAIR {
            trials.push(stage.trial(format!("{name}, whose race is found"), move |stage| {
                races::is_found(&stage.programs, pair, language)
            }));
        }
        if language == Language::C && races::has_one(pair) {
            trials.push(stage.trial(format!("{name}, whose race is told by its lines"), move |stage| {
                races::is_told_by_its_lines(&stage.programs, pair)
            }));
        }
        for model in models() {
            let name = format!("{name}, {model}");
            trials.push(stage.trial(format!("{name}, good"), move |stage| stage.is_silent(pair, language, model)));
            let name = format!("{name}, bad");
            if !pair.models.contains(&model) || pair.needs == Needs::Death {
                trials.push(stage.trial(name, move |stage| stage.never_shows(pair, language, model)));
            } else {
                trials.push(stage.trial(name, move |stage| stage.shows(pair, language, model)));
            }
        }
    }
    trials
}

impl Stage {
    fn trial(&self, name: String, act: impl FnOnce(&Stage) -> Result<(), String> + Send + 'static) -> Trial {
        let stage = self.clone();
        Trial::test(name, move || act(&stage).map_err(Into::into))
    }

    /// One run, entered in the ledger. What the program said when its bug showed.
    fn run(&self, play: &Play) -> Result<Option<String>, String> {
        let ended = play.run(&self.programs)?;
        let found = match ended.outcome {
            Outcome::Silent => None,
            Outcome::Found(sentence) => Some(sentence),
            Outcome::Broken(text) => return Err(format!("{}: {text}", play.again(&self.programs))),
        };
        self.ledger.enter(play, found.as_ref().map(|_| ended.took));
        Ok(found)
    }

    /// Both programs run; the good one is silent, and the bad one may be unlucky.
    fn without_lens(&self, pair: &'static Pair, language: Language) -> Result<(), String> {
        let play = Play { pair, language, good: true, lens: None, rounds: None, race: false };
        self.silent(&play)?;
        self.silent(&Play { race: true, rounds: Some(pair.rounds), ..play })?;
        self.run(&Play { good: false, ..play }).map(|_| ())
    }

    fn silent(&self, play: &Play) -> Result<(), String> {
        match self.run(play)? {
            None => Ok(()),
            Some(sentence) => Err(format!("{}\n{}: {sentence}", play.again(&self.programs), play.pair.name)),
        }
    }

    fn is_silent(&self, pair: &'static Pair, language: Language, model: Model) -> Result<(), String> {
        self.seeds.take(self.seeds.good).try_for_each(|seed| {
            let lens = Some(Lens { model, seed });
            self.silent(&Play { pair, language, good: true, lens, rounds: Some(pair.rounds), race: true })
        })
    }

    fn never_shows(&self, pair: &'static Pair, language: Language, model: Model) -> Result<(), String> {
        self.seeds.take(self.seeds.never).try_for_each(|seed| {
            let lens = Some(Lens { model, seed });
            self.silent(&Play { pair, language, good: false, lens, rounds: Some(pair.rounds), race: false })
        })
    }

    fn shows(&self, pair: &'static Pair, language: Language, model: Model) -> Result<(), String> {
        let (tries, needed) = match (pair.shows, self.seeds.sometimes) {
            (Shows::Always, _) => (self.seeds.always, self.seeds.always),
            (Shows::InTen(_), None) => (10, 1),
            (Shows::InTen(of_ten), Some(seeds)) => (seeds, seeds * of_ten as u64 / 10),
        };
        let mut found = 0;
        for seed in self.seeds.take(tries) {
            let lens = Some(Lens { model, seed });
            let play = Play { pair, language, good: false, lens, rounds: None, race: false };
            found += u64::from(self.run(&play)?.is_some());
            if found == needed && self.seeds.sometimes.is_none() {
                break;
            }
        }
        if found >= needed {
            return Ok(());
        }
        let lens = Some(Lens { model, seed: self.seeds.first });
        let last = Play { pair, language, good: false, lens, rounds: None, race: false };
        let again = last.again(&self.programs);
        Err(format!("shown by {found} of {tries} seeds from {} on, not by {needed}; {again}", self.seeds.first))
    }
}

/// Every source is a pair's, and every pair has its sources.
fn table_is_complete() -> Result<(), String> {
    for (language, others) in [(Language::C, &[][..]), (Language::Rust, &["main", "scene"])] {
        let listed = PAIRS.iter().filter(|pair| pair.languages.contains(&language)).map(|pair| pair.name.to_owned());
        let listed: BTreeSet<String> = listed.collect();
        let path = source("any", language);
        let (folder, extension) = (path.parent().ok_or("a folder")?, path.extension());
        let files = std::fs::read_dir(folder).map_err(|e| e.to_string())?.filter_map(|entry| Some(entry.ok()?.path()));
        let files = files.filter(|file| file.extension() == extension);
        let there: BTreeSet<String> = files
            .filter_map(|file| Some(file.file_stem()?.to_str()?.to_owned()))
            .filter(|stem| !others.contains(&stem.as_str()))
            .collect();
        if listed != there {
            return Err(format!("in {language} the table has {listed:?}, {} has {there:?}", folder.display()));
        }
    }
    Ok(())
}
