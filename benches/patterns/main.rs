//! What matching a path costs where it costs most: patterns that nearly match everywhere, on the longest target that a
//! viewer may send. `cargo bench --bench patterns` prints the time of one match, of many the median.

use std::hint::black_box;
use std::time::{Duration, Instant};

use tidegate::dataplane::Limits;
use tidegate::table::path_pattern::PathPattern;

/// Matches that are timed together, and how often that is done.
const ROUNDS: (u32, usize) = (20, 51);

#[expect(clippy::print_stdout, reason = "it is a program for people")]
fn main() {
    let path = format!("/{}", "a".repeat(Limits::default().target_bytes - 1));
    let longest = format!("*{}b", "a".repeat(253));
    let longest_between = format!("*{}b*", "a".repeat(252));
    let longest_with_any = format!("*?{}b*", "a".repeat(251));
    let most_with_any = format!("{}b*", "*?a".repeat(84));
    let rows = [
        ("an ordinary one", "/api/*"),
        ("many stars", "*a*a*a*a*a*b"),
        ("many stars, one behind", "*a*a*a*a*a*b*"),
        ("as long as may be", &longest),
        ("as long, one behind", &longest_between),
        ("as long, of any character", &longest_with_any),
        ("as many of any character", &most_with_any),
    ];
    println!("one match on a path of {} bytes:", path.len());
    for (name, pattern) in rows {
        println!("{:>12.2?}  {name}: {pattern:.20}", median(&PathPattern::new(pattern), &path));
    }
}

fn median(pattern: &PathPattern, path: &str) -> Duration {
    let (matches, rounds) = ROUNDS;
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..matches {
                black_box(black_box(pattern).matches(black_box(path)));
            }
            began.elapsed() / matches
        })
        .collect();
    times.sort();
    times.get(rounds / 2).copied().unwrap_or_default()
}
