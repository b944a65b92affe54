//! Exploring models with loom: what `ci/loom.sh` runs, and reads.

use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Explores every execution of a model within the bounds of the environment, and says how many there were.
pub fn explore<F: Fn() + Send + Sync + 'static>(model: F) {
    explore_less(0, model);
}

/// [`explore`], with `less` preemptions fewer: for models that take minutes otherwise.
pub fn explore_less<F: Fn() + Send + Sync + 'static>(less: usize, model: F) {
    let name = std::any::type_name::<F>().trim_end_matches("::{{closure}}");
    let name = name.split_once("::models::").map_or(name, |(_, name)| name);
    let executions = Arc::new(Mutex::new(0u64));
    let counted = Arc::clone(&executions);
    let began = Instant::now();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(builder.preemption_bound.unwrap_or(3).saturating_sub(less).max(1));
    builder.max_branches = 10_000;
    let limit = builder.max_duration;
    builder.check(move || {
        *counted.lock().unwrap() += 1;
        model();
    });
    let took = began.elapsed();
    let cut = if limit.is_some_and(|limit| took >= limit) { " (stopped by the clock)" } else { "" };
    let bound = builder.preemption_bound.unwrap_or_default();
    println!("model {name} {bound} {} {:.2}{cut}", executions.lock().unwrap(), took.as_secs_f32());
}
